"""What an augmentation knows of a patch before it is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

from mitotools.learn.targets.contour import is_sectioned

if TYPE_CHECKING:
    from mitotools.conventions import Size, VoxelSize

Parameters = dict[str, Any]
"""What was drawn: numbers, words and lists of them, that can be printed, stored as JSON and replayed."""

Extent = tuple[float, float, float]
"""(z, y, x) voxels from the middle of a patch."""

UNKNOWN = (0.0, 1.0, 1.0)
"""How long voxels are taken to be: along no other axis as along z."""

TOLERANCE = 0.01
"""Voxels are equally long along two axes up to this part: sizes that went through a TIFF are rounded."""


@dataclass(frozen=True)
class Context:
    """The shape of a patch and of its voxels.

    Parameters
    ----------
    patch : (z, y, x) voxels
    voxel_size_nm : (z, y, x) nanometres, or None
        Unknown: the plane is taken to be square, and the slices to be sections.
    """

    patch: Size
    voxel_size_nm: VoxelSize | None

    @property
    def orders(self) -> list[tuple[int, int, int]]:
        """Orders of the axes, as `numpy.transpose` takes them, that keep the shape of patch and voxels."""
        lengths = self.voxel_size_nm or UNKNOWN
        return [
            (z, y, x)
            for z, y, x in permutations(range(3))
            if all(
                self.patch[a] == self.patch[b] and math.isclose(lengths[a], lengths[b], rel_tol=TOLERANCE)
                for a, b in enumerate((z, y, x))
            )
        ]

    def is_sectioned(self) -> bool:
        """Whether slices are so thick that they were cut one by one, and have the faults of such sections.

        A block face, imaged as it is milled, has none.
        """
        return is_sectioned(self.voxel_size_nm)

    def is_square(self) -> bool:
        """Whether voxels are as long along y as along x, so that a turn in the plane keeps shapes."""
        _, y, x = self.voxel_size_nm or UNKNOWN
        return math.isclose(y, x, rel_tol=TOLERANCE)


def always(_: Context) -> bool:
    """Return that any patch may be augmented so."""
    return True
