"""The contour (C): a band along the boundary of every instance (Wei et al., MICCAI 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mitotools.learn.targets.neighbours import neighbours

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mitotools.conventions import Labels, Mask, VoxelSize

SECTION_ANISOTROPY = 2.0
"""Voxels longer than this in z, in pixels, are sections: their contours are drawn slice by slice."""


def contour_target(labels: Labels, radius: int = 1, *, in_plane: bool = True) -> Mask:
    """Return the band along the boundaries of instances.

    A voxel is on a boundary where its two neighbours along an axis differ (beyond the border the volume is
    mirrored), which marks one voxel on either side; the boundary is then dilated by a cube of 2 radius + 1.

    Parameters
    ----------
    labels : (Z, Y, X) unsigned integer
    radius : int
        The band is 2 (radius + 1) voxels wide.
    in_plane : bool
        Draw each slice by itself. Where voxels are near-isotropic, stacked instances would merge: draw in 3D.

    Returns
    -------
    (Z, Y, X) bool
    """
    boundary = np.zeros(labels.shape, dtype=bool)
    for behind, ahead in opposite_neighbours(labels, in_plane=in_plane):
        boundary |= behind != ahead
    return dilated(boundary, radius, in_plane=in_plane)


def opposite_neighbours(labels: Labels, *, in_plane: bool) -> Iterator[tuple[Labels, Labels]]:
    """Yield, for each axis, the labels of the voxels before and of those after; mirrored at the border."""
    steps = [(0, 0, 1), (0, 1, 0)] if in_plane else [(0, 0, 1), (0, 1, 0), (1, 0, 0)]
    ahead = neighbours(labels, steps)
    behind = neighbours(labels, [(-z, -y, -x) for z, y, x in steps])
    return zip(behind, ahead, strict=True)


def dilated(mask: Mask, radius: int, *, in_plane: bool) -> Mask:
    """Return a mask dilated by a cube of 2 radius + 1, or by such a square in each slice.

    Shifted copies take a tenth of the time of a maximum filter.
    """
    for axis in (1, 2) if in_plane else (0, 1, 2):
        source = np.moveaxis(mask, axis, 0)
        mask = mask.copy()
        target = np.moveaxis(mask, axis, 0)
        for step in range(1, radius + 1):
            target[step:] |= source[:-step]
            target[:-step] |= source[step:]
    return mask


def contour_radius(width_nm: float, voxel_size_nm: VoxelSize | None) -> int:
    """Return the radius whose band is nearest to a width; 1 where the voxel size is unknown."""
    if voxel_size_nm is None:
        return 1
    pixel_nm = (voxel_size_nm[1] + voxel_size_nm[2]) / 2
    return max(round(width_nm / (2 * pixel_nm) - 1), 0)


def is_sectioned(voxel_size_nm: VoxelSize | None) -> bool:
    """Whether voxels are longer in z than the plane's pixels; taken for granted where that is unknown."""
    if voxel_size_nm is None:
        return True
    return voxel_size_nm[0] / max(voxel_size_nm[1:]) > SECTION_ANISOTROPY
