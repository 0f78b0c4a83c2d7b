"""Runs of one id along x, a few rows at a time: what everything about instances is measured over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from mitotools.segment.runs import as_ids, group, require_labels

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from mitotools.conventions import Array
    from mitotools.segment.runs import Ids, Integers

    Places = npt.NDArray[np.int32]
    """(R, 4): z, y, and the half-open extent along x."""


PIECE_VOXELS = 1 << 18
"""Voxels whose runs are in memory at the same time; of noise, each is a run."""


@dataclass(frozen=True, eq=False)
class RowRuns:
    """The runs of some rows of a block.

    Parameters
    ----------
    ids : (N,) uint64
        Ascending, background left out.
    owners : (R,) int64
        For each run the index of its id.
    places : (R, 4) int32
        z, y, first x, and the x behind the last, in voxels of the block.
    """

    ids: Ids
    owners: Integers
    places: Places


def plain(labels: Array) -> Array:
    """Return labels as unsigned integers in the order of memory, of which the kernels know four kinds."""
    return np.ascontiguousarray(labels).view(f"u{labels.dtype.itemsize}")


def iterate_row_runs(labels: Array) -> Iterator[RowRuns]:
    """Find the runs of all instances in a block, some rows of it at a time.

    Parameters
    ----------
    labels : (Z, Y, X) integer or bool
        Ids, 0 and above.

    Yields
    ------
    RowRuns
        In C order.

    Raises
    ------
    InputError
        If the type is no integer, or an id is negative.
    """
    require_labels(labels, "labels")
    if labels.size == 0:
        return
    rows = plain(labels).reshape(-1, labels.shape[2])
    at_once = max(1, PIECE_VOXELS // labels.shape[2])
    for first in range(0, len(rows), at_once):
        piece = rows[first : first + at_once]
        counts = _count_runs(piece)
        count = int(counts.sum())
        places, values = np.empty((count, 4), np.int32), np.empty(count, piece.dtype)
        _fill_runs(piece, counts, first, labels.shape[1], places, values)
        yield _owned(as_ids(values.view(labels.dtype), "labels"), places)


def _owned(ids: Ids, places: Places) -> RowRuns:
    groups = group(ids)
    owners = np.empty(len(ids), np.int64)
    counts = np.diff(groups.firsts, append=len(ids))
    owners[groups.order] = np.repeat(np.arange(len(counts)), counts)
    return RowRuns(groups.ids(ids), owners, places)


@njit(cache=True, nogil=True)
def _count_runs(rows: Array) -> Integers:
    """Return the runs of each row: many have none, and to count them takes a quarter of finding them."""
    counts = np.zeros(len(rows), np.int64)
    for r in range(len(rows)):
        row = rows[r]
        count = int(row[0] != 0)
        for x in range(1, len(row)):
            count += (row[x] != 0) & (row[x] != row[x - 1])
        counts[r] = count
    return counts


@njit(cache=True, nogil=True)
def _fill_runs(
    rows: Array, counts: Integers, first_row: int, height: int, places: Places, values: Array
) -> None:
    run = 0
    for r in range(len(rows)):
        row = rows[r]
        left = counts[r]
        x = 0
        while left > 0:
            own = row[x]
            start = x
            x += 1
            while x < len(row) and row[x] == own:
                x += 1
            if own != 0:
                places[run, 0], places[run, 1] = (first_row + r) // height, (first_row + r) % height
                places[run, 2], places[run, 3] = start, x
                values[run] = own
                run += 1
                left -= 1
