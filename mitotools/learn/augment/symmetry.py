"""Which turns of a patch leave its voxels' shape as it is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mitotools.conventions import Size, VoxelSize


@dataclass(frozen=True)
class Symmetry:
    """The axis orders that a patch may be turned to.

    Two axes can change places where the voxel and the patch are equally long along both.

    Parameters
    ----------
    orders : tuple of axis orders
        As `numpy.transpose` takes them, the identity among them.
    """

    orders: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, patch: Size, voxel_size_nm: VoxelSize | None) -> Symmetry:
        """Return the symmetry of a patch; without a voxel size the plane is taken to be square."""
        lengths = voxel_size_nm or (0.0, 1.0, 1.0)
        kinds = list(zip(patch, lengths, strict=True))
        orders = [order for order in permutations(range(3)) if [kinds[axis] for axis in order] == kinds]
        return cls(tuple((z, y, x) for z, y, x in orders))
