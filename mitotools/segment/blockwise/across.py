"""Components of a watershed's foreground that cross blocks: which there are, and their flood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mitotools.segment.blockwise.flood import BYTES_PER_RUN, BYTES_PER_VOXEL, flood
from mitotools.segment.blockwise.joining import (
    BLOCK_SHIFT,
    group_voxels,
    joined,
    names_of,
)
from mitotools.segment.blockwise.painting import selected
from mitotools.segment.blockwise.watershed import SEVERAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mitotools.conventions import Array, Size
    from mitotools.segment.blockwise.joining import Groups, Numbers
    from mitotools.segment.blockwise.places import Integers
    from mitotools.segment.blockwise.tables import Shared


VALUE_BYTES = 2
"""Of a voxel of the landscape, at most."""


@dataclass(frozen=True, eq=False)
class Crossing:
    """Components across blocks.

    Parameters
    ----------
    groups : Groups
        Their parts.
    voxels : (G,) int64
        Of each.
    nbytes : (G,) int64
        About what its flood would take, at most.
    marker : (G,) int64
        The one marker in it, to which all of it belongs; 0: none; SEVERAL: it has to be flooded.
    """

    groups: Groups
    voxels: Integers
    nbytes: Integers
    marker: Integers

    def groups_in(self, batch: Mapping[int, Integers]) -> Integers:
        """Return the components of which there are parts, given by the blocks' own numbers."""
        names = np.concatenate([names_of(block, own) for block, own in batch.items()])
        return np.unique(self.groups.of(names))

    def bytes_of(self, batch: Mapping[int, Integers]) -> int:
        """Return about what their flood would take."""
        return int(self.nbytes[self.groups_in(batch)].sum())

    def alone(self) -> Integers:
        """Return the marker of each part of a component, 0 where there is not exactly one."""
        return np.maximum(self.marker, 0)[self.groups.group_of]


def crossing_components(
    shared: Sequence[Shared], pieces: Iterable[Integers], pairs: Iterable[Integers], markers: Numbers
) -> Crossing:
    """Join components of blocks, and find the markers in them.

    Parameters
    ----------
    shared : sequence of Shared
        The components of every block.
    pieces : iterable of (N, 2) int64
        Components, and how many runs of each and of the markers in it every block has.
    pairs : iterable of (P, 2) int64
        The components and markers that overlap in every block.
    markers : Numbers
    """
    groups = joined(shared)
    found = [np.zeros((2, 0), np.int64)]
    for block, table in enumerate(pairs):
        marker = markers.of(block, table[:, 1])
        names = names_of(block, table[marker != 0, 0])
        found.append(np.stack([groups.of(names), marker[marker != 0]]))
    group, marker = np.unique(np.concatenate(found, axis=1), axis=1)
    only = np.zeros(groups.count, np.int64)
    only[group] = marker
    only[np.bincount(group, minlength=groups.count) > 1] = SEVERAL
    voxels = group_voxels(shared, groups)
    runs = np.zeros(groups.count, np.int64)
    for block, table in enumerate(pieces):
        known = table[np.isin(table[:, 0], shared[block].ids)]
        np.add.at(runs, groups.of(names_of(block, known[:, 0])), known[:, 1])
    nbytes = voxels * (BYTES_PER_VOXEL + 2 * VALUE_BYTES) + runs * 3 * BYTES_PER_RUN
    return Crossing(groups, voxels, nbytes, only)


def batched(crossing: Crossing, most: float) -> list[dict[int, Integers]]:
    """Return which components, of which blocks, are flooded together: about as many as take `most` bytes."""
    groups, nbytes = crossing.groups, crossing.nbytes
    several = np.flatnonzero(crossing.marker == SEVERAL)
    batch_of = np.full(groups.count, -1)
    batch, filled = 0, 0
    for group in several[np.argsort(-nbytes[several], kind="stable")].tolist():  # the longest first
        if filled and filled + nbytes[group] > most:
            batch, filled = batch + 1, 0
        batch_of[group] = batch
        filled += int(nbytes[group])
    of_part = batch_of[groups.group_of]
    block, own = groups.names >> BLOCK_SHIFT, groups.names & ((1 << BLOCK_SHIFT) - 1)
    order = np.lexsort((groups.names, of_part))
    order = order[of_part[order] >= 0]
    cuts = np.flatnonzero((np.diff(of_part[order]) != 0) | (np.diff(block[order]) != 0)) + 1
    found: list[dict[int, Integers]] = [{} for _ in range(batch + 1 if order.size else 0)]
    for part in np.split(order, cuts) if order.size else ():
        found[of_part[part[0]]][int(block[part[0]])] = own[part]
    return found


@dataclass(frozen=True, eq=False)
class Gathered:
    """Voxels of components in one block; ids of the seeds are markers.

    Parameters
    ----------
    runs : (R,) array of RUN
    values : (V,) array
        The landscape, run by run.
    seeds : (S,) array of RUN
    """

    runs: Array
    values: Array
    seeds: Array

    @property
    def nbytes(self) -> int:
        """Memory of all that."""
        return self.runs.nbytes + self.values.nbytes + self.seeds.nbytes


def gathered(
    runs: Array, values: Array, seeds: Array, components: Integers, block: int, markers: Numbers
) -> Gathered:
    """Take some components of a block from all that it has put aside.

    Parameters
    ----------
    runs, values, seeds
        See `WatershedPart`.
    components : (N,) int64
        The block's own numbers.
    block : int
    markers : Numbers
        Of the blocks' markers.
    """
    wanted = np.flatnonzero(np.isin(runs["id"], components))
    inside = np.zeros(runs.size, np.bool_)
    inside[wanted] = True
    # A seed is a piece of one run.
    seeds = seeds[inside[np.searchsorted(runs["start"], seeds["start"], "right") - 1]]
    seeds["id"] = markers.of(block, seeds["id"])
    return Gathered(runs[wanted], selected(values, runs["length"], wanted), seeds[seeds["id"] != 0])


def flooded(
    parts: Mapping[int, Gathered], shape: Size, room_bytes: float
) -> tuple[dict[int, Array], Integers, Integers]:
    """Flood components that are all there.

    Parameters
    ----------
    parts : mapping of int to Gathered
        By block.
    shape : (Z, Y, X)
        Of the volume.
    room_bytes : float
        The memory that may be taken.

    Returns
    -------
    runs : dict of int to array of RUN
        What markers reach, by block; ids are the markers.
    markers, voxels : (M,) int64
        How much each reaches.

    Raises
    ------
    MemoryError
        Where there is no room.
    """
    runs = np.concatenate([part.runs for part in parts.values()])
    seeds = np.concatenate([part.seeds for part in parts.values()])
    of_block = np.repeat(list(parts), [part.runs.size for part in parts.values()])
    order = np.argsort(runs["start"])
    values = selected(np.concatenate([part.values for part in parts.values()]), runs["length"], order)
    runs, of_block = runs[order], of_block[order]
    reached = flood(runs, values, seeds[np.argsort(seeds["start"])], shape, room_bytes)
    block = of_block[np.searchsorted(runs["start"], reached["start"], "right") - 1]
    markers, of_run = np.unique(reached["id"], return_inverse=True)
    voxels = np.zeros(markers.size, np.int64)
    np.add.at(voxels, of_run, reached["length"])
    return {own: reached[block == own] for own in parts}, markers.astype(np.int64), voxels
