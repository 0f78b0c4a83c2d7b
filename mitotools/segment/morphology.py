"""Erosion and dilation of all instances at once, one voxel a step, through the faces of voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitotools.conventions import Labels


def eroded(labels: Labels, steps: int) -> Labels:
    """Take the outermost voxels from every instance.

    Parameters
    ----------
    labels : (Z, Y, X) unsigned integer
    steps : int
        How often. In each step an instance loses the voxels that share a face with a voxel that is not its
        own; what lies beyond the array counts as its own.

    Returns
    -------
    (Z, Y, X) array
        Of the same type.
    """
    return _repeated(_erode, labels, steps)


def dilated(labels: Labels, steps: int) -> Labels:
    """Give every instance the background around it.

    Parameters
    ----------
    labels : (Z, Y, X) unsigned integer
    steps : int
        How often. In each step a voxel of the background joins the instance with which it shares a face, of
        several the one with the lowest id.

    Returns
    -------
    (Z, Y, X) array
        Of the same type.
    """
    return _repeated(_dilate, labels, steps)


def _repeated(change: Callable[[Labels, Labels], bool], labels: Labels, steps: int) -> Labels:
    """Do a step so many times, or until it changes nothing: then no further one would."""
    now, after = labels, np.empty_like(labels, order="C")
    for _ in range(steps):
        if not change(now, after):
            break
        now, after = after, np.empty_like(after) if now is labels else now
    return now


@njit(cache=True, nogil=True)
def _erode(labels: Labels, after: Labels) -> bool:
    """Do a step, and return whether it changes anything."""
    depth, height, width = labels.shape
    changes = False
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                own = labels[z, y, x]
                after[z, y, x] = 0
                if (
                    (z == 0 or labels[z - 1, y, x] == own)
                    and (z == depth - 1 or labels[z + 1, y, x] == own)
                    and (y == 0 or labels[z, y - 1, x] == own)
                    and (y == height - 1 or labels[z, y + 1, x] == own)
                    and (x == 0 or labels[z, y, x - 1] == own)
                    and (x == width - 1 or labels[z, y, x + 1] == own)
                ):
                    after[z, y, x] = own  # not chosen in one expression: with a 0 numba makes it a float
                elif own != 0:
                    changes = True
    return changes


@njit(cache=True, nogil=True)
def _dilate(labels: Labels, after: Labels) -> bool:
    """Do a step, and return whether it changes anything."""
    depth, height, width = labels.shape
    changes = False
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                after[z, y, x] = labels[z, y, x]
                if labels[z, y, x] == 0:
                    after[z, y, x] = _lowest_around(labels, z, y, x)
                    changes |= after[z, y, x] != 0
    return changes


@njit(cache=True, nogil=True)
def _lowest_around(labels: Labels, z: int, y: int, x: int) -> int:
    """Return the lowest id that shares a face with a voxel of the background, 0 if there is none."""
    depth, height, width = labels.shape
    found: int = labels[z, y, x]
    if z > 0:
        found = _lower(found, labels[z - 1, y, x])
    if z < depth - 1:
        found = _lower(found, labels[z + 1, y, x])
    if y > 0:
        found = _lower(found, labels[z, y - 1, x])
    if y < height - 1:
        found = _lower(found, labels[z, y + 1, x])
    if x > 0:
        found = _lower(found, labels[z, y, x - 1])
    if x < width - 1:
        found = _lower(found, labels[z, y, x + 1])
    return found


@njit(cache=True, nogil=True)
def _lower(a: int, b: int) -> int:
    """Return the lower of two ids, where 0 is none."""
    return b if a == 0 or (0 < b < a) else a
