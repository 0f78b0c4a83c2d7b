"""The flood of the marker-controlled watershed: a hierarchical queue of first-in-first-out levels.

The labels are those of F. Meyer's flooding (Traitement du Signal 7, 1990; hierarchical queues: Beucher and
Meyer, 1993), turned upside down, from high to low values. A voxel enters the queue once, at the level of its
own value, so a histogram gives every level its place in one array, and the flood is linear in the voxels.

Voxels are given as runs, not as a volume: components that cross many blocks have bounding boxes that may be
most of the volume, and voxels that lie together in memory are flooded faster than a volume is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from mitotools.segment.blockwise.places import RUN
from mitotools.segment.blockwise.run_sets import merge, offsets_of, ordered, take, thinned

if TYPE_CHECKING:
    from mitotools.conventions import Array, Size

LEVELS = 257
"""Values are 1 to 256; 0 is no foreground."""

BYTES_PER_VOXEL = 30
"""What a flood takes of a voxel that it visits: four neighbours, sides, a queue, a label and a value."""

BYTES_PER_RUN = 80
"""What it takes of a run: several copies of the runs, sorted."""


def flood(runs: Array, values: Array, seeds: Array, shape: Size, room_bytes: float = math.inf) -> Array:
    """Grow markers through voxels of foreground, highest values first.

    Always the voxel of the highest value is taken, among equals the one that entered first; each of its
    6-neighbours that is not yet labelled takes its label and enters. The markers' voxels enter first, in
    raster order. The level is never clamped: a voxel above the current level is the next one.

    The order of one voxel's neighbours decides nothing: they carry one label, and nothing of another label
    comes between them in any level. Floods do not cross between 6-connected components of the foreground, so
    each of them flooded alone gives the same labels. A marker's voxel without a neighbour to label changes
    nothing when it is taken, and is left out from the start: that is most of a marker.

    Parameters
    ----------
    runs : (R,) array of RUN, ascending
        The foreground, or whole components of it; ids do not matter.
    values : (N,) unsigned integers
        The voxels' priorities, run by run, 1 to 256.
    seeds : (S,) array of RUN, ascending
        Voxels of the foreground that are markers; each within one of the runs.
    shape : (Z, Y, X)
        Of the volume.
    room_bytes : float
        The memory that may be taken.

    Returns
    -------
    (M,) array of RUN, ascending
        The voxels that a marker reaches, its id with them; each within one of the runs.

    Raises
    ------
    MemoryError
        Where more than `room_bytes` would be taken.
    """
    shell, inside = thinned(runs, seeds, shape)
    offsets = offsets_of(shell)
    need = int(offsets[-1]) * BYTES_PER_VOXEL + (runs.size + shell.size) * BYTES_PER_RUN
    if need > room_bytes:
        raise MemoryError(need)
    voxels = np.empty(int(offsets[-1]), values.dtype)
    take(runs, values, shell, voxels)
    labels = np.repeat(shell["id"], shell["length"])
    _, height, width = shape
    sides = np.zeros(labels.size, np.uint8)
    _link_rows(shell, offsets, width, sides)
    # The neighbours of a voxel lie together: the flood jumps about, and fetches them at once.
    around = np.full((labels.size, 4), -1, np.int32)
    _link(shell, offsets, width, height, width, around[:, 2], around[:, 1])
    _link(shell, offsets, width * height, 0, width, around[:, 3], around[:, 0])
    _spread(voxels, labels, around, sides)
    del around, sides
    found = np.empty(_reached(shell["start"], offsets, labels, np.empty(0, RUN)), RUN)
    _reached(shell["start"], offsets, labels, found)
    found = ordered(found, inside)
    return found[: merge(found, runs)]


@njit(cache=True, nogil=True)
def _link_rows(runs: Array, offsets: Array, width: int, sides: Array) -> None:
    """Note which voxels have a neighbour before (1) and behind (2) them; a face may have cut their run."""
    for run in range(runs.size):
        first, last = offsets[run], offsets[run + 1] - 1
        for i in range(first, last):
            sides[i] |= 2
            sides[i + 1] |= 1
        end = runs[run].start + runs[run].length
        if run + 1 < runs.size and runs[run + 1].start == end and end % width != 0:
            sides[last] |= 2
            sides[last + 1] |= 1


@njit(cache=True, nogil=True)
def _link(
    runs: Array, offsets: Array, step: int, rows: int, width: int, further: Array, behind: Array
) -> None:
    """Set the neighbour of each voxel `step` further on, and `step` behind.

    With `rows`, the number of rows in a plane, the last row of a plane has no neighbour further on.
    """
    other = 0
    for run in range(runs.size):
        if rows > 0 and (runs[run].start // width) % rows == rows - 1:
            continue
        first, last = runs[run].start + step, runs[run].start + runs[run].length + step
        while other < runs.size and runs[other].start + runs[other].length <= first:
            other += 1
        found = other
        while found < runs.size and runs[found].start < last:
            a = max(first, runs[found].start)
            b = min(last, runs[found].start + runs[found].length)
            here, there = offsets[run] + a - first, offsets[found] + a - runs[found].start
            for k in range(b - a):
                further[here + k] = there + k
                behind[there + k] = here + k
            found += 1


@njit(cache=True, nogil=True)
def _spread(values: Array, labels: Array, around: Array, sides: Array) -> None:
    """Take voxel after voxel, and enter its neighbours, until the queue is empty."""
    heads = np.zeros(LEVELS + 1, np.int64)
    for value in values:
        heads[value + 1] += 1
    heads = np.cumsum(heads)
    ends = heads.copy()
    queue = np.empty(values.size, np.int32)
    for i in range(values.size):
        if labels[i] != 0:
            _enter(i, values, queue, ends)
    level = LEVELS - 1
    while level > 0:
        if heads[level] == ends[level]:
            level -= 1
            continue
        i = int(queue[heads[level]])
        heads[level] += 1
        for k in range(6):
            j = i + 2 * k - 1 if k < 2 else int(around[i, k - 2])
            exists = sides[i] & (k + 1) != 0 if k < 2 else j >= 0
            if exists and labels[j] == 0:
                labels[j] = labels[i]
                level = max(level, _enter(j, values, queue, ends))


@njit(cache=True, nogil=True)
def _enter(i: int, values: Array, queue: Array, ends: Array) -> int:
    """Queue a voxel, and return its level."""
    level = int(values[i])
    queue[ends[level]] = i
    ends[level] += 1
    return level


@njit(cache=True, nogil=True)
def _reached(starts: Array, offsets: Array, labels: Array, found: Array) -> int:
    """Set the runs within which a label, not 0, stays the same, as far as there is room, and count them."""
    count = 0
    for run in range(starts.size):
        i = offsets[run]
        while i < offsets[run + 1]:
            label, first = labels[i], i
            while i < offsets[run + 1] and labels[i] == label:
                i += 1
            if label != 0:
                if count < found.size:
                    found[count].start = starts[run] + first - offsets[run]
                    found[count].length = i - first
                    found[count].id = label
                count += 1
    return count
