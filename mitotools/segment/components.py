"""Thresholds, connected components, and labels numbered without gaps: what the decoders share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from scipy import ndimage

from mitotools.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Labels, Mask


def grey_level(probability: float) -> int:
    """Return the uint8 map value that stands for a probability, floor(255 p).

    A map is thresholded strictly: ``map > grey_level(p)`` or ``map < grey_level(p)``.

    Parameters
    ----------
    probability : float
        From 0 to 1.

    Returns
    -------
    int
        From 0 to 255. A product less than 5e-10 below an integer counts as that integer, so that a 0.8
        reached in steps (0.7999999999999998) is the same threshold, 204, as the 0.8 that was typed.

    Raises
    ------
    UsageError
        If the probability is outside 0 to 1, or no number.
    """
    if not 0 <= probability <= 1:
        raise UsageError(f"threshold {probability}", "not a probability", "Give a number from 0 to 1")
    return math.floor(round(255 * probability, 9))


def connected_components(mask: Mask) -> tuple[Labels, int]:
    """Label the connected components of a mask, whose voxels touch by faces.

    Parameters
    ----------
    mask : (Z, Y, X) array of bool

    Returns
    -------
    labels : (Z, Y, X) array of uint32
        Components numbered 1..n by their first voxel in raster order (z, y, x), C-contiguous.
    count : int
        n.
    """
    # SciPy numbers by the first voxel, though its documentation does not promise it: the tests hold it to
    # that. Naming the type halves the memory beyond 2**31 voxels, where SciPy would turn to int64.
    labels = np.empty(mask.shape, np.uint32)
    return labels, int(ndimage.label(mask, output=labels))


def sizes_voxels(labels: Labels, count: int) -> npt.NDArray[np.int64]:
    """Count the voxels of every label.

    Parameters
    ----------
    labels : array of unsigned integers
        C-contiguous, at most `count`.
    count : int
        The largest label.

    Returns
    -------
    (count + 1,) array of int64
        Voxels of each label; that of the background is 0.
    """
    sizes: npt.NDArray[np.int64] = _sizes(labels.reshape(-1), count)
    return sizes


def drop_small(labels: Labels, count: int, min_size_voxels: int) -> int:
    """Remove labels with fewer voxels than a minimum, in place, and close the gaps in the numbering.

    Parameters
    ----------
    labels : array of unsigned integers
        C-contiguous, at most `count`; changed in place. Those that stay keep their order.
    count : int
        The largest label.
    min_size_voxels : int
        Labels with exactly as many voxels stay. Labels without any voxel go, whatever the minimum.

    Returns
    -------
    int
        The number of labels that stay, numbered 1..n.
    """
    kept = sizes_voxels(labels, count) >= max(min_size_voxels, 1)
    if kept[1:].all():
        return count
    numbers = (np.cumsum(kept) * kept).astype(labels.dtype)
    renumber(labels.reshape(-1), numbers)
    return int(numbers.max())


def smallest_labels(labels: Labels, count: int) -> Labels:
    """Return labels in the smallest unsigned type that holds the largest of them, `count`."""
    return labels.astype(np.min_scalar_type(count), copy=False)


# NumPy's bincount would first copy the labels as int64, and indexing a table by them makes another array.
@njit(cache=True, nogil=True)
def _sizes(labels: Labels, count: int) -> npt.NDArray[np.int64]:
    sizes = np.zeros(count + 1, np.int64)
    for label in labels:
        if label != 0:
            sizes[label] += 1
    return sizes


@njit(cache=True, nogil=True)
def renumber(labels: Labels, numbers: Labels) -> None:
    """Replace labels k, flat, by ``numbers[k]``, in place; background stays."""
    for i in range(labels.size):
        if labels[i] != 0:
            labels[i] = numbers[labels[i]]
