"""What an augmentation knows of a patch before it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mitotools.learn.augment.symmetry import Symmetry
from mitotools.learn.targets.contour import is_sectioned

if TYPE_CHECKING:
    from mitotools.conventions import Size, VoxelSize

Parameters = dict[str, Any]
"""What was drawn: numbers, words and lists of them, that can be printed, stored as JSON and replayed."""

Extent = tuple[float, float, float]
"""(z, y, x) voxels from the middle of a patch."""


@dataclass(frozen=True)
class Context:
    """The shape of a patch and of its voxels.

    Parameters
    ----------
    patch : (z, y, x) voxels
    voxel_size_nm : (z, y, x) nanometres, or None
        Unknown: the plane is taken to be square, and the slices to be sections.
    symmetry : Symmetry
    """

    patch: Size
    voxel_size_nm: VoxelSize | None
    symmetry: Symmetry

    @classmethod
    def of(cls, patch: Size, voxel_size_nm: VoxelSize | None) -> Context:
        """Return the context of patches of this shape."""
        return cls(patch, voxel_size_nm, Symmetry.of(patch, voxel_size_nm))

    @property
    def sectioned(self) -> bool:
        """Whether slices are so thick that they were cut one by one, and have the faults of such sections."""
        return is_sectioned(self.voxel_size_nm)

    @property
    def square(self) -> bool:
        """Whether voxels are as long along y as along x."""
        sizes = self.voxel_size_nm or (0.0, 1.0, 1.0)
        return len(Symmetry.of((0, 1, 1), sizes).orders) > 1


def always(_: Context) -> bool:
    """Return that any patch may be augmented so."""
    return True


def where_sectioned(context: Context) -> bool:
    """Return whether faults of serial sections can happen: a block face, imaged as it is milled, has none."""
    return context.sectioned


def where_square(context: Context) -> bool:
    """Return whether a turn in the plane keeps shapes."""
    return context.square
