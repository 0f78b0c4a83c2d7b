"""TIFF: multi-page, BigTIFF, OME-TIFF and ImageJ are read; OME-TIFF is written, uncompressed.

OME-XML states axes and voxel size with units for every type of voxel; ImageJ's own dialect knows only some.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import tifffile

from mitotools import history
from mitotools.errors import InputError, TargetError
from mitotools.volume.base import VolumeSpec
from mitotools.volume.formats.flat import FlatWriter, claim
from mitotools.volume.formats.stored import Stored
from mitotools.volume.formats.tiff_header import (
    check_ome_type,
    errors_in_words,
    layout,
    ome_metadata,
    only_series,
    opaque,
    voxel_size_of,
    without_unit_axes,
)
from mitotools.volume.formats.tiff_pages import TiffPages

if TYPE_CHECKING:
    from pathlib import Path

    from mitotools.conventions import Array, VoxelSize
    from mitotools.volume.blocks import Box

BYTES_OF_A_PAGE = 512
"""At least what a page takes in a file besides its voxels."""

SMALL_TIFF = 2**32 - 2**25
"""Bytes up to which a file is no BigTIFF: offsets of 32 bits, and room for metadata."""


class TiffReader:
    """The only image of a TIFF file."""

    def __init__(self, path: Path, file: tifffile.TiffFile, voxel_size_nm: VoxelSize | None = None) -> None:
        self._path = path
        self._file = file
        series = only_series(path, file)
        axes, shape = without_unit_axes(series.get_axes(), series.get_shape())
        self._layout = layout(path, axes, shape, is_imagej=file.is_imagej)
        self._lengths = dict(zip(self._layout, shape, strict=True))
        self._samples = self._lengths.get("c", 1) if "S" in axes else 1
        self._shape = shape
        self._dtype = np.dtype(series.dtype).newbyteorder(file.byteorder)
        self._offset = _offset(path, series) if series.keyframe.parent is file else None
        self._pages = TiffPages(path, series)
        pages = math.prod(shape) // (self._samples * math.prod(self._pages.size))
        if self._offset is None and len(self._pages) != pages:
            raise InputError(str(path), f"expected a slice a page, found {len(self._pages)} pages of {shape}")
        size = (self._lengths.get("z", 1), self._lengths["y"], self._lengths["x"])
        channels = self._lengths.get("c", 1) - (self._samples in (2, 4))
        self.spec = VolumeSpec(
            shape=(channels, *size) if channels > 1 else size,
            dtype=self._dtype.newbyteorder("="),
            voxel_size_nm=voxel_size_nm,
            history=history.read_sidecar(path),
            chunks=(1, *(self._pages.chunk if self._offset is None else size[1:])),
        )

    @property
    def reads_parts(self) -> bool:
        """Whether a part of a slice costs less to read than all of it."""
        return self._offset is not None or self._pages.reads_parts

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels."""
        array = self._read_pages(box) if self._offset is None else self._read_stored(box, self._offset)
        if self._samples > 1:
            array = opaque(array, str(self._path))
        return array.reshape(self.spec.shape[:-3] + box.shape)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_stored(self, box: Box, offset: int) -> Array:
        found: Array = np.empty((self._lengths.get("c", 1), *box.shape), self.spec.dtype)
        cuts = (slice(0, len(found)), *box.slices)
        absent = [axis for axis in "czyx" if axis not in self._layout]
        axes = ["czyx".index(axis) for axis in (*absent, *self._layout)]
        shape = (1,) * len(absent) + self._shape
        stored = Stored(str(self._path), self._file.filehandle.fileno(), offset, shape, self._dtype)
        stored.fill(found.transpose(axes), tuple(cuts[axis] for axis in axes))
        return found

    def _read_pages(self, box: Box) -> Array:
        z, y, x = box.slices
        result = np.empty((self._lengths.get("c", 1), *box.shape), self.spec.dtype)
        for channel in range(0, len(result), self._samples):
            for index in range(z.start, z.stop):
                out = result[channel : channel + self._samples, index - z.start]
                self._pages.read(self._page(channel, index), y, x, out)
        return result

    def _page(self, channel: int, z: int) -> int:
        """Return the page of a slice: pages follow each other in the order of the axes before y and x."""
        position = {"c": channel, "z": z}
        index = 0
        for axis in self._layout:
            if axis == "z" or (axis == "c" and self._samples == 1):
                index = index * self._lengths[axis] + position[axis]
        return index


def open_reader(path: Path, dataset: str | None) -> TiffReader:
    """Open a file."""
    if dataset is not None:
        raise InputError(f"{path}:{dataset}", "a TIFF file holds no datasets")
    file = None
    try:
        with errors_in_words(path):
            file = tifffile.TiffFile(path)
            reader = TiffReader(path, file, voxel_size_of(path, file))
    except BaseException:
        if file is not None:
            file.close()
        raise
    return reader


def planned(spec: VolumeSpec, target: Path) -> VolumeSpec:
    """Return the volume in whole slices."""
    if spec.compression not in ("default", "none"):
        raise TargetError(str(target), "TIFF is written uncompressed", "Leave --compression out")
    check_ome_type(spec.dtype, target)
    return replace(spec, chunks=(1, *spec.size[1:]))


def create_writer(path: Path, spec: VolumeSpec, target: Path) -> FlatWriter:  # noqa: ARG001
    """Create a file."""
    tifffile.imwrite(
        path,
        shape=spec.shape,
        dtype=spec.dtype,
        ome=True,
        bigtiff=needs_bigtiff(spec),
        photometric="minisblack",
        metadata=ome_metadata(spec),
    )
    claim(path, path.stat().st_size)
    return _opened(path, spec)


def reopen_writer(path: Path, spec: VolumeSpec, target: Path) -> FlatWriter:  # noqa: ARG001
    """Continue a file."""
    return _opened(path, spec)


def _opened(path: Path, spec: VolumeSpec) -> FlatWriter:
    with tifffile.TiffFile(path) as file:
        return FlatWriter(path, spec, file.pages.first.dataoffsets[0])


def needs_bigtiff(spec: VolumeSpec) -> bool:
    """Whether a file may pass what offsets of 32 bits can reach."""
    pages = spec.voxels // math.prod(spec.size[1:])
    return spec.nbytes + BYTES_OF_A_PAGE * pages > SMALL_TIFF


def _offset(path: Path, series: tifffile.TiffPageSeries) -> int | None:
    """Return where the voxels start, where they lie in one uncompressed piece."""
    if series.is_multifile or series.dataoffset is None:
        return None
    if series.dataoffset + series.nbytes > path.stat().st_size:
        raise InputError(str(path), "is truncated", "Copy it again")
    return series.dataoffset
