"""Where a NIfTI file lies in the world: its affine, units and codes, kept for the round trip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools.volume.world import AFFINE, CODES, affine_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mitotools.conventions import Array, VoxelSize

UNITS_NM = {1: 1e9, 2: 1e6, 3: 1e3}
"""Nanometres in the unit of a header: metre, millimetre, micrometre; 0 is unknown."""

MILLIMETRE, MICROMETRE = 2, 3

_SPACE = 7
"""The bits of xyzt_units that are about space; the others are about time."""


@dataclass(frozen=True)
class World:
    """The affine of a header, (4, 4), with its codes; `unit` is a key of `UNITS_NM`, or 0."""

    affine: Array
    qform: int
    sform: int
    unit: int


def unit_of(header: Any) -> int:
    """Return the unit of length of a header: a key of `UNITS_NM`, or 0."""
    unit = int(header["xyzt_units"]) & _SPACE
    return unit if unit in UNITS_NM else 0


def attributes_of(header: Any) -> dict[str, tuple[float, ...]]:
    """Return the attributes that keep the affine of a header; none where it states none."""
    qform, sform = int(header["qform_code"]), int(header["sform_code"])
    if qform <= 0 and sform <= 0:
        return {}
    try:
        affine = header.get_best_affine()
    except Exception:  # a quaternion that is none: NIfTI readers fall back to the voxel size
        return {}
    if not np.isfinite(affine).all() or not np.linalg.norm(affine[:3, :3], axis=0).all():
        return {}
    return {AFFINE: tuple(affine[:3].ravel().tolist()), CODES: (qform, sform, unit_of(header))}


def world_for(attributes: Mapping[str, tuple[float, ...]], voxel_size_nm: VoxelSize | None) -> World:
    """Return what a new file states: the affine that was kept, or one of its own.

    Where the voxel size is another than when the affine was kept, its columns are scaled.
    """
    kept, codes = affine_of(attributes), attributes.get(CODES, ())
    affine = np.eye(4) if kept is None else kept
    qform, sform, unit = (0, 1, 0) if kept is None or len(codes) != 3 else map(int, codes)
    if voxel_size_nm is not None and unit not in UNITS_NM:
        unit = MICROMETRE
    affine = _scaled(affine, voxel_size_nm, unit)
    if voxel_size_nm is not None and set(voxel_size_nm) == {UNITS_NM[unit]}:
        # In this unit the spacing would be 1, which is taken for a placeholder.
        affine[:3] *= UNITS_NM[unit] / UNITS_NM[MILLIMETRE]
        unit = MILLIMETRE
    return World(affine, qform, sform, unit)


def _scaled(affine: Array, voxel_size_nm: VoxelSize | None, unit: int) -> Array:
    """Return the affine with columns of the length of a voxel's edges, unless they have it already."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if voxel_size_nm is None or not lengths.all():
        return affine
    wanted = np.array(voxel_size_nm[::-1]) / UNITS_NM[unit]
    if np.allclose(lengths, wanted, rtol=1e-5, atol=0):
        return affine
    scaled = affine.copy()
    scaled[:3, :3] *= wanted / lengths
    return scaled
