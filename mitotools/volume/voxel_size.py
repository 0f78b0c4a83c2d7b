"""Which voxel sizes are believed: files hold placeholders too (1 mm, say)."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING

from mitotools.conventions import LARGEST_VOXEL_NM, SMALLEST_VOXEL_NM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.conventions import VoxelSize


def known_voxel_size(values: Sequence[float] | None) -> VoxelSize | None:
    """Return a voxel size in nm, or None where the values cannot be one."""
    if values is None or len(values) != 3:
        return None
    z, y, x = (float(value) for value in values)
    plausible = all(SMALLEST_VOXEL_NM <= value <= LARGEST_VOXEL_NM for value in (z, y, x))
    return (z, y, x) if plausible else None


def stated_voxel_size(values: Sequence[float], what: object) -> VoxelSize | None:
    """Return the voxel size that a volume states in nm, or None, with a warning, where it cannot be one.

    Parameters
    ----------
    values : sequence of float
        (z, y, x); zeros alone state nothing.
    what : object
        What to call the volume in the warning.
    """
    known = known_voxel_size(values)
    if known is None and len(values) == 3 and any(values):
        _warn(str(what), " x ".join(f"{value:g}" for value in values))
    return known


@lru_cache
def _warn(name: str, size: str) -> None:
    """Warn once a process: a command may open a file several times."""
    why = f"its voxel size of {size} nm is not within {SMALLEST_VOXEL_NM:g} to {LARGEST_VOXEL_NM:g} nm"
    message = "%s: %s, and taken for a placeholder: it is unknown. Say --voxel-size Z,Y,X."
    logging.getLogger(__name__).warning(message, name, why)
