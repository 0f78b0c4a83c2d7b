"""What a TIFF file says of itself: its series, axes, voxel size, and what is wrong with it."""

from __future__ import annotations

import logging
import math
import re
import struct
import threading
import xml.etree.ElementTree as ET
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from mitotools.errors import InputError, MitotoolsError, TargetError
from mitotools.volume.base import VolumeSpec
from mitotools.volume.voxel_size import stated_voxel_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mitotools.conventions import Array, VoxelSize

UNITS_NM = {
    "nm": 1.0, "nanometer": 1.0, "nanometre": 1.0, "nanometers": 1.0,
    "\u00b5m": 1e3, "\u03bcm": 1e3, "um": 1e3, "micron": 1e3, "microns": 1e3, "micrometer": 1e3,
    "micrometers": 1e3, "mm": 1e6, "\u00c5": 0.1, "cm": 1e7, "m": 1e9,
}  # fmt: skip

SLICE_AXES = "ZIQT"
"""Names under which TIFF dialects count slices: z, image, other, time."""

MOST_PLANES = 10**6
"""Of an OME-TIFF, whatever its size: for each one that is stated, tifffile keeps an entry of a list."""

_BYTES_OF_A_PLANE = 32
"""What a page takes in a file, voxels or none, and more."""

OME_TYPES = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64")
"""Types of voxel that OME-XML has a name for."""


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
        nearest = {"u": "uint32", "i": "int32", "f": "float32"}.get(dtype.kind, "uint8")
        advice = f"Write .zarr or .h5, or choose --dtype {nearest}"
        raise TargetError(str(target), f"OME-TIFF has no type {dtype}", advice)


def ome_metadata(spec: VolumeSpec) -> dict[str, Any]:
    """Return the axes and voxel size as tifffile's OME writer takes them."""
    metadata: dict[str, Any] = {"axes": "CZYX"[-len(spec.shape) :]}
    for axis, length in zip("ZYX", spec.voxel_size_nm or (), strict=False):
        metadata[f"PhysicalSize{axis}"] = length
        metadata[f"PhysicalSize{axis}Unit"] = "nm"
    return metadata


def without_unit_axes(axes: str, shape: Sequence[int]) -> tuple[str, tuple[int, ...]]:
    """Return names and lengths of the axes that are longer than one, and of y and x."""
    kept = [(a, n) for a, n in zip(axes, shape, strict=True) if n > 1 or a in "YX"]
    return "".join(a for a, _ in kept), tuple(n for _, n in kept)


def only_series(path: Path, file: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    """Return the image of a file that may hold it at several resolutions."""
    _check_ome(path, file, _counted_pages(path, file))
    series = [item for item in file.series if not item.keyframe.is_reduced]
    if not series:
        raise InputError(str(path), "cannot be read as TIFF (it has no pages)")
    if len(series) != 1 and _are_slices(series):
        return _stacked(series)
    if len(series) != 1:
        shapes = ", ".join(str(item.get_shape()) for item in series)
        raise InputError(str(path), f"expected one image, found {len(series)}, of shapes {shapes}")
    return series[0]


def _are_slices(series: Sequence[tifffile.TiffPageSeries]) -> bool:
    """Whether images are single pages, all alike: a stack that was written page by page."""
    first = series[0]
    alike = (first.keyframe.shape, first.get_axes(), first.dtype)
    return all(len(item) == 1 and (item.get_shape(), item.get_axes(), item.dtype) == alike for item in series)


def _stacked(series: Sequence[tifffile.TiffPageSeries]) -> tifffile.TiffPageSeries:
    """Return images of one page each as one image, its slices in the order of the pages."""
    first = series[0]
    shape, axes = (len(series), *first.get_shape()), f"Z{first.get_axes()}"
    return tifffile.TiffPageSeries([item.pages[0] for item in series], shape, first.dtype, axes)


def _counted_pages(path: Path, file: tifffile.TiffFile) -> int:
    """Return the number of pages; InputError where they are a circle, which tifffile may walk for ever."""
    tiff, handle = file.tiff, file.filehandle
    seen: set[int] = set()
    with suppress(IndexError, struct.error):  # no page, or a broken one: this is said when it is read
        offset = file.pages.first.offset
        while offset and offset not in seen:
            seen.add(offset)
            handle.seek(offset)
            (tags,) = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))
            handle.seek(offset + tiff.tagnosize + tags * tiff.tagsize)
            (offset,) = struct.unpack(tiff.offsetformat, handle.read(tiff.offsetsize))
        if offset:
            raise InputError(
                str(path), "is damaged: its pages follow each other in a circle", "Copy it again"
            )
    return len(seen)


def _check_ome(path: Path, file: tifffile.TiffFile, pages: int) -> None:
    """Raise InputError where OME-XML names files elsewhere, which tifffile would open, or too many planes."""
    try:
        root = ET.fromstring(file.ome_metadata or "<OME/>")  # noqa: S314 (expat bounds entities)
    except ET.ParseError:  # tifffile says so
        return
    folder = Path(file.filehandle.dirname).resolve()
    for name in {element.get("FileName") for element in root.iter()} - {None}:
        other = (folder / str(name)).resolve()
        if not other.is_relative_to(folder) or (other.exists() and not other.is_file()):
            why = f"names {str(name)!r} as a part of its image, which is no file in its folder"
            raise InputError(str(path), why, "Put all parts of the image into one folder")
    stated = sum(_stated_planes(element, pages) for element in root.iter())
    if stated > max(MOST_PLANES, file.filehandle.size // _BYTES_OF_A_PLANE):
        why = f"states {stated} planes in its OME-XML, more than a file of its size can hold"
        raise InputError(str(path), why, "Copy it again")


def _stated_planes(element: ET.Element, pages: int) -> int:
    """Return how many planes, or labels of an axis, an element of OME-XML makes tifffile go through."""
    kind, stated = element.tag.rpartition("}")[2], element.attrib
    if kind == "Pixels":
        return abs(math.prod(int(stated.get(f"Size{axis}", 1)) for axis in "CZT"))
    if kind == "TiffData":
        count = stated.get("PlaneCount", stated.get("NumPlanes", 1 if "IFD" in stated else 0))
        return abs(int(count)) or pages
    if kind.startswith("ModuloAlong") and "Start" in stated:
        return abs(int((float(stated["End"]) - float(stated["Start"])) / float(stated.get("Step", 1))))
    return 0


def layout(path: Path, axes: str, shape: tuple[int, ...], *, is_imagej: bool) -> str:
    """Return the axes in file order, as a subset of c, z, y, x; colours are channels."""
    if axes == "QQYX":  # four dimensions without names: channels first, as everywhere here
        return "czyx"
    if axes == "CYX" and is_imagej:  # a stack whose writer did not say that it counts slices
        return "zyx"
    slices = [axis for axis in SLICE_AXES if axis in axes]
    names = {"Y": "y", "X": "x", "C": "c"} | ({slices[0]: "z"} if slices else {})
    if "C" not in axes and 2 <= dict(zip(axes, shape, strict=True)).get("S", 0) <= 4:
        names["S"] = "c"
    unclear = len(slices) > 1 or len(set(axes)) < len(axes) or not set(axes) <= set(names)
    if unclear or not axes.removesuffix("S").endswith("YX"):
        raise InputError(str(path), f"expected slices of a volume, found axes {axes} of lengths {shape}")
    return "".join(names[axis] for axis in axes)


def opaque(array: Array, name: str) -> Array:
    """Return grey or colour samples, the first axis, without the opacity that follows them.

    Raises
    ------
    InputError
        Where a pixel is transparent, and its colour so not what one sees.
    """
    if array.shape[0] not in (2, 4):
        return array
    most = np.iinfo(array.dtype).max if array.dtype.kind == "u" else 1
    if (array[-1] != most).any():
        raise InputError(name, "has transparent pixels", "Save it without an alpha channel")
    return array[:-1]


def voxel_size_of(path: Path, file: tifffile.TiffFile) -> VoxelSize | None:
    """Return the voxel size of an OME-TIFF or of an ImageJ stack, in nm."""
    description = file.pages.first.description
    lengths = None
    if "PhysicalSize" in description:
        lengths = _ome_voxel_size(description)
    elif file.imagej_metadata:
        lengths = _imagej_voxel_size(file)
    return lengths and stated_voxel_size(lengths, path)


def _ome_voxel_size(xml: str) -> VoxelSize | None:
    pixels = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", xml)
    if pixels is None:
        return None
    opening = re.sub(r"^<\w+:", "<", pixels[0]).rstrip("/>") + "/>"
    try:
        # Only the opening tag is parsed: nothing in it can refer to entities defined elsewhere.
        found = ET.fromstring(opening).attrib  # noqa: S314
        z, y, x = (
            float(found[f"PhysicalSize{axis}"]) * UNITS_NM[found.get(f"PhysicalSize{axis}Unit", "um")]
            for axis in "ZYX"
        )
    except (ET.ParseError, KeyError, ValueError):
        return None
    return z, y, x


def _imagej_voxel_size(file: tifffile.TiffFile) -> VoxelSize | None:
    metadata = file.imagej_metadata or {}
    tags = file.pages.first.tags
    unit = UNITS_NM.get(str(metadata.get("unit", "")).replace("\\u00B5", "\u00b5").strip())
    if unit is None or "spacing" not in metadata or "XResolution" not in tags or "YResolution" not in tags:
        return None
    try:
        y, x = (_per_pixel(tags[f"{axis}Resolution"].value) for axis in "YX")
        return float(metadata["spacing"]) * unit, y * unit, x * unit
    except (TypeError, ValueError):
        return None


def _per_pixel(resolution: tuple[int, int]) -> float:
    pixels, units = resolution
    return units / pixels if pixels else 0.0
