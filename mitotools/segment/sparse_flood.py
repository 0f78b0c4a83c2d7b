"""The flood of the marker-controlled watershed over voxels that are given as runs, not as a volume.

Components of the foreground that cross many blocks are gathered voxel by voxel: their bounding boxes may be
most of the volume. Labels are those of `flood`, which says what it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from mitotools.segment.flood import LEVELS

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Array, Size

    Integers = npt.NDArray[np.int64]
    Landscape = npt.NDArray[np.uint8]

BYTES_PER_VOXEL = 48
"""What a flood takes: six neighbours, a queue, values, markers in and labels out, and sorting all that."""


def flood_runs(starts: Integers, lengths: Integers, values: Landscape, markers: Array, shape: Size) -> Array:
    """Grow markers through voxels of foreground, highest values first.

    Parameters
    ----------
    starts : (R,) int64, ascending
        Index of each run's first voxel in the volume, in C order; a run does not leave its row along x.
    lengths : (R,) int64
    values : (N,) uint8
        The voxels' priorities, run by run.
    markers : (N,) unsigned integers
        The markers' voxels; 0 elsewhere.
    shape : (Z, Y, X)
        Of the volume.

    Returns
    -------
    (N,) array of the markers' type
        The marker that reaches each voxel, or 0.
    """
    labels = markers.copy()
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    _, height, width = shape
    # The six of a voxel lie together: the flood jumps about, and fetches them at once.
    around = np.full((labels.size, 6), -1, np.int32)
    _link_rows(starts, lengths, offsets, width, around)
    _link(starts, lengths, offsets, width, height, width, around[:, 4], around[:, 1])
    _link(starts, lengths, offsets, width * height, 0, width, around[:, 5], around[:, 0])
    _spread(values, labels, around)
    return labels


@njit(cache=True, nogil=True)
def _link_rows(starts: Integers, lengths: Integers, offsets: Integers, width: int, around: Array) -> None:
    """Set the neighbours along x: runs that touch may have been cut by a block's face."""
    for run in range(starts.size):
        first, last = offsets[run], offsets[run + 1] - 1
        for i in range(first, last):
            around[i, 3], around[i + 1, 2] = i + 1, i
        end = starts[run] + lengths[run]
        if run + 1 < starts.size and starts[run + 1] == end and end % width != 0:
            around[last, 3], around[last + 1, 2] = last + 1, last


@njit(cache=True, nogil=True)
def _link(
    starts: Integers,
    lengths: Integers,
    offsets: Integers,
    step: int,
    rows: int,
    width: int,
    further: Array,
    behind: Array,
) -> None:
    """Set the neighbour of each voxel `step` further on, and `step` behind.

    With `rows`, the number of rows in a plane, the last row of a plane has no neighbour further on.
    """
    other = 0
    for run in range(starts.size):
        if rows > 0 and (starts[run] // width) % rows == rows - 1:
            continue
        first, last = starts[run] + step, starts[run] + lengths[run] + step
        while other < starts.size and starts[other] + lengths[other] <= first:
            other += 1
        found = other
        while found < starts.size and starts[found] < last:
            a = max(first, starts[found])
            b = min(last, starts[found] + lengths[found])
            here, there = offsets[run] + a - first, offsets[found] + a - starts[found]
            for k in range(b - a):
                further[here + k] = there + k
                behind[there + k] = here + k
            found += 1


@njit(cache=True, nogil=True)
def _spread(values: Landscape, labels: Array, around: Array) -> None:
    """Take voxel after voxel, and enter its neighbours, until the queue is empty."""
    heads = np.zeros(LEVELS + 1, np.int64)
    for value in values:
        heads[value + 1] += 1
    heads = np.cumsum(heads)
    ends = heads.copy()
    queue = np.empty(values.size, np.int32)
    for i in range(values.size):
        if labels[i] != 0:
            queue[ends[values[i]]] = i
            ends[values[i]] += 1
    level = LEVELS - 1
    while level >= 0:
        if heads[level] == ends[level]:
            level -= 1
            continue
        i = queue[heads[level]]
        heads[level] += 1
        for k in range(6):
            j = around[i, k]
            if j >= 0 and labels[j] == 0:
                labels[j] = labels[i]
                queue[ends[values[j]]] = j
                ends[values[j]] += 1
                level = max(level, int(values[j]))


def selected(voxels: Array, lengths: Integers, order: Integers) -> Array:
    """Return the voxels of runs in another order of the runs."""
    result = np.empty_like(voxels)
    _select(voxels, np.concatenate([[0], np.cumsum(lengths)]), order, result)
    return result


@njit(cache=True, nogil=True)
def _select(voxels: Array, offsets: Integers, order: Integers, result: Array) -> None:
    end = 0
    for run in order:
        for i in range(offsets[run], offsets[run + 1]):
            result[end] = voxels[i]
            end += 1


@njit(cache=True, nogil=True)
def reached_runs(
    starts: Integers, lengths: Integers, labels: Array
) -> tuple[Integers, Integers, Integers, Integers]:
    """Return the runs within which a label, not 0, stays the same.

    Parameters
    ----------
    starts, lengths : (R,) int64
    labels : (N,) unsigned integers
        Of the voxels, run by run.

    Returns
    -------
    starts, lengths, labels, runs : (M,) int64
        The last is the run that each is a part of.
    """
    count = 0
    position = 0
    for run in range(starts.size):
        for k in range(lengths[run]):
            is_first = k == 0 or labels[position - 1] != labels[position]
            count += is_first and labels[position] != 0
            position += 1
    found = np.empty((4, count), np.int64)
    position, end = 0, -1
    for run in range(starts.size):
        for k in range(lengths[run]):
            if labels[position] != 0:
                if k == 0 or labels[position - 1] != labels[position]:
                    end += 1
                    found[0, end], found[1, end] = starts[run] + k, 0
                    found[2, end], found[3, end] = labels[position], run
                found[1, end] += 1
            position += 1
    return found[0], found[1], found[2], found[3]


def painted(
    block: Array, starts: Integers, lengths: Integers, values: Array, origin: Size, shape: Size
) -> None:
    """Set the voxels of runs, in place.

    Parameters
    ----------
    block : (Z, Y, X) array
        A part of the volume.
    starts, lengths : (R,) int64
        Runs of indices into the whole volume, in C order, none longer than its row; what lies outside the
        block is left out.
    values : (R,) integers
    origin : (z, y, x)
        Of the block's first voxel.
    shape : (Z, Y, X)
        Of the whole volume.
    """
    _paint(block, starts, lengths, values, origin, shape)


@njit(cache=True, nogil=True)
def _paint(
    block: Array, starts: Integers, lengths: Integers, values: Array, origin: Size, shape: Size
) -> None:
    depth, height, width = block.shape
    for run in range(starts.size):
        z = starts[run] // (shape[1] * shape[2]) - origin[0]
        y = starts[run] // shape[2] % shape[1] - origin[1]
        x = starts[run] % shape[2] - origin[2]
        if 0 <= z < depth and 0 <= y < height:
            for i in range(max(x, 0), min(x + lengths[run], width)):
                block[z, y, i] = values[run]
