"""Runs of voxels and arrays of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from mitotools.segment.blockwise.places import RUN

if TYPE_CHECKING:
    from mitotools.conventions import Array, Size
    from mitotools.segment.blockwise.places import Integers


def paint(block: Array, runs: Array, values: Array, origin: Size, shape: Size) -> None:
    """Set the voxels of runs, in place.

    Parameters
    ----------
    block : (Z, Y, X) array
        A part of the volume.
    runs : (R,) array of RUN
        What lies outside the block is left out.
    values : (R,) integers
        Of the runs; where it is 0, voxels stay as they are.
    origin : (z, y, x)
        Of the block's first voxel.
    shape : (Z, Y, X)
        Of the whole volume.
    """
    _paint(block, runs, values, origin, shape)


def runs_of_labels(labels: Array, origin: Size, shape: Size) -> Array:
    """Return the runs of labels, not 0, of a block.

    Parameters
    ----------
    labels : (Z, Y, X) integers
    origin, shape : (z, y, x)
        Of the block's first voxel; of the whole volume.

    Returns
    -------
    (R,) array of RUN
    """
    found = np.empty(_collect(labels, origin, shape, np.empty(0, RUN)), RUN)
    _collect(labels, origin, shape, found)
    return found


def selected(voxels: Array, lengths: Integers, order: Integers) -> Array:
    """Return the voxels of some runs, in another order of the runs.

    Parameters
    ----------
    voxels : (N,) array
        Run by run.
    lengths : (R,) integers
    order : (M,) integers
        Which runs.
    """
    result = np.empty(int(lengths[order].sum()), voxels.dtype)
    offsets = np.zeros(lengths.size + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    _select(voxels, offsets, order, result)
    return result


@njit(cache=True, nogil=True)
def _paint(block: Array, runs: Array, values: Array, origin: Size, shape: Size) -> None:
    depth, height, width = block.shape
    for i in range(runs.size):
        row = runs[i].start // shape[2]
        z, y = row // shape[1] - origin[0], row % shape[1] - origin[1]
        x = runs[i].start - row * shape[2] - origin[2]
        if values[i] != 0 and 0 <= z < depth and 0 <= y < height:
            for k in range(max(x, 0), min(x + runs[i].length, width)):
                block[z, y, k] = values[i]


@njit(cache=True, nogil=True)
def _collect(labels: Array, origin: Size, shape: Size, found: Array) -> int:
    depth, height, width = labels.shape
    count = 0
    for z in range(depth):
        for y in range(height):
            row = ((origin[0] + z) * shape[1] + origin[1] + y) * shape[2] + origin[2]
            x = 0
            while x < width:
                label, first = labels[z, y, x], x
                while x < width and labels[z, y, x] == label:
                    x += 1
                if label != 0:
                    if count < found.size:
                        found[count].start, found[count].length = row + first, x - first
                        found[count].id = label
                    count += 1
    return count


@njit(cache=True, nogil=True)
def _select(voxels: Array, offsets: Integers, order: Integers, result: Array) -> None:
    end = 0
    for run in order:
        for i in range(offsets[run], offsets[run + 1]):
            result[end] = voxels[i]
            end += 1
