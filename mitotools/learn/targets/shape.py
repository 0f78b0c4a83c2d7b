"""How targets are drawn in voxels of a given size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mitotools.learn.targets.contour import contour_radius, is_sectioned

if TYPE_CHECKING:
    from mitotools.conventions import VoxelSize


@dataclass(frozen=True)
class TargetShape:
    """How wide contours are, and whether targets are drawn slice by slice (sections) or in 3D."""

    radius: int
    """A contour is 2 (radius + 1) voxels wide."""
    in_plane: bool
    z_pixels: float = 1.0
    """Length of a voxel in z, in pixels of the plane."""
    erode_voxels: int = 0
    """What each of two touching instances loses where they meet, before the targets are made."""

    @classmethod
    def of(
        cls, voxel_size_nm: VoxelSize | None, contour_width_nm: float, erode_voxels: int = 0
    ) -> TargetShape:
        """Return what suits a voxel size; an unknown one is taken for that of sections."""
        radius, in_plane = contour_radius(contour_width_nm, voxel_size_nm), is_sectioned(voxel_size_nm)
        if voxel_size_nm is None:
            return cls(radius, in_plane, erode_voxels=erode_voxels)
        z, y, x = voxel_size_nm
        return cls(radius, in_plane, 2 * z / (y + x), erode_voxels)
