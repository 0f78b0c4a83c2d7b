"""The resolutions of an OME-Zarr image: sizes and voxel sizes, no voxels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from mitotools.volume.blocks import size3

if TYPE_CHECKING:
    from mitotools.conventions import Size, VoxelSize
    from mitotools.volume.base import VolumeSpec


def step(size: Size, voxel_size_nm: VoxelSize | None) -> Size:
    """Return by how much each axis shrinks from one level to the next: 1 or 2.

    An axis is halved unless the others come nearer to its voxel size without it, that is, unless its voxels
    are sqrt(2) times as long as the shortest: 30,8,8 nm become 30,16,16, then 30,32,32, then 60,64,64. An
    axis of one voxel stays, and is no measure for the others.
    """
    lengths = voxel_size_nm or (1.0, 1.0, 1.0)
    shortest = min((v for v, n in zip(lengths, size, strict=True) if n > 1), default=0.0)
    halved = [n > 1 and v < shortest * math.sqrt(2) for v, n in zip(lengths, size, strict=True)]
    return size3([1 + flag for flag in halved])


def pyramid(spec: VolumeSpec) -> list[VolumeSpec]:
    """Return what each level is, the full resolution first: `spec.levels` of them, or as many as there are.

    Parameters
    ----------
    spec : VolumeSpec
        As planned.
    """
    levels = [spec]
    while len(levels) < spec.levels:
        shape = step(levels[-1].size, levels[-1].voxel_size_nm)
        if shape == (1, 1, 1):
            break
        levels.append(_shrunk(levels[-1], shape, spec))
    return levels


def factors(levels: list[VolumeSpec]) -> list[Size]:
    """Return how many voxels of the full resolution, along each axis, become one voxel of each level."""
    found = [(1, 1, 1)]
    for finer in levels[:-1]:
        shrinking = step(finer.size, finer.voxel_size_nm)
        found.append(size3([a * b for a, b in zip(found[-1], shrinking, strict=True)]))
    return found


def clipped(spec: VolumeSpec) -> VolumeSpec:
    """Return the volume with chunks no larger than it, and shards no larger than the chunks that cover it."""
    chunks = size3([min(c, n) for c, n in zip(spec.chunks, spec.size, strict=True)])
    shards = spec.shards and size3(
        [min(s, -(-n // c) * c) for s, n, c in zip(spec.shards, spec.size, chunks, strict=True)]
    )
    return replace(spec, chunks=chunks, shards=shards)


def _shrunk(finer: VolumeSpec, shrinking: Size, full: VolumeSpec) -> VolumeSpec:
    size = [-(-n // f) for n, f in zip(finer.size, shrinking, strict=True)]
    voxel = finer.voxel_size_nm
    if voxel is not None:
        z, y, x = (v * f for v, f in zip(voxel, shrinking, strict=True))
        voxel = (z, y, x)
    shape = (*finer.shape[:-3], *size)
    return clipped(
        replace(full, shape=shape, voxel_size_nm=voxel, chunks=full.chunks, shards=full.shards, levels=1)
    )
