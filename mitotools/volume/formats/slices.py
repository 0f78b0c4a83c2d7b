"""A folder (or quoted glob) of PNG or TIFF slices, one z each, in the natural order of their names.

The voxel size stands in every slice: in a text chunk of PNG, in the OME-XML of TIFF. Colours are channels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from PIL import Image, PngImagePlugin

from mitotools import history
from mitotools.errors import InputError, TargetError
from mitotools.volume.base import VolumeSpec
from mitotools.volume.formats import is_glob
from mitotools.volume.formats.slice_cache import SliceCache
from mitotools.volume.formats.slice_files import (
    PNG_VOXEL_SIZE,
    SUFFIXES,
    SliceHeader,
    check_numbers,
    is_tiff,
    open_tiff,
    read_header,
    read_part,
    slice_files,
    slice_voxel_size,
)
from mitotools.volume.formats.tiff_header import check_ome_type, ome_metadata

if TYPE_CHECKING:
    from pathlib import Path

    from mitotools.conventions import Array
    from mitotools.volume.blocks import Box

HEADERS_CHECKED = 1000
"""Slices whose headers are looked at when a volume is opened; of more slices, as many evenly spaced ones.

A header takes 0.05 ms (PNG) or 0.3 ms (TIFF), measured on a local disk.
"""


class SlicesReader:
    """Slices as one volume."""

    def __init__(self, path: Path, files: list[Path]) -> None:
        self._files = files
        self._header = read_header(files[0])
        chunk, self._reads_parts = _storage(files[0], self._header)
        size = (len(files), *self._header.size)
        self.spec = VolumeSpec(
            shape=size if self._header.channels is None else (self._header.channels, *size),
            dtype=self._header.dtype,
            voxel_size_nm=slice_voxel_size(files[0]),
            history=history.read_sidecar(path),
            chunks=(1, *chunk),
        )
        self._cache = SliceCache(self._decoded)
        step = max(1, len(files) // HEADERS_CHECKED)
        for file in (*files[step::step], files[-1]):
            self._check(file, read_header(file))

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels."""
        result = np.empty(self.spec.shape[:-3] + box.shape, self.spec.dtype)
        _, y, x = box.slices
        for position, index in enumerate(range(box.start[0], box.stop[0])):
            result[..., position, :, :] = self._part(index, y, x)
        return result

    def close(self) -> None:
        """Forget the slices."""
        self._cache.clear()

    def _part(self, index: int, rows: slice, columns: slice) -> Array:
        is_whole = (rows.stop - rows.start, columns.stop - columns.start) == self._header.size
        if is_whole:
            return self._decoded(index)
        if self._reads_parts:
            return self._read(index, rows, columns)
        return self._cache.get(index)[..., rows, columns]

    def _decoded(self, index: int) -> Array:
        height, width = self._header.size
        return self._read(index, slice(0, height), slice(0, width))

    def _read(self, index: int, rows: slice, columns: slice) -> Array:
        header, array = read_part(self._files[index], rows, columns)
        self._check(self._files[index], header)
        return array

    def _check(self, file: Path, header: SliceHeader) -> None:
        if header != self._header:
            raise InputError(str(file), f"expected {self._header} as {self._files[0].name}, found {header}")


class SlicesWriter:
    """A new folder of slices; blocks hold whole slices."""

    def __init__(self, path: Path, spec: VolumeSpec, target: Path) -> None:
        self.spec = spec
        self._folder = path
        self._suffix = _suffix_for(spec, target)
        digits = max(4, len(str(spec.size[0] - 1)))
        self._name = f"{_stem_for(target)}{{z:0{digits}d}}{self._suffix}"
        path.mkdir(exist_ok=True)

    def write(self, box: Box, array: Array) -> None:
        """Store whole slices."""
        if box.shape[1:] != self.spec.size[1:]:
            raise ValueError(f"slices are written whole, not {box}")
        for z, plane in zip(range(box.start[0], box.stop[0]), array, strict=True):
            self._write(self._folder / self._name.format(z=z), plane)

    def close(self) -> None:
        """Nothing stays open."""

    def _write(self, file: Path, plane: Array) -> None:
        if self._suffix == ".png":
            information = PngImagePlugin.PngInfo()
            if self.spec.voxel_size_nm is not None:
                information.add_text(PNG_VOXEL_SIZE, " ".join(str(float(v)) for v in self.spec.voxel_size_nm))
            Image.fromarray(plane).save(file, format="PNG", pnginfo=information, compress_level=1)
        else:
            spec = VolumeSpec(plane.shape, plane.dtype, self.spec.voxel_size_nm)
            metadata = {**ome_metadata(spec), "axes": "YX"}
            tifffile.imwrite(file, plane, ome=True, metadata=metadata, compression="zlib")


def open_reader(path: Path, dataset: str | None) -> SlicesReader:
    """Open a folder or glob."""
    if dataset is not None:
        raise InputError(f"{path}:{dataset}", "a folder of slices holds no datasets")
    if path.is_file():
        raise InputError(str(path), "has no suffix that would say what it is")
    files = slice_files(path)
    if not files:
        raise InputError(str(path), "there are no slices", f"They end in {', '.join(SUFFIXES)}")
    if len({file.suffix.lower() == ".png" for file in files}) > 1:
        raise InputError(str(path), "holds both PNG and TIFF", f"Say which: '{folder_of(path)}/*.png'")
    if not is_glob(str(path)):
        check_numbers(path, files)  # a pattern takes the slices that there are
    return SlicesReader(folder_of(path), files)


def planned(spec: VolumeSpec, target: Path) -> VolumeSpec:
    """Return the volume in whole slices."""
    if spec.channels is not None:
        raise TargetError(str(target), "slices hold no channels", f"Select one: {target}[0]")
    if spec.compression not in ("default", "none"):
        raise TargetError(str(target), "slices have no --compression")
    _suffix_for(spec, target)
    return replace(spec, chunks=(1, *spec.size[1:]))


def create_writer(path: Path, spec: VolumeSpec, target: Path) -> SlicesWriter:
    """Create a folder."""
    return SlicesWriter(path, spec, target)


def reopen_writer(path: Path, spec: VolumeSpec, target: Path) -> SlicesWriter:
    """Continue a folder."""
    return SlicesWriter(path, spec, target)


def folder_of(path: Path) -> Path:
    """Return the folder of a glob such as ``slices/*.png``; a plain path is the folder itself."""
    return path.parent if is_glob(path.name) else path


def _suffix_for(spec: VolumeSpec, target: Path) -> str:
    fits_png = spec.dtype in (np.uint8, np.uint16)
    suffix = target.suffix.lower() if is_glob(target.name) else ""
    if suffix not in ("", *SUFFIXES):
        raise TargetError(str(target), f"slices end in {', '.join(SUFFIXES)}")
    if suffix == ".png" and not fits_png:
        raise TargetError(str(target), f"PNG holds uint8 and uint16, not {spec.dtype}", "Write *.tif")
    suffix = suffix or (".png" if fits_png else ".tif")
    if suffix != ".png":
        check_ome_type(spec.dtype, target)
    return suffix


def _stem_for(target: Path) -> str:
    """Return what stands before the number in the names of slices, so that the pattern finds them again."""
    if not is_glob(target.name):
        return "z"
    stem = target.stem if target.suffix else target.name
    if stem.count("*") != 1 or not stem.endswith("*") or set("?{}[]") & set(stem):
        raise TargetError(str(target), "a pattern for new slices is NAME*.png or NAME*.tif")
    return stem[:-1] or "z"


def _storage(file: Path, header: SliceHeader) -> tuple[tuple[int, int], bool]:
    """Return the (y, x) pixels that are decoded together, and whether parts cost less than a slice."""
    if is_tiff(file):
        with open_tiff(file) as reader:
            return reader.spec.chunks[1:], reader.reads_parts
    return header.size, False
