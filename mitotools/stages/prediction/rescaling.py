"""A volume as a model was trained to see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitotools.learn.targets.contour import is_sectioned
from mitotools.stages.blocks.views import Scaled
from mitotools.stages.prediction.picking import Picked

if TYPE_CHECKING:
    from mitotools.conventions import VoxelSize
    from mitotools.stages.blocks.pieces import Seen

ALIKE_IN_PLANE = 1.25
"""Voxels longer or shorter than those of the training by more than this factor are resampled."""

ALIKE_IN_Z = 2.0
"""Likewise along z, where the training's voxels were sections: those of others are alike along all axes."""


def factors(size_nm: VoxelSize, trained_nm: VoxelSize, *, sees_one_slice: bool) -> tuple[float, float, float]:
    """Return how many voxels, along (z, y, x), each voxel becomes so that they are as in the training.

    1 along z, and in the plane, where they differ little; and along z for a network that sees one slice.
    """
    alike_in_z = ALIKE_IN_Z if is_sectioned(trained_nm) else ALIKE_IN_PLANE
    z, y, x = (own / trained for own, trained in zip(size_nm, trained_nm, strict=True))
    in_plane = (y, x) if any(_differs(ratio, ALIKE_IN_PLANE) for ratio in (y, x)) else (1.0, 1.0)
    return (z if _differs(z, alike_in_z) and not sees_one_slice else 1.0, *in_plane)


def _differs(ratio: float, factor: float) -> bool:
    return max(ratio, 1 / ratio) > factor


def seen_at(volume: Seen, scale: tuple[float, float, float]) -> Seen:
    """Return a volume resampled: in the plane by means or linearly; of too many slices some are picked.

    The mean of slices is nothing that a microscope makes of sections: it is sharp in the plane, and blurred
    along z.
    """
    z, y, x = scale
    if z < 1:
        volume = Picked.of(volume, max(round(volume.spec.size[0] * z), 1))
        z = 1.0
    return volume if (z, y, x) == (1.0, 1.0, 1.0) else Scaled.of(volume, (z, y, x), is_labels=False)
