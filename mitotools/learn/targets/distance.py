"""The signed distance (D): deep inside an instance 1, far outside -1 (Lin et al., arXiv 2107.05840)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import edt
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Labels

INSIDE_PIXELS = 8.0
OUTSIDE_PIXELS = 50.0


def distance_target(
    labels: Labels, *, in_plane: bool = True, z_pixels: float = 1.0
) -> npt.NDArray[np.float32]:
    """Return tanh(d_in / 8 - d_out / 50).

    d_in is the distance of an instance's voxel to the nearest one that is not of the instance, so that it is
    small where two touch; d_out that of a background voxel to the nearest instance; each is 0 elsewhere.
    They are between centres of voxels, in pixels. What lies beyond the patch counts as no voxel: without
    background the target is 1, without an instance -1.

    Parameters
    ----------
    labels : (Z, Y, X) unsigned integer
    in_plane : bool
        Measure in each slice by itself.
    z_pixels : float
        Length of a voxel in z, in pixels of the plane; for distances in 3D.

    Returns
    -------
    (Z, Y, X) float32 in -1..1; its map holds (d + 1) / 2.
    """
    background = labels == 0
    if in_plane:
        inside = np.stack([_distance(section, (1.0, 1.0)) for section in labels])
        outside = np.stack([_distance(section, (1.0, 1.0)) for section in background])
    else:
        spacing = (z_pixels, 1.0, 1.0)
        inside, outside = _distance(labels, spacing), _distance(background, spacing)
    inside /= INSIDE_PIXELS
    outside /= OUTSIDE_PIXELS
    inside -= outside
    return np.tanh(inside, out=inside)


def _distance(labels: npt.NDArray[Any], spacing: tuple[float, ...]) -> npt.NDArray[np.float32]:
    """Return the distance of each voxel above 0 to the nearest one of another value; infinite without one."""
    distance: npt.NDArray[np.float32] = edt.edt(labels, anisotropy=spacing)
    return distance
