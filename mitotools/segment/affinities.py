"""What the decoders of affinity maps share: thresholds of edges, and the numbering of what they found.

An affinity map holds one edge a voxel: whether the voxel and the one an offset away belong to one instance.
The maps z, y, x hold the edges to the neighbour before, at (z - 1, y, x), (z, y - 1, x) and (z, y, x - 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from mitotools.errors import UsageError
from mitotools.segment.components import drop_small, grey_level, smallest_labels

if TYPE_CHECKING:
    from mitotools.conventions import Labels
    from mitotools.parameters import DecodeParameters


def watershed_levels(parameters: DecodeParameters) -> tuple[int, int]:
    """Return the map values of `affinity_low` and `affinity_high`; an edge is above a threshold if greater.

    Raises
    ------
    UsageError
        If they are no probabilities, or the high one is not the greater map value.
    """
    low, high = grey_level(parameters.affinity_low), grey_level(parameters.affinity_high)
    if low >= high:
        raise UsageError(
            f"affinity thresholds {parameters.affinity_low} and {parameters.affinity_high}",
            "the low one must be below the high one",
        )
    return low, high


def as_instances(labels: Labels, largest: int, min_size_voxels: int) -> Labels:
    """Drop small labels, and number the others by their first voxel in raster order.

    Parameters
    ----------
    labels : (Z, Y, X) array of unsigned integers
        C-contiguous, at most `largest`, in any order and with gaps; overwritten.
    largest : int
        No label is larger.
    min_size_voxels : int
        Labels with exactly as many voxels stay.

    Returns
    -------
    (Z, Y, X) array of the smallest unsigned type
        1..n.
    """
    count = number_by_first_voxel(labels, largest)
    count = drop_small(labels, count, min_size_voxels)
    return smallest_labels(labels, count)


def number_by_first_voxel(labels: Labels, largest: int) -> int:
    """Give labels the numbers 1..n by their first voxel in raster order, in place.

    Parameters
    ----------
    labels : array of unsigned integers
        C-contiguous, at most `largest`, in any order and with gaps.
    largest : int
        No label is larger.

    Returns
    -------
    int
        n.
    """
    return int(_number(labels.reshape(-1), np.zeros(largest + 1, labels.dtype)))


@njit(cache=True, nogil=True)
def _number(labels: Labels, numbers: Labels) -> int:
    count = 0
    for i in range(labels.size):
        label = labels[i]
        if label == 0:
            continue
        if numbers[label] == 0:
            count += 1
            numbers[label] = count
        labels[i] = numbers[label]
    return count
