"""What blocks know of markers and components, joined: the parts of each found, and markers numbered.

Tables grow with what crosses the faces of blocks, and with the markers that stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from mitotools.segment.block_watershed import BlockPart

    Integers = npt.NDArray[np.int64]

BLOCK_SHIFT = 32
"""A part of a marker or component is named by its block's number and its number there, in one integer."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Parts that belong together.

    Parameters
    ----------
    names : (N,) int64, ascending
        The parts: block << 32 | number.
    group_of : (N,) int64
        0 to count - 1.
    count : int
    """

    names: Integers
    group_of: Integers
    count: int


@dataclass(frozen=True, eq=False)
class Markers:
    """All markers that stay, numbered from 1: those within blocks, then those across.

    Parameters
    ----------
    names : (N,) int64, ascending
        The parts of markers.
    numbers : (N,) int64
        The marker of each; 0 for one that is dropped.
    firsts : (M + 1,) int64
        Position of each marker's first voxel, by number.
    voxels : (M + 1,) int64
        Voxels that each has reached within blocks.
    """

    names: Integers
    numbers: Integers
    firsts: Integers
    voxels: Integers

    def of(self, block: int, ids: Integers) -> Integers:
        """Return the markers of a block's own numbers; 0 for those that are dropped, or 0."""
        names = names_of(block, ids)
        at = np.minimum(np.searchsorted(self.names, names), max(self.names.size - 1, 0))
        if self.names.size == 0:
            return np.zeros(ids.size, np.int64)
        return np.where((self.names[at] == names) & (ids != 0), self.numbers[at], 0)


def names_of(block: int, ids: Integers) -> Integers:
    """Return the names of parts in a block."""
    names: Integers = np.asarray(ids, np.int64) | (block << BLOCK_SHIFT)
    return names


def joined(names: Integers, at: Integers, shared: Integers) -> Groups:
    """Join parts that were seen at the same voxel.

    Parameters
    ----------
    names : (N,) int64
        All parts; those that are shared may be missing.
    at, shared : (S,) int64
        Voxels, and the parts that were seen there.
    """
    parts = np.unique(np.concatenate([names, shared]))
    order = np.lexsort((shared, at))
    at, nodes = at[order], np.searchsorted(parts, shared[order])
    same = np.flatnonzero(at[1:] == at[:-1])
    edges = coo_array(
        (np.ones(same.size, np.bool_), (nodes[same], nodes[same + 1])), shape=(parts.size, parts.size)
    )
    count, group_of = connected_components(edges, directed=False)
    return Groups(parts, group_of.astype(np.int64), int(count))


def joined_components(parts: Sequence[BlockPart]) -> Groups:
    """Return which open components of the blocks are one."""
    own = [names_of(block, np.unique(part.run_components)) for block, part in enumerate(parts)]
    shared = [names_of(block, part.component_ids) for block, part in enumerate(parts)]
    return joined(_all(own), _all([part.component_at for part in parts]), _all(shared))


def joined_markers(parts: Sequence[BlockPart], min_seed_voxels: int) -> Markers:
    """Give numbers to the markers that stay; the size of one that crosses blocks is that of all its parts."""
    own = [names_of(block, part.open_ids) for block, part in enumerate(parts)]
    shared = [names_of(block, part.marker_ids) for block, part in enumerate(parts)]
    groups = joined(_all(own), _all([part.marker_at for part in parts]), _all(shared))
    at = groups.group_of[np.searchsorted(groups.names, _all(own))]
    sizes = np.zeros(groups.count, np.int64)
    np.add.at(sizes, at, _all([part.open_voxels for part in parts]))
    firsts = np.full(groups.count, np.iinfo(np.int64).max)
    np.minimum.at(firsts, at, _all([part.open_firsts for part in parts]))
    stays = sizes >= max(min_seed_voxels, 1)

    closed = _all([names_of(block, part.ids) for block, part in enumerate(parts)])
    numbers = np.where(stays, np.cumsum(stays) + closed.size, 0)[groups.group_of]
    names = np.concatenate([closed, groups.names])
    order = np.argsort(names, kind="stable")
    return Markers(
        names[order],
        np.concatenate([np.arange(1, closed.size + 1), numbers])[order],
        np.concatenate([[-1], _all([part.firsts for part in parts]), firsts[stays]]),
        np.concatenate([[0], _all([part.voxels for part in parts]), np.zeros(stays.sum(), np.int64)]),
    )


def group_voxels(parts: Sequence[BlockPart], groups: Groups) -> Integers:
    """Count the voxels of components across blocks."""
    names = _all([names_of(block, part.run_components) for block, part in enumerate(parts)])
    voxels = np.zeros(groups.count, np.int64)
    at = groups.group_of[np.searchsorted(groups.names, names)]
    np.add.at(voxels, at, _all([part.run_lengths for part in parts]))
    return voxels


def batched(groups: Groups, voxels: Integers, most: int) -> list[dict[int, Integers]]:
    """Return which components, of which blocks, are flooded together: about as many as make `most` voxels."""
    batch_of = np.zeros(groups.count, np.int64)
    batch, filled = 0, 0
    for group in np.argsort(-voxels, kind="stable").tolist():  # the largest first: they take longest
        if filled and filled + voxels[group] > most:
            batch, filled = batch + 1, 0
        batch_of[group] = batch
        filled += int(voxels[group])
    block = groups.names >> BLOCK_SHIFT
    own = groups.names & ((1 << BLOCK_SHIFT) - 1)
    of_part = batch_of[groups.group_of]
    order = np.lexsort((groups.names, of_part))
    cuts = np.flatnonzero((np.diff(of_part[order]) != 0) | (np.diff(block[order]) != 0)) + 1
    found: list[dict[int, Integers]] = [{} for _ in range(batch + 1)]
    for part in np.split(order, cuts):
        found[of_part[part[0]]][int(block[part[0]])] = own[part]
    return found


def final_numbers(markers: Markers, voxels: Integers, min_size_voxels: int) -> Integers:
    """Return the number of each marker's instance, 1..n in raster order of first voxels; 0: too small.

    Parameters
    ----------
    markers : Markers
    voxels : (M + 1,) int64
        Of each instance, within and across blocks.
    min_size_voxels : int
    """
    stays = voxels >= max(min_size_voxels, 1)
    stays[0] = False
    kept = np.flatnonzero(stays)
    numbers = np.zeros(stays.size, np.int64)
    numbers[kept[np.argsort(markers.firsts[kept])]] = np.arange(1, kept.size + 1)
    return numbers


def _all(arrays: Sequence[Integers]) -> Integers:
    return np.concatenate(arrays) if arrays else np.zeros(0, np.int64)
