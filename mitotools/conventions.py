"""What every module takes for granted.

Axes are (z, y, x), channels first. Voxel sizes are in nanometres, (z, y, x). Label 0 is background. Extents
are half-open: start included, stop not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Labels = npt.NDArray[np.unsignedinteger[Any]]
    """(Z, Y, X) instance ids."""

    Maps = npt.NDArray[np.uint8]
    """(C, Z, Y, X) probabilities p, stored as floor(255 p)."""

    Mask = npt.NDArray[np.bool_]
    """(Z, Y, X) membership."""

    Array = npt.NDArray[Any]
    """An array of any type."""

Size = tuple[int, int, int]
"""(z, y, x) voxels."""

VoxelSize = tuple[float, float, float]
"""(z, y, x) nanometres."""

SMALLEST_VOXEL_NM, LARGEST_VOXEL_NM = 0.1, 1000.0
"""The length of a voxel's edges; what lies outside is a placeholder."""

DEFAULT_MODEL = "bundled"
"""The name of the model that comes with mitotools."""

BACKGROUND = 0
"""The id of voxels that belong to no instance."""

LARGEST_ID = 2**64 - 1
"""Ids are of 64 bits at most."""

MAP_TYPES = ("uint8", "float16", "float32")
"""Types of the voxels of maps."""

RESCALES = ("auto", "none")
"""Whether a volume is resampled to the voxels of a model's training: where they differ much, or never."""
