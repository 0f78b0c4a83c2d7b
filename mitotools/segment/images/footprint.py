"""The old voxels that a new one is made of, and how much each counts, when a volume is resampled.

Weights are whole numbers that follow from positions in the volume alone: in units of 1/n_new of an old voxel
along an axis that shrinks, of 1/(2 n_new) along one that grows.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from mitotools.conventions import Size, VoxelSize

    Integers = npt.NDArray[np.int64]


class Taps(NamedTuple):
    """The old voxels that make up each new one, along one axis."""

    firsts: Integers
    """Index of the first."""
    counts: Integers
    """How many there are."""
    weights: Integers
    """(new voxels, largest count) weights; a row's sum is `total`."""
    total: int


def scaled_size(size: Size, scale: Sequence[float]) -> Size:
    """Return the number of voxels after scaling: rounded, halves up, at least one.

    Parameters
    ----------
    size : (z, y, x) voxels
    scale : (z, y, x) positive factors
        Taken as the decimal numbers that they print as: 0.145 of 100 voxels is 14.5, so 15.

    Raises
    ------
    ValueError
        Where a factor is not a positive number.
    """
    if not all(math.isfinite(factor) and factor > 0 for factor in scale):
        raise ValueError(f"factors are positive numbers, not {tuple(scale)}")
    z, y, x = (
        max(1, math.floor(length * Fraction(str(float(factor))) + Fraction(1, 2)))
        for length, factor in zip(size, scale, strict=True)
    )
    return z, y, x


def scaled_voxel_size(voxel_size_nm: VoxelSize, old: Size, new: Size) -> VoxelSize:
    """Return the voxel size of the new grid, which spans exactly what the old one does.

    Parameters
    ----------
    voxel_size_nm : (z, y, x) nanometres
    old, new : (z, y, x) voxels of the whole volume
    """
    z, y, x = (length * a / b for length, a, b in zip(voxel_size_nm, old, new, strict=True))
    return z, y, x


def source_extent(start: int, stop: int, n_old: int, n_new: int, *, labels: bool) -> tuple[int, int]:
    """Return the half-open range of old voxels that new voxels start..stop are made of, along one axis.

    Parameters
    ----------
    start, stop : int
        Half-open range of new voxels, not empty.
    n_old, n_new : int
        Voxels of the whole volume along the axis.
    labels : bool
        Whether the range is for `resample_labels` (else for `resample_image`).
    """
    ends = taps(np.array([start, stop - 1]), n_old, n_new, labels=labels)
    return int(ends.firsts[0]), int(ends.firsts[1] + ends.counts[1])


def taps(index: Integers, n_old: int, n_new: int, *, labels: bool) -> Taps:
    """Return what the new voxels at these positions are made of, along one axis."""
    common = math.gcd(n_old, n_new)
    old, new = n_old // common, n_new // common
    if new <= old:
        return _covered(index, old, new)
    return _nearest(index, old, new) if labels else _interpolated(index, old, new, n_old)


def _covered(index: Integers, old: int, new: int) -> Taps:
    """Weigh old voxels by the length that a new one covers, in units of 1/new."""
    left, right = index * old, (index + 1) * old
    first = left // new
    count = -(-right // new) - first
    position = first[:, np.newaxis] + np.arange(count.max())
    lengths = np.minimum((position + 1) * new, right[:, np.newaxis]) - np.maximum(
        position * new, left[:, np.newaxis]
    )
    return Taps(first, count, np.maximum(lengths, 0), old)


def _interpolated(index: Integers, old: int, new: int, n_old: int) -> Taps:
    """Weigh the two old voxels around a new one's centre, in units of 1/(2 new); at the edge there is one."""
    left, beyond = np.divmod((2 * index + 1) * old - new, 2 * new)
    is_single = (left < 0) | (left >= n_old - 1) | (beyond == 0)
    weight = np.stack([2 * new - beyond, beyond], axis=1)
    weight[is_single] = 2 * new, 0
    return Taps(left.clip(0), np.where(is_single, 1, 2), weight, 2 * new)


def _nearest(index: Integers, old: int, new: int) -> Taps:
    """Take the old voxel that a new one's centre lies in; on a border, both sides."""
    inside, beyond = np.divmod((2 * index + 1) * old, 2 * new)
    is_border = beyond == 0
    weight = np.stack([np.where(is_border, 1, 2), np.where(is_border, 1, 0)], axis=1)
    return Taps(inside - is_border, np.where(is_border, 2, 1), weight, 2)
