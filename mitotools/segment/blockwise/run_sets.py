"""Sets of voxels as runs: what is left of some without others, next to others, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from mitotools.segment.blockwise.places import RUN

if TYPE_CHECKING:
    from mitotools.conventions import Array, Size


def thinned(runs: Array, seeds: Array, shape: Size) -> tuple[Array, Array]:
    """Part voxels that a flood visits from those inside markers, which it does not.

    Parameters
    ----------
    runs, seeds, shape
        See `flood`.

    Returns
    -------
    shell, inside : arrays of RUN, ascending
        Voxels without a marker, of id 0, and the markers' voxels that are 6-neighbours of them; the markers'
        other voxels.
    """
    free = np.empty(runs.size + seeds.size, RUN)
    free = free[: _subtract(runs, seeds, free)]
    offsets = offsets_of(seeds)
    flags = np.zeros(int(offsets[-1]), np.bool_)
    _, height, width = shape
    for axis in range(3):
        for sign in (-1, 1):
            _flag(seeds, offsets, free, axis, sign, height, width, flags)
    parts = []
    for wanted in (True, False):
        part = np.empty(_flagged(seeds, offsets, flags, wanted, np.empty(0, RUN)), RUN)
        _flagged(seeds, offsets, flags, wanted, part)
        parts.append(part)
    return ordered(free, parts[0]), parts[1]


def ordered(first: Array, second: Array) -> Array:
    """Return two ascending arrays of RUN as one."""
    result = np.empty(first.size + second.size, RUN)
    _order(first, second, result)
    return result


@njit(cache=True, nogil=True)
def _order(first: Array, second: Array, result: Array) -> None:
    i, j = 0, 0
    for k in range(result.size):
        if j == second.size or (i < first.size and first[i].start < second[j].start):
            result[k] = first[i]
            i += 1
        else:
            result[k] = second[j]
            j += 1


def offsets_of(runs: Array) -> Array:
    """Return how many voxels lie before each run, and at the end, how many there are."""
    offsets = np.zeros(runs.size + 1, np.int64)
    np.cumsum(runs["length"], out=offsets[1:])
    return offsets


@njit(cache=True, nogil=True)
def _subtract(runs: Array, seeds: Array, free: Array) -> int:
    """Set what of the runs is no seed, and return how many pieces there are."""
    count, near = 0, 0
    for run in runs:
        first, last = run.start, run.start + run.length
        while near < seeds.size and seeds[near].start + seeds[near].length <= first:
            near += 1
        other = near
        while first < last:
            stop, after = last, last
            if other < seeds.size and seeds[other].start < last:
                stop, after = seeds[other].start, seeds[other].start + seeds[other].length
                other += 1
            if stop > first:
                free[count].start, free[count].length, free[count].id = first, stop - first, 0
                count += 1
            first = after
    return count


@njit(cache=True, nogil=True)
def _flag(
    seeds: Array, offsets: Array, free: Array, axis: int, sign: int, height: int, width: int, flags: Array
) -> None:
    """Flag the seeds' voxels whose neighbour along an axis is free."""
    step = sign * (width * height if axis == 0 else width if axis == 1 else 1)
    near = 0
    for seed in range(seeds.size):
        start, stop = seeds[seed].start, seeds[seed].start + seeds[seed].length
        y = start // width % height
        if axis == 1 and y == (0 if sign < 0 else height - 1):
            continue
        first = start + step + (axis == 2 and sign < 0 and start % width == 0)
        last = stop + step - (axis == 2 and sign > 0 and stop % width == 0)
        while near < free.size and free[near].start + free[near].length <= first:
            near += 1
        other = near
        while other < free.size and free[other].start < last:
            a, b = max(first, free[other].start), min(last, free[other].start + free[other].length)
            for i in range(offsets[seed] + a - start - step, offsets[seed] + b - start - step):
                flags[i] = True
            other += 1


@njit(cache=True, nogil=True)
def _flagged(seeds: Array, offsets: Array, flags: Array, wanted: bool, found: Array) -> int:
    """Set the pieces of seeds whose flags are as wanted, as far as there is room, and count them."""
    count = 0
    for seed in range(seeds.size):
        i = offsets[seed]
        while i < offsets[seed + 1]:
            first = i
            while i < offsets[seed + 1] and flags[i] == flags[first]:
                i += 1
            if flags[first] == wanted:
                if count < found.size:
                    found[count].start = seeds[seed].start + first - offsets[seed]
                    found[count].length, found[count].id = i - first, seeds[seed].id
                count += 1
    return count


@njit(cache=True, nogil=True)
def take(runs: Array, values: Array, pieces: Array, voxels: Array) -> None:
    """Set the values of pieces of runs."""
    run, offset, end = 0, 0, 0
    for piece in pieces:
        while runs[run].start + runs[run].length <= piece.start:
            offset += runs[run].length
            run += 1
        first = offset + piece.start - runs[run].start
        voxels[end : end + piece.length] = values[first : first + piece.length]
        end += piece.length


@njit(cache=True, nogil=True)
def merge(found: Array, runs: Array) -> int:
    """Put pieces of one label together that follow each other in a run, in place, and count what is left."""
    count, run = 0, 0
    for piece in found:
        while runs[run].start + runs[run].length <= piece.start:
            run += 1
        last = found[count - 1]
        if count and last.id == piece.id and last.start + last.length == piece.start != runs[run].start:
            found[count - 1].length += piece.length
        else:
            found[count].start, found[count].length, found[count].id = piece.start, piece.length, piece.id
            count += 1
    return count
