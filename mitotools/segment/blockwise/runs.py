"""Runs of foreground along x, and their connected components.

Foreground is a fifth of a volume or less, and a run of it some ten voxels long: a block is scanned once, and
from then on there are its runs only, a fiftieth as many as voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Array, Size

    Indices = npt.NDArray[np.int32]

REACHES = {
    6: ((0, 1, 0), (1, 0, 0)),
    8: ((0, 1, 1),),
    26: ((0, 1, 1), (1, -1, 1), (1, 0, 1), (1, 1, 1)),
}
"""For each connectivity the earlier rows that a run may touch: planes and rows back, and how much further
than its own voxels it reaches along x. 8 is that of single slices."""


@dataclass(frozen=True, eq=False)
class Runs:
    """The runs of foreground of a block.

    Parameters
    ----------
    starts, stops : (R,) int32, ascending
        Indices of voxels, in the C order of the block; no run leaves its row.
    shape : (Z, Y, X)
        Of the block.
    """

    starts: Indices
    stops: Indices
    shape: Size


@dataclass(frozen=True, eq=False)
class Components:
    """Connected components of runs.

    Parameters
    ----------
    runs : Runs
    numbers : (R,) int32
        The component of each run, 1..count by the first voxel in raster order.
    count : int
    """

    runs: Runs
    numbers: Indices
    count: int


def runs_of(volume: Array) -> Runs:
    """Return the runs of a block's voxels that are not 0.

    Parameters
    ----------
    volume : (Z, Y, X) array of bool, uint8 or uint16
        Of less than 2**31 voxels, C-contiguous.
    """
    depth, height, width = volume.shape
    flat = volume.view(np.uint8) if volume.dtype == np.bool_ else volume
    flat = flat.reshape(-1)
    step = 8 // flat.itemsize
    words = flat[: flat.size // step * step].view(np.uint64)
    room = flat.size // 16 + 1024
    while True:  # twice where there is more than a run in 16 voxels
        starts, stops = np.empty(room, np.int32), np.empty(room, np.int32)
        count = _scan(flat, words, step, width, starts, stops)
        if count <= room:
            return Runs(starts[:count].copy(), stops[:count].copy(), (depth, height, width))
        room = count


def components_of(runs: Runs, connectivity: int) -> Components:
    """Join runs that touch.

    Parameters
    ----------
    runs : Runs
    connectivity : {6, 8, 26}
        Whether voxels touch by a face, or by a face, an edge or a corner; 8: the latter, within a slice.
    """
    depth, height, width = runs.shape
    rows = np.searchsorted(runs.starts, np.arange(depth * height + 1, dtype=np.int64) * width).astype(
        np.int32
    )
    parents = np.arange(runs.starts.size, dtype=np.int32)
    for planes, back, reach in REACHES[connectivity]:
        _join(runs.starts, runs.stops, rows, height, width, planes, back, reach, parents)
    numbers, count = _number(parents)
    return Components(runs, numbers, count)


@njit(cache=True, nogil=True)
def _scan(flat: Array, words: Array, step: int, width: int, starts: Array, stops: Array) -> int:
    """Set starts and stops of runs, as far as there is room, and return how many there are.

    Eight bytes of background are passed over at once: most of a volume is background.
    """
    count, start = 0, -1
    for word in range(words.size + 1):
        first = word * step
        if word < words.size and words[word] == 0:
            if start >= 0:
                count = _add(start, first, width, starts, stops, count)
                start = -1
            continue
        for i in range(first, first + step if word < words.size else flat.size):
            if flat[i] != 0:
                start = i if start < 0 else start
            elif start >= 0:
                count = _add(start, i, width, starts, stops, count)
                start = -1
    return count if start < 0 else _add(start, flat.size, width, starts, stops, count)


@njit(cache=True, nogil=True)
def _add(first: int, last: int, width: int, starts: Array, stops: Array, count: int) -> int:
    """Add what lies from `first` to `last`, cut where rows end."""
    while first < last:
        stop = min(last, (first // width + 1) * width)
        if count < starts.size:
            starts[count], stops[count] = first, stop
        count += 1
        first = stop
    return count


@njit(cache=True, nogil=True)
def _find(parents: Array, i: int) -> int:
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@njit(cache=True, nogil=True)
def _join(
    starts: Array,
    stops: Array,
    rows: Array,
    height: int,
    width: int,
    planes: int,
    back: int,
    reach: int,
    parents: Array,
) -> None:
    """Join runs with those of the row that lies some planes and rows back; a parent is never the later."""
    for row in range(rows.size - 1):
        y = row % height
        other_row = row - planes * height - back
        if other_row < 0 or y - back < 0 or y - back >= height:
            continue
        other, other_end = rows[other_row], rows[other_row + 1]
        shift = (row - other_row) * width
        for run in range(rows[row], rows[row + 1]):
            first, last = starts[run] - shift - reach, stops[run] - shift + reach
            while other < other_end and stops[other] <= first:
                other += 1
            near = other
            while near < other_end and starts[near] < last:
                a, b = _find(parents, run), _find(parents, near)
                if a < b:
                    parents[b] = a
                else:
                    parents[a] = b
                near += 1


@njit(cache=True, nogil=True)
def _number(parents: Array) -> tuple[Array, int]:
    numbers = np.empty(parents.size, np.int32)
    count = 0
    for i in range(parents.size):
        parent = parents[i]
        if parent == i:
            count += 1
            numbers[i] = count
        else:
            numbers[i] = numbers[parent]  # earlier than i, and so numbered
    return numbers, count
