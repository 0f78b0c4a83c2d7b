"""What exact sums of indices tell: axes of the ellipsoid with the same second moments, and who is near."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import VoxelSize
    from mitotools.segment.runs import Integers

    Floats = npt.NDArray[np.float64]

PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
"""The axes whose indices are multiplied: zz, yy, xx, zy, zx, yx."""


def covariances_nm2(voxels: Integers, sums: Integers, products: Integers, voxel_size_nm: VoxelSize) -> Floats:
    """Return the second central moments of each instance, whose voxels are boxes and not points.

    A box of n voxels with sides s has s^2 (n^2 - 1) / 12 between the middles of its voxels, and s^2 / 12 in
    each: together n^2 s^2 / 12, that of the solid box.

    Parameters
    ----------
    voxels : (N,) int64
        Sizes, at least 1.
    sums : (N, 3) int64
        Of the voxels' indices.
    products : (N, 6) int64
        Of two indices each, in the order of `PAIRS`, modulo 2^64.
    voxel_size_nm : (z, y, x)

    Returns
    -------
    (N, 3, 3) float64
        nm^2.
    """
    count = voxels[:, np.newaxis]
    # About a whole number next to the mean all terms are integers, and the result is small: that sums of
    # squares of indices may exceed 64 bits on the way does not matter.
    middle = (2 * sums + count) // (2 * count)
    rest = (sums - count * middle) / count
    result = np.empty((len(voxels), 3, 3))
    for number, (i, j) in enumerate(PAIRS):
        a, b = middle[:, i], middle[:, j]
        central = products[:, number] - a * sums[:, j] - b * sums[:, i] + voxels * a * b
        value = central / voxels - rest[:, i] * rest[:, j] + (1 / 12 if i == j else 0)
        result[:, i, j] = result[:, j, i] = value * voxel_size_nm[i] * voxel_size_nm[j]
    return result


def axis_lengths_nm(covariances: Floats) -> Floats:
    """Return the whole lengths of the axes of the ellipsoid with the same second moments.

    A solid ellipsoid with half-axis a has the variance a^2 / 5 along it: the length is 2 sqrt(5 v). (In the
    plane it would be 4 sqrt(v).)

    Parameters
    ----------
    covariances : (N, 3, 3) float64
        nm^2.

    Returns
    -------
    (N, 3) float64
        nm, the longest first.
    """
    variances = np.linalg.eigvalsh(covariances)[:, ::-1]
    lengths: Floats = 2 * np.sqrt(5 * variances)
    return lengths


def nearest_nm(centroids_nm: Floats) -> Floats:
    """Return how far it is from each centroid to the nearest other one.

    Parameters
    ----------
    centroids_nm : (N, 3) float64

    Returns
    -------
    (N,) float64
        nm; NaN where there is no other.
    """
    if len(centroids_nm) < 2:
        return np.full(len(centroids_nm), np.nan)
    distances, _ = cKDTree(centroids_nm).query(centroids_nm, k=2)
    nearest: Floats = distances[:, 1]
    return nearest
