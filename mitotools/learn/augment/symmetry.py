"""Which turns of a patch leave its voxels' shape as it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mitotools.conventions import Size, VoxelSize

TOLERANCE = 0.01
"""Voxels are equally long along two axes up to this part: sizes that went through a TIFF are rounded."""


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
        orders = [
            (z, y, x)
            for z, y, x in permutations(range(3))
            if all(
                patch[a] == patch[b] and math.isclose(lengths[a], lengths[b], rel_tol=TOLERANCE)
                for a, b in enumerate((z, y, x))
            )
        ]
        return cls(tuple(orders))
