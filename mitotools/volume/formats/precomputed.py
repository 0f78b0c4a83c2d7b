"""Neuroglancer's precomputed volumes, through tensorstore: a folder with `info` and one folder a scale.

https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/volume.md
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools import history
from mitotools.errors import InputError, TargetError
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import size3
from mitotools.volume.formats.chunked import (
    ChunkedReader,
    ChunkedWriter,
    Json,
    opened,
    read_json,
    store_of,
    tensorstore,
)
from mitotools.volume.voxel_size import stated_voxel_size

if TYPE_CHECKING:
    from pathlib import Path

    from mitotools.conventions import VoxelSize

DRIVER = "neuroglancer_precomputed"

INFO = "info"

TYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "float32")

COMPRESSIBLE = ("uint32", "uint64")
"""Types of ids that have the encoding compressed_segmentation."""

MOST_COMPRESSIBLE_VOXELS = 2**22
"""Of a chunk: the encoding counts words in 24 bits, and takes three a voxel at worst."""

SEGMENT_BLOCK = (8, 8, 8)


def open_reader(path: Path, dataset: str | None) -> ChunkedReader:
    """Open a scale: the one whose key or number is named, else the first one, of full resolution."""
    name = f"{path}:{dataset}" if dataset else str(path)
    info = read_json(path / INFO)
    index = _scale_index(name, info, dataset)
    scale = info["scales"][index]
    if PurePath(os.path.normpath(str(scale.get("key")))).parts[:1] in (("..",), ("/",)):
        raise InputError(
            name, f"its voxels lie outside of it, in {scale['key']!r}", "Name that volume instead"
        )
    store = store_of(DRIVER, path, scale_index=index)
    array = opened(name, store)
    *size, channels = array.shape
    spec = VolumeSpec(
        shape=(*([channels] if channels > 1 else []), *size3(size[::-1])),
        dtype=np.dtype(array.dtype.numpy_dtype),
        voxel_size_nm=_voxel_size(path, scale),
        history=history.read_sidecar(path),
        chunks=size3(array.chunk_layout.read_chunk.shape[2::-1]),
        is_labels=info.get("type") == "segmentation",
    )
    origin, chunk = array.domain.origin, array.chunk_layout.read_chunk.shape

    def file_of(place: tuple[int, ...]) -> str:
        starts = [n * c for n, c in zip(place[:3], chunk, strict=False)]
        stops = [min(a + c, n) for a, c, n in zip(starts, chunk, size, strict=False)]
        extents = (f"{a + o}-{b + o}" for a, b, o in zip(starts, stops, origin, strict=False))
        return f"{path}/{scale['key']}/{'_'.join(extents)}"

    return ChunkedReader(name, store, spec, None if scale.get("sharding") else file_of)


def planned(spec: VolumeSpec, target: Path) -> VolumeSpec:
    """Return the volume with chunks that are no larger than it."""
    tensorstore(target, TargetError)
    if spec.compression not in ("default", "none"):
        raise TargetError(str(target), f"precomputed has no compression {spec.compression!r}")
    if spec.shards is not None:
        raise TargetError(str(target), "precomputed is written without shards", "Leave --shards out")
    if spec.dtype.name not in TYPES:
        advice = f"Choose another --dtype: {', '.join(TYPES)}"
        raise TargetError(str(target), f"precomputed has no type {spec.dtype}", advice)
    if spec.voxel_size_nm is None:
        why = "precomputed must state a voxel size, and that of this volume is unknown"
        raise TargetError(str(target), why, "Say --voxel-size Z,Y,X")
    return replace(spec, chunks=size3([min(c, n) for c, n in zip(spec.chunks, spec.size, strict=True)]))


def create_writer(path: Path, spec: VolumeSpec, target: Path) -> ChunkedWriter:
    """Create a folder."""
    store = store_of(
        DRIVER,
        path,
        multiscale_metadata={
            "type": "segmentation" if _holds_ids(spec) else "image",
            "data_type": spec.dtype.name,
            "num_channels": spec.channels or 1,
        },
        scale_metadata=_scale(spec),
        store_data_equal_to_fill_value=True,  # so that a chunk that is missing is one that was lost
    )
    return ChunkedWriter(target, store, spec, is_new=True)


def reopen_writer(path: Path, spec: VolumeSpec, target: Path) -> ChunkedWriter:
    """Continue a folder."""
    store = store_of(DRIVER, path, scale_index=0, store_data_equal_to_fill_value=True)
    return ChunkedWriter(target, store, spec, is_new=False)


def _holds_ids(spec: VolumeSpec) -> bool:
    is_labels = spec.is_labels and spec.dtype.kind != "f"  # which no segment can be
    return spec.channels is None and (is_labels or spec.dtype.name in COMPRESSIBLE)


def _scale(spec: VolumeSpec) -> Json:
    z, y, x = spec.voxel_size_nm or (0.0, 0.0, 0.0)  # planned() has refused an unknown one
    scale = {
        "key": "_".join(f"{length:g}" for length in (x, y, z)),
        "size": spec.size[::-1],
        "resolution": (x, y, z),
        "chunk_size": spec.chunks[::-1],
        "voxel_offset": (0, 0, 0),
        "encoding": "raw",
    }
    fits = spec.dtype.name in COMPRESSIBLE and math.prod(spec.chunks) <= MOST_COMPRESSIBLE_VOXELS
    if _holds_ids(spec) and fits and spec.compression == "default":
        scale["encoding"] = "compressed_segmentation"
        scale["compressed_segmentation_block_size"] = SEGMENT_BLOCK
    return scale


def _scale_index(name: str, info: Any, dataset: str | None) -> int:
    scales = info.get("scales") if isinstance(info, dict) else None
    if not isinstance(scales, list) or not scales or not all(isinstance(scale, dict) for scale in scales):
        raise InputError(name, "its info file lists no scales", "Is it a volume, not a mesh or skeletons?")
    if dataset is None:
        return 0
    keys = [str(scale.get("key")) for scale in scales]
    if dataset in keys:
        return keys.index(dataset)
    if dataset.isdecimal() and int(dataset) < len(keys):
        return int(dataset)
    raise InputError(name, f"no such scale; the volume has {', '.join(keys)}")


def _voxel_size(path: Path, scale: Json) -> VoxelSize | None:
    resolution = scale.get("resolution")
    if not isinstance(resolution, list | tuple):
        return None
    return stated_voxel_size(tuple(float(length) for length in resolution[::-1]), path)
