"""TIFF: multi-page, BigTIFF, OME-TIFF and ImageJ are read; OME-TIFF is written, uncompressed.

OME-XML states axes and voxel size with units for every type of voxel; ImageJ's own dialect knows only some.
"""

from __future__ import annotations

import logging
import math
import os
import re
import threading
import xml.etree.ElementTree as ET
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from mitotools import history
from mitotools.errors import InputError, MitotoolsError, TargetError
from mitotools.volume.base import VolumeSpec, known_voxel_size
from mitotools.volume.blocks import Box

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mitotools.conventions import Array, VoxelSize

UNITS_NM = {
    "nm": 1.0, "nanometer": 1.0, "nanometre": 1.0, "nanometers": 1.0,
    "\u00b5m": 1e3, "\u03bcm": 1e3, "um": 1e3, "micron": 1e3, "microns": 1e3, "micrometer": 1e3,
    "micrometers": 1e3, "mm": 1e6, "\u00c5": 0.1, "cm": 1e7, "m": 1e9,
}  # fmt: skip

SLICE_AXES = "ZIQT"
"""Names under which TIFF dialects count slices: z, image, other, time."""

OME_TYPES = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64")
"""Types of voxel that OME-XML has a name for."""


class TiffReader:
    """The first series of a TIFF file."""

    def __init__(self, path: Path, file: tifffile.TiffFile) -> None:
        self._path = path
        self._file = file
        self._lock = threading.Lock()
        series = _only_series(path, file)
        axes, shape = _without_unit_axes(series.get_axes(), series.get_shape())
        self._pages = series.pages
        self._layout = _layout(path, axes, shape, is_imagej=file.is_imagej)
        self._memory = _memory(path, file, shape)
        if self._memory is None and len(self._pages) != math.prod(shape[:-2]):
            raise InputError(str(path), f"expected a slice a page, found {len(self._pages)} pages of {shape}")
        lengths = dict(zip(self._layout, shape, strict=True))
        size = (lengths.get("z", 1), lengths["y"], lengths["x"])
        self._lengths = lengths
        self.spec = VolumeSpec(
            shape=(lengths["c"], *size) if "c" in lengths else size,
            dtype=np.dtype(series.dtype).newbyteorder("="),
            voxel_size_nm=_voxel_size(file),
            history=history.read_sidecar(path),
            chunks=(1, size[1], size[2]),
        )

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels."""
        array = self._read_mapped(box) if self._memory is not None else self._read_pages(box)
        return np.ascontiguousarray(array, dtype=self.spec.dtype)

    def close(self) -> None:
        """Close the file."""
        self._memory = None
        self._file.close()

    def _read_mapped(self, box: Box) -> Array:
        assert self._memory is not None  # noqa: S101 (for the type checker; read() looked)
        order = [self._layout.index(axis) for axis in "czyx" if axis in self._layout]
        array = self._memory.transpose(order)
        if "z" not in self._layout:
            array = array[..., np.newaxis, :, :]
        return array[(..., *box.slices)]

    def _read_pages(self, box: Box) -> Array:
        z, y, x = box.slices
        channels = range(self._lengths.get("c", 1))
        stack = np.stack(
            [np.stack([self._page(c, index)[y, x] for index in range(z.start, z.stop)]) for c in channels]
        )
        return stack if "c" in self._lengths else stack[0]

    def _page(self, channel: int, z: int) -> Array:
        """Return one slice: pages follow each other in the order of the axes before y and x."""
        position = {"c": channel, "z": z}
        index = 0
        for axis in self._layout[:-2]:
            index = index * self._lengths[axis] + position[axis]
        with self._lock:
            page = self._pages[index]
            if page is None:
                raise InputError(str(self._path), f"page {index} is missing")
            try:
                # A damaged page may say that it has another shape.
                return np.asarray(page.asarray()).reshape(self.spec.size[1:])
            except Exception as error:  # what codecs raise over a damaged page is theirs to say
                raise InputError(str(self._path), f"page {index} cannot be read ({error})") from error


class TiffWriter:
    """A new OME-TIFF, laid out in advance so that blocks may come in any order."""

    def __init__(self, path: Path, spec: VolumeSpec, *, is_new: bool) -> None:
        self.spec = spec
        if is_new:
            self._create(path)
        self._memory = tifffile.memmap(path, mode="r+")
        self._memory.shape = spec.shape

    def _create(self, path: Path) -> None:
        spec = self.spec
        tifffile.imwrite(
            path,
            shape=spec.shape,
            dtype=spec.dtype,
            ome=True,
            bigtiff=spec.nbytes > 2**32 - 2**25,
            photometric="minisblack",
            metadata=ome_metadata(spec),
        )
        if hasattr(os, "posix_fallocate"):
            # Voxels are written through a memory map, where a full disk would kill the process by SIGBUS.
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)

    def write(self, box: Box, array: Array) -> None:
        """Store the voxels of `box`."""
        self._memory[(..., *box.slices)] = array

    def close(self) -> None:
        """Flush the file."""
        self._memory.flush()
        del self._memory


def open_reader(path: Path, dataset: str | None) -> TiffReader:
    """Open a file."""
    if dataset is not None:
        raise InputError(f"{path}:{dataset}", "a TIFF file holds no datasets")
    file = None
    try:
        with errors_in_words(path):
            file = tifffile.TiffFile(path)
            reader = TiffReader(path, file)
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


def create_writer(path: Path, spec: VolumeSpec, target: Path) -> TiffWriter:  # noqa: ARG001
    """Create a file."""
    return TiffWriter(path, spec, is_new=True)


def reopen_writer(path: Path, spec: VolumeSpec, target: Path) -> TiffWriter:  # noqa: ARG001
    """Continue a file."""
    return TiffWriter(path, spec, is_new=False)


@contextmanager
def errors_in_words(path: Path) -> Iterator[None]:
    """Turn what tifffile raises, or only logs, over a damaged file into an InputError.

    Of a file that was cut short tifffile shows the pages that are left, and logs that there were more.
    """
    log = _Complaints()
    tifffile.logger().addHandler(log)
    try:
        yield
    except MitotoolsError:
        raise
    except Exception as error:
        raise InputError(str(path), f"cannot be read as TIFF ({error})") from error
    finally:
        tifffile.logger().removeHandler(log)
    if log.found:
        raise InputError(str(path), f"is damaged ({log.found[0]})", "Copy it again")


class _Complaints(logging.Handler):
    """Keeps the errors that tifffile logs on this thread."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._thread = threading.get_ident()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        # A broken tag may be some program's private one; tag 270 describes the pages.
        if record.thread == self._thread and ("TiffTag " not in message or "TiffTag 270 " in message):
            self.found.append(message)


def check_ome_type(dtype: np.dtype[np.generic], target: Path) -> None:
    """Raise TargetError for a type of voxel that OME-TIFF does not have."""
    if dtype.name not in OME_TYPES:
        advice = "Choose another --dtype, or write .h5 or .zarr"
        raise TargetError(str(target), f"OME-TIFF has no type {dtype}", advice)


def ome_metadata(spec: VolumeSpec) -> dict[str, Any]:
    """Return the axes and voxel size as tifffile's OME writer takes them."""
    metadata: dict[str, Any] = {"axes": "CZYX"[-len(spec.shape) :]}
    for axis, length in zip("ZYX", spec.voxel_size_nm or (), strict=False):
        metadata[f"PhysicalSize{axis}"] = length
        metadata[f"PhysicalSize{axis}Unit"] = "nm"
    return metadata


def _without_unit_axes(axes: str, shape: Sequence[int]) -> tuple[str, tuple[int, ...]]:
    kept = [(a, n) for a, n in zip(axes, shape, strict=True) if n > 1 or a in "YX"]
    return "".join(a for a, _ in kept), tuple(n for _, n in kept)


def _only_series(path: Path, file: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    series = [item for item in file.series if not item.keyframe.is_reduced]
    if len(series) != 1:
        shapes = ", ".join(str(item.get_shape()) for item in series)
        raise InputError(str(path), f"expected one image, found {len(series)}, of shapes {shapes}")
    return series[0]


def _layout(path: Path, axes: str, shape: tuple[int, ...], *, is_imagej: bool) -> str:
    """Return the axes in file order, as a subset of c, z, y, x."""
    if axes == "QQYX":  # four dimensions without names: channels first, as everywhere here
        return "czyx"
    if axes == "CYX" and is_imagej:  # a stack whose writer did not say that it counts slices
        return "zyx"
    slices = [axis for axis in SLICE_AXES if axis in axes]
    names = {"Y": "y", "X": "x", "C": "c"} | ({slices[0]: "z"} if slices else {})
    unclear = len(slices) > 1 or len(set(axes)) < len(axes) or not set(axes) <= set(names)
    if unclear or not axes.endswith("YX"):
        raise InputError(str(path), f"expected slices of a volume, found axes {axes} of lengths {shape}")
    return "".join(names[axis] for axis in axes)


def _memory(path: Path, file: tifffile.TiffFile, shape: tuple[int, ...]) -> Array | None:
    """Return the voxels mapped into memory, where they lie in one uncompressed piece."""
    series = file.series[0]
    if series.dataoffset is None:
        return None
    dtype = np.dtype(series.dtype).newbyteorder(file.byteorder)
    if series.dataoffset + series.nbytes > path.stat().st_size:
        raise InputError(str(path), "is truncated", "Copy it again")
    return np.memmap(path, dtype=dtype, mode="r", offset=series.dataoffset, shape=shape)


def _voxel_size(file: tifffile.TiffFile) -> VoxelSize | None:
    if file.ome_metadata:
        return _ome_voxel_size(file.ome_metadata)
    if file.imagej_metadata:
        return _imagej_voxel_size(file)
    return None


def _ome_voxel_size(xml: str) -> VoxelSize | None:
    pixels = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", xml)
    if pixels is None:
        return None
    opening = re.sub(r"^<\w+:", "<", pixels[0]).rstrip("/>") + "/>"
    try:
        # Only the opening tag is parsed: nothing in it can refer to entities defined elsewhere.
        found = ET.fromstring(opening).attrib  # noqa: S314
        lengths = [
            float(found[f"PhysicalSize{axis}"]) * UNITS_NM[found.get(f"PhysicalSize{axis}Unit", "um")]
            for axis in "ZYX"
        ]
    except (ET.ParseError, KeyError, ValueError):
        return None
    return known_voxel_size(tuple(lengths))


def _imagej_voxel_size(file: tifffile.TiffFile) -> VoxelSize | None:
    metadata = file.imagej_metadata or {}
    tags = file.pages.first.tags
    unit = UNITS_NM.get(str(metadata.get("unit", "")).replace("\\u00B5", "\u00b5").strip())
    if unit is None or "spacing" not in metadata or "XResolution" not in tags or "YResolution" not in tags:
        return None
    try:
        y, x = (_per_pixel(tags[f"{axis}Resolution"].value) for axis in "YX")
        return known_voxel_size((float(metadata["spacing"]) * unit, y * unit, x * unit))
    except (TypeError, ValueError):
        return None


def _per_pixel(resolution: tuple[int, int]) -> float:
    pixels, units = resolution
    return units / pixels if pixels else 0.0
