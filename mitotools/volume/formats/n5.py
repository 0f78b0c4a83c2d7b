"""N5, read only, through tensorstore: a folder with attributes.json and arrays below it.

Axes are x, y, z in the attributes. The specification: https://github.com/saalfeldlab/n5
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools import history
from mitotools.errors import InputError
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import size3
from mitotools.volume.formats.chunked import ChunkedReader, Json, opened, read_json, store_of
from mitotools.volume.formats.tiff_header import UNITS_NM
from mitotools.volume.voxel_size import stated_voxel_size

if TYPE_CHECKING:
    from mitotools.conventions import VoxelSize

DATASET = "main"

ATTRIBUTES = "attributes.json"

MOST_LEVELS = 6
"""Of folders that are searched for arrays."""

_ARRAY_KEYS = ("dimensions", "blockSize", "dataType")

_LEVEL = re.compile(r"(?P<image>(?:.*/)?)s[1-9]\d*")
"""A lower resolution of the image whose full one is `s0` beside it."""


def open_reader(path: Path, dataset: str | None) -> ChunkedReader:
    """Open an array: the one named, else the only one, else `main`; of several resolutions the full one."""
    name = f"{path}:{dataset}" if dataset else str(path)
    folder = path / dataset if dataset else path
    if not folder.is_dir():
        raise InputError(name, f"no such dataset; the N5 holds {_listing(path)}")
    if not _is_array(folder):
        inner = _choice(name, folder)
        folder /= inner
    store = store_of("n5", folder)
    array = opened(name, store)
    if array.rank not in (3, 4):
        why = f"expected three dimensions (x, y, z), or four with channels, found {array.shape}"
        raise InputError(name, why)
    spec = VolumeSpec(
        shape=tuple(array.shape)[::-1],
        dtype=np.dtype(array.dtype.numpy_dtype),
        voxel_size_nm=_voxel_size(path, folder),
        history=history.read_sidecar(path),
        chunks=size3(array.chunk_layout.read_chunk.shape[2::-1]),
    )
    return ChunkedReader(name, store, spec, lambda place: f"{folder}/{'/'.join(map(str, place))}")


def _choice(name: str, folder: Path) -> str:
    arrays = _arrays(folder)
    if len(arrays) == 1:
        return arrays[0]
    if DATASET in arrays:
        return DATASET
    listing = ", ".join(arrays) or "no array"
    where = f"{name}/NAME" if ":" in name else f"{name}:NAME"
    raise InputError(name, f"which array? It holds {listing}", f"Say {where}")


def _listing(path: Path) -> str:
    return ", ".join(_arrays(path)) or "no array"


def _arrays(folder: Path) -> list[str]:
    """Return the arrays below a folder, of images with several resolutions the full one only."""
    found: list[str] = []
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        if _is_array(current):
            found.append(current.relative_to(folder).as_posix())
        elif len(current.relative_to(folder).parts) < MOST_LEVELS:
            waiting += [Path(entry) for entry in os.scandir(current) if entry.is_dir()]
    return sorted(name for name in found if not _is_lower_level(name, found))


def _is_lower_level(name: str, names: list[str]) -> bool:
    level = _LEVEL.fullmatch(name)
    return level is not None and f"{level['image']}s0" in names


def _attributes(folder: Path) -> Json:
    file = folder / ATTRIBUTES
    content = read_json(file) if file.is_file() else {}
    return content if isinstance(content, dict) else {}


def _is_array(folder: Path) -> bool:
    attributes = _attributes(folder)
    return all(key in attributes for key in _ARRAY_KEYS)


def _voxel_size(path: Path, folder: Path) -> VoxelSize | None:
    """Return what the array says of its voxels, else the groups around it, innermost first."""
    own = _attributes(folder)
    size = _stated_size(own)
    if size is not None:
        return stated_voxel_size(size, path)
    factors = _three(own.get("downsamplingFactors")) or (1.0, 1.0, 1.0)
    while folder != path:
        folder = folder.parent
        size = _stated_size(_attributes(folder))
        if size is not None:
            return stated_voxel_size([a * b for a, b in zip(size, factors[::-1], strict=True)], path)
    return None


def _stated_size(attributes: Json) -> VoxelSize | None:
    """Return (z, y, x) nanometres, from whichever of three conventions there is."""
    transform, pixels = attributes.get("transform"), attributes.get("pixelResolution")
    if isinstance(transform, dict):  # fibsem-tools and COSEM: axes have names
        return _named(transform)
    if isinstance(pixels, dict):  # n5-viewer and n5-spark
        return _in_nm(pixels.get("dimensions"), [pixels.get("unit")] * 3)
    units = attributes.get("units", ["nm"] * 3)  # Paintera and Neuroglancer: nanometres unless they say so
    return _in_nm(attributes.get("resolution"), units)


def _named(transform: Json) -> VoxelSize | None:
    axes, scale, units = (transform.get(key) for key in ("axes", "scale", "units"))
    if not (isinstance(axes, list) and isinstance(scale, list) and isinstance(units, list)):
        return None
    found = {str(axis): (length, unit) for axis, length, unit in zip(axes, scale, units, strict=False)}
    if not set("xyz") <= set(found):
        return None
    return _in_nm([found[axis][0] for axis in "xyz"], [found[axis][1] for axis in "xyz"])


def _in_nm(lengths: Any, units: Any) -> VoxelSize | None:
    """Return lengths along x, y, z as (z, y, x) nanometres."""
    values = _three(lengths[:3] if isinstance(lengths, list) else None)
    if values is None or not isinstance(units, list) or len(units) < 3:
        return None
    factors = [UNITS_NM.get({"nanometer": "nm"}.get(str(unit), str(unit))) for unit in units[:3]]
    if None in factors:
        return None
    z, y, x = (float(f"{v * f:.12g}") for v, f in zip(values[::-1], factors[::-1], strict=True) if f)
    return z, y, x


def _three(values: Any) -> tuple[float, float, float] | None:
    if not isinstance(values, list) or len(values) != 3:
        return None
    if not all(isinstance(value, int | float) for value in values):
        return None
    return float(values[0]), float(values[1]), float(values[2])
