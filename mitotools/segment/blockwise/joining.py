"""What blocks know, joined: the parts of markers and components found, and instances numbered.

Tables grow with what crosses the faces of blocks, and with the instances that stay.
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

    from mitotools.segment.blockwise.places import Flags, Integers
    from mitotools.segment.blockwise.tables import Known, Shared

BYTES_PER_ROW = 160
"""What joining takes of each row of the tables, and of each shared voxel: names, nodes, edges, sorted."""

BLOCK_SHIFT = 32
"""A part of a component is named by its block's number and its number there, in one integer."""


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

    def of(self, names: Integers) -> Integers:
        """Return the groups of parts that are there."""
        found: Integers = self.group_of[np.searchsorted(self.names, names)]
        return found


@dataclass(frozen=True, eq=False)
class Numbers:
    """Parts by name, and a number for each: of the instance, or of something on the way to it.

    Parameters
    ----------
    names : (N,) int64, ascending
    numbers : (N,) int64
        0 for a part that is dropped.
    """

    names: Integers
    numbers: Integers

    def of(self, block: int, ids: Integers) -> Integers:
        """Return the numbers of a block's own numbers; 0 for those that are not there."""
        if self.names.size == 0:
            return np.zeros(ids.size, np.int64)
        names = names_of(block, ids)
        at = np.minimum(np.searchsorted(self.names, names), self.names.size - 1)
        return np.where(self.names[at] == names, self.numbers[at], 0)

    def through(self, numbers: Integers) -> Numbers:
        """Return the parts with the numbers of their numbers, those that get none left out."""
        new = numbers[self.numbers]
        return Numbers(self.names[new != 0], new[new != 0])


@dataclass(frozen=True, eq=False)
class Markers:
    """All instances in the making, numbered from 1: those within blocks, then those across.

    Parameters
    ----------
    numbers : Numbers
        Of the blocks' parts.
    firsts : (M + 1,) int64
        Index of the voxel that decides the order, by number.
    voxels : (M + 1,) int64
        Voxels that each is known to have.
    """

    numbers: Numbers
    firsts: Integers
    voxels: Integers

    def final(self, more_voxels: Integers | int, min_size_voxels: int) -> Integers:
        """Return the number of each one's instance, 1..n in raster order of first voxels; 0: too small.

        Parameters
        ----------
        more_voxels : (M + 1,) int64, or 0
            Those that were not known.
        min_size_voxels : int
        """
        stays = self.voxels + more_voxels >= max(min_size_voxels, 1)
        stays[0] = False
        kept = np.flatnonzero(stays)
        numbers = np.zeros(stays.size, np.int64)
        numbers[kept[np.argsort(self.firsts[kept])]] = np.arange(1, kept.size + 1)
        return numbers


def names_of(block: int, ids: npt.NDArray[np.integer]) -> Integers:
    """Return the names of parts in a block."""
    names: Integers = np.asarray(ids, np.int64) | (block << BLOCK_SHIFT)
    return names


def every(arrays: Sequence[npt.NDArray[np.integer]]) -> Integers:
    """Return the arrays of all blocks as one."""
    return np.concatenate([np.zeros(0, np.int64), *arrays])


def all_names(ids: Sequence[npt.NDArray[np.integer]]) -> Integers:
    """Return the names of parts, given those of every block."""
    return every([names_of(block, own) for block, own in enumerate(ids)])


def joined(shared: Sequence[Shared]) -> Groups:
    """Join parts that were seen at the same voxel; those that nobody else saw stay alone."""
    names = all_names([table.ids for table in shared])  # ascending: blocks are, and ids in them
    at = every([table.at for table in shared])
    order = np.argsort(at, kind="stable")
    is_same = np.diff(at[order]) == 0
    nodes = np.searchsorted(names, all_names([table.at_ids for table in shared])).astype(np.uint32)[order]
    del at, order
    one, other = nodes[:-1][is_same], nodes[1:][is_same]
    edges = coo_array((np.ones(one.size, np.bool_), (one, other)), shape=(names.size, names.size))
    count, group_of = connected_components(edges, directed=False)
    return Groups(names, group_of.astype(np.int64), int(count))


def group_voxels(shared: Sequence[Shared], groups: Groups) -> Integers:
    """Count the voxels of components across blocks, the groups of which are those of the same tables."""
    voxels = np.zeros(groups.count, np.int64)
    np.add.at(voxels, groups.group_of, every([table.voxels for table in shared]))
    return voxels


def group_firsts(shared: Sequence[Shared], groups: Groups) -> Integers:
    """Return the first voxels of components across blocks; likewise."""
    firsts = np.full(groups.count, np.iinfo(np.int64).max)
    np.minimum.at(firsts, groups.group_of, every([table.firsts for table in shared]))
    return firsts


def joined_markers(
    known: Sequence[Known], groups: Groups, firsts: Integers, voxels: Integers, stays: Flags
) -> Markers:
    """Give numbers to what is known in blocks, and then the groups that stay.

    Parameters
    ----------
    known : sequence of Known
        Of every block.
    groups : Groups
        Of what the blocks share.
    firsts, voxels : (G,) int64
        Of each group.
    stays : (G,) bool
    """
    closed = all_names([table.ids for table in known])
    numbers = np.where(stays, np.cumsum(stays) + closed.size, 0)[groups.group_of]
    names = np.concatenate([closed, groups.names])
    order = np.argsort(names, kind="stable")
    return Markers(
        Numbers(names[order], np.concatenate([np.arange(1, closed.size + 1), numbers])[order]),
        np.concatenate([[-1], every([table.firsts for table in known]), firsts[stays]]),
        np.concatenate([[0], every([table.voxels for table in known]), voxels[stays]]),
    )
