"""Masks of rods with round ends, in nm, for tests of skeletons."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

VOXEL_SIZE_NM = (30.0, 8.0, 8.0)

DIRECTIONS = [
    np.array(vector, float) / np.linalg.norm(vector)
    for vector in (
        *((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1)),
        *((1, 1, 1), (1, 2, 3), (3, 1, -1), (1, -4, 2), (3, 10, 2)),
    )
]


def rods(parts, voxel_size_nm=VOXEL_SIZE_NM, shift=(0.3, 0.6, 0.1)):
    """Return the voxels whose middles lie in any of some rods, in their bounding box.

    A rod is (one end of its axis, the other, radius); the grid is shifted by so many voxels.
    """
    low = np.min([np.minimum(a, b) - radius for a, b, radius in parts], axis=0)
    high = np.max([np.maximum(a, b) + radius for a, b, radius in parts], axis=0)
    shape = np.ceil((high - low) / voxel_size_nm).astype(int) + 2
    places = low + (np.moveaxis(np.indices(shape), 0, -1) - shift) * voxel_size_nm
    mask = np.zeros(shape, bool)
    for a, b, radius in parts:
        along = np.subtract(b, a, dtype=float)
        share = np.clip(((places - a) @ along) / max(along @ along, 1e-9), 0, 1)
        mask |= np.linalg.norm(places - a - share[..., np.newaxis] * along, axis=-1) <= radius
    found = np.nonzero(mask)
    return mask[tuple(slice(axis.min(), axis.max() + 1) for axis in found)]


def polyline(points, radius):
    return [(a, b, radius) for a, b in pairwise(points)]
