"""The blocks of a volume whose voxels lie in tile files."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mitotools.stages.blocks.pieces import read_pieces
from mitotools.volume.blend import profile
from mitotools.volume.blocks import Box, size3
from mitotools.volume.files import open_volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from mitotools import history
    from mitotools.conventions import Array, Size
    from mitotools.parameters import MergeParameters
    from mitotools.volume.base import VolumeSpec
    from mitotools.volume.path import VolumePath


@dataclass(frozen=True)
class TileFile:
    """A tile on disk: all that it holds, and the part of the volume that is its to give."""

    path: VolumePath
    extent: Box
    core: Box
    volume_size: Size | None
    spec: VolumeSpec
    source: history.Input

    @property
    def is_ours(self) -> bool:
        """Whether the tile states its core, and so needs no blending."""
        return self.volume_size is not None

    @property
    def offset(self) -> Size:
        """Where in the tile's grid of chunks the volume's first voxel would lie."""
        return size3([-a % c for a, c in zip(self.extent.start, self.spec.chunks, strict=True)])


@dataclass(frozen=True)
class Assembly:
    """Where each tile lies: all that is needed to compute a block, wherever it is sent.

    Parameters
    ----------
    paths : list of VolumePath
    extents, cores : (tiles, 2, 3) int64
        First voxel and the one behind, along z, y, x.
    leading : tuple of int
        The number of channels, where there are channels.
    """

    paths: list[VolumePath]
    extents: npt.NDArray[np.int64]
    cores: npt.NDArray[np.int64]
    leading: tuple[int, ...]
    dtype: np.dtype[Any]
    parameters: MergeParameters

    @classmethod
    def of(cls, found: Sequence[TileFile], spec: VolumeSpec, parameters: MergeParameters) -> Self:
        """Return the places of these tiles."""
        return cls(
            paths=[tile.path.absolute() for tile in found],  # a worker may have another working directory
            extents=np.array([(tile.extent.start, tile.extent.stop) for tile in found]),
            cores=np.array([(tile.core.start, tile.core.stop) for tile in found]),
            leading=spec.shape[:-3],
            dtype=spec.dtype,
            parameters=parameters,
        )

    def __call__(self, box: Box, threads: int) -> Array:
        """Return the voxels of `box`, all channels, read by several threads."""
        starts, stops = self.cores[:, 0], self.cores[:, 1]
        touching = np.flatnonzero(((starts < box.stop) & (stops > box.start)).all(axis=1)).tolist()
        cores = [Box(size3(start), size3(stop)) for start, stop in self.cores[touching]]
        block = np.full(self.leading + box.shape, self.parameters.fill or 0, self.dtype)
        if _overlap(cores):
            self._blend(box, block, touching, cores, threads)
            return block
        for tile, core in zip(touching, cores, strict=True):
            shared = core.intersection(box)
            block[(..., *shared.relative_to(box.start).slices)] = self._read(tile, shared, threads)
        return block

    def _blend(self, box: Box, block: Array, touching: list[int], cores: list[Box], threads: int) -> None:
        """Fill in the weighted mean of tiles that overlap, or the tile of most weight with "none"."""
        total = np.zeros(block.shape, np.float64)
        weights = np.zeros(box.shape, np.float64)
        tiles_over = np.zeros(box.shape, np.uint16)
        for tile, core in zip(touching, cores, strict=True):
            shared = core.intersection(box)
            values, weight = self._read(tile, shared, threads), _weight(core, shared, self.parameters.blend)
            inside = shared.relative_to(box.start).slices
            if self.parameters.blend == "none":
                nearer = weight > weights[inside]
                block[(..., *inside)][..., nearer] = values[..., nearer]
                weights[inside] = np.maximum(weights[inside], weight)
            else:
                # Where this is the only tile the voxel stays as it is, whatever block it is in.
                block[(..., *inside)] = values
                total[(..., *inside)] += weight * values
                weights[inside] += weight
                tiles_over[inside] += 1
        several = tiles_over > 1
        mean = total[..., several] / weights[several]
        block[..., several] = mean if self.dtype.kind == "f" else np.rint(mean)

    def _read(self, tile: int, box: Box, threads: int) -> Array:
        with open_volume(self.paths[tile]) as volume:
            return read_pieces(volume, box.relative_to(size3(self.extents[tile, 0])), threads)


def _overlap(cores: list[Box]) -> bool:
    pairs = itertools.combinations(cores, 2)
    return any(not a.intersection(b).is_empty for a, b in pairs)


def _weight(core: Box, box: Box, blend: str) -> npt.NDArray[np.float64]:
    z, y, x = (
        profile(blend, length)[part]
        for length, part in zip(core.shape, box.relative_to(core.start).slices, strict=True)
    )
    return z[:, None, None] * y[None, :, None] * x[None, None, :]
