"""A mask on a grid of cubes, on which thinning may work: it takes all voxels for cubes."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod
from typing import TYPE_CHECKING

import edt
import numpy as np
from numba import njit
from scipy import ndimage

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Array, Mask, Size, VoxelSize

MARGIN = 1
"""Working voxels of background on every side."""

BYTES_PER_WORKING_VOXEL = 16
"""Peak of everything for an instance. Measured at 30, 8, 8 nm: 8.0 for an oblique rod, 8.0 for a full box."""


@dataclass(frozen=True, eq=False)
class Cubes:
    """A mask on cubic voxels.

    Parameters
    ----------
    mask : (Z, Y, X) bool
        With `MARGIN` voxels of background around the instance.
    side : float
        Of a voxel, in nm; 1 where the size of voxels is unknown.
    """

    mask: Mask
    side: float


def working_shape(shape: Size, voxel_size_nm: VoxelSize | None) -> Size:
    """Return the shape of the grid of cubes of a box of voxels, as wide as a voxel is at its least.

    Parameters
    ----------
    shape : (z, y, x) voxels
    voxel_size_nm : (z, y, x) or None
    """
    sides = voxel_size_nm or (1.0, 1.0, 1.0)
    z, y, x = (ceil(n * side / min(sides) - 1e-6) + 2 * MARGIN for n, side in zip(shape, sides, strict=True))
    return z, y, x


def working_voxels(shape: Size, voxel_size_nm: VoxelSize | None) -> int:
    """Return how many cubes a box of voxels becomes, which take `BYTES_PER_WORKING_VOXEL` of memory each."""
    return prod(working_shape(shape, voxel_size_nm))


def without_cavities(mask: Mask) -> Mask:
    """Return a mask with its enclosed cavities filled, around which thinning would leave a shell.

    Parameters
    ----------
    mask : (Z, Y, X) bool

    Returns
    -------
    (Z, Y, X) bool
    """
    outside, count = ndimage.label(np.pad(~mask, 1, constant_values=True))
    if count == 1:
        return mask
    filled: Mask = outside[1:-1, 1:-1, 1:-1] != outside[0, 0, 0]
    return filled


def cubes(mask: Mask, voxel_size_nm: VoxelSize | None) -> Cubes:
    """Bring a mask to cubic voxels as wide as its own are at their least, without the steps of its slices.

    The surface is where the distance to the other side of the mask's border, positive inside and negative
    outside and interpolated linearly, is zero (shape-based interpolation: Raya and Udupa, IEEE Trans. Med.
    Imaging 9:32, 1990, with distances in space).

    Parameters
    ----------
    mask : (Z, Y, X) bool
    voxel_size_nm : (z, y, x) or None
        None if unknown: voxels are taken for cubes.
    """
    sides = np.array(voxel_size_nm or (1.0, 1.0, 1.0))
    side = float(sides.min())
    shape = np.array(working_shape(mask.shape, voxel_size_nm))
    # The grid has the middle of the box as its own: a mirrored mask comes on the mirrored grid.
    corner = (mask.shape * sides - (shape - 1) * side) / 2
    padded = np.pad(mask, 1)
    if np.ptp(sides) == 0:
        return Cubes(padded, side)
    places = [
        np.clip((first + side * np.arange(n)) / own + 0.5, 0, own_n + 1)
        for first, n, own, own_n in zip(corner, shape, sides, mask.shape, strict=True)
    ]
    result = np.zeros(shape, np.bool_)
    _interpolate(_signed_distance(padded, sides), places[0], places[1], places[2], result)
    return Cubes(result, side)


def _signed_distance(mask: Mask, sides: Array) -> npt.NDArray[np.float32]:
    """Return distances to the nearest voxel on the other side of the border, negative outside."""
    anisotropy = tuple(sides.tolist())
    distance: npt.NDArray[np.float32] = edt.edt(mask, anisotropy=anisotropy, parallel=1)
    distance -= edt.edt(~mask, anisotropy=anisotropy, parallel=1)
    return distance


@njit(nogil=True, cache=True)
def _interpolate(field: Array, zs: Array, ys: Array, xs: Array, result: Mask) -> None:
    """Set the voxels in which a field, interpolated linearly at places on its axes, is positive."""
    last = np.array(field.shape) - 2
    for k, z in enumerate(zs):
        k0 = min(int(z), last[0])
        a = z - k0
        for j, y in enumerate(ys):
            j0 = min(int(y), last[1])
            b = y - j0
            near, far = field[k0, j0 : j0 + 2], field[k0 + 1, j0 : j0 + 2]
            for i, x in enumerate(xs):
                i0 = min(int(x), last[2])
                c = x - i0
                left = (1 - a) * ((1 - b) * near[0, i0] + b * near[1, i0]) + a * (
                    (1 - b) * far[0, i0] + b * far[1, i0]
                )
                i1 = i0 + 1
                right = (1 - a) * ((1 - b) * near[0, i1] + b * near[1, i1]) + a * (
                    (1 - b) * far[0, i1] + b * far[1, i1]
                )
                result[k, j, i] = (1 - c) * left + c * right > 0
