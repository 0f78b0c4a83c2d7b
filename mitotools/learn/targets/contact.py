"""The contact: the part of the contour that lies between two instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mitotools.learn.targets.contour import dilated, opposite_neighbours

if TYPE_CHECKING:
    from mitotools.conventions import Labels, Mask


def contact_target(labels: Labels, radius: int = 1, *, in_plane: bool = True) -> Mask:
    """Return the band along the boundaries where two different instances meet.

    A voxel is on such a boundary where its two neighbours along an axis belong to two instances: those on
    either side where instances touch, and background of one voxel between them. It is dilated as a contour.

    Parameters
    ----------
    labels : (Z, Y, X) unsigned integer
    radius : int
        The band is 2 (radius + 1) voxels wide.
    in_plane : bool
        Whether each slice is drawn by itself.

    Returns
    -------
    (Z, Y, X) bool
    """
    boundary = np.zeros(labels.shape, dtype=bool)
    for behind, ahead in opposite_neighbours(labels, in_plane=in_plane):
        boundary |= (behind != ahead) & (behind > 0) & (ahead > 0)
    return dilated(boundary, radius, in_plane=in_plane)


def without_contacts(labels: Labels, voxels: int, *, in_plane: bool = True) -> Labels:
    """Return labels with background between instances that touch.

    Parameters
    ----------
    labels : (Z, Y, X) unsigned integer
    voxels : int
        What each of the two loses; 0: nothing.
    in_plane : bool
        Whether only contacts within a slice count.

    Returns
    -------
    (Z, Y, X), the same type
    """
    if voxels == 0:
        return labels
    return np.where(contact_target(labels, voxels - 1, in_plane=in_plane), labels.dtype.type(0), labels)
