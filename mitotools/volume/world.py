"""Where the voxels of a volume lie in the world: attributes that go with them from volume to volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mitotools.conventions import Array, Size

AFFINE = "nifti_affine"
"""Attribute: the upper three rows of a NIfTI affine, row by row, from voxels x, y, z to the header's unit."""

CODES = "nifti_codes"
"""Attribute: the header's qform_code, sform_code and xyzt_units."""

AFFINE_NUMBERS = 12


def kept(attributes: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """Return what every format keeps of a NIfTI file's affine; none where it is damaged."""
    try:
        affine = tuple(float(value) for value in attributes[AFFINE])
        codes = tuple(int(value) for value in attributes[CODES])
    except (KeyError, TypeError, ValueError):
        return {}
    is_whole = len(affine) == AFFINE_NUMBERS and len(codes) == len(("qform", "sform", "unit"))
    return {AFFINE: affine, CODES: codes} if is_whole and np.isfinite(affine).all() else {}


def moved(attributes: Mapping[str, tuple[float, ...]], start: Size) -> dict[str, tuple[float, ...]]:
    """Return the attributes of a volume whose first voxel is voxel `start`, (z, y, x), of theirs."""
    affine = affine_of(attributes)
    if affine is None:
        return dict(attributes)
    affine[:3, 3] += affine[:3, :3] @ np.array(start[::-1], dtype=float)
    return {**attributes, AFFINE: tuple(affine[:3].ravel().tolist())}


def affine_of(attributes: Mapping[str, tuple[float, ...]]) -> Array | None:
    """Return the affine, (4, 4), where there is one."""
    values = attributes.get(AFFINE, ())
    is_whole = len(values) == AFFINE_NUMBERS
    return np.vstack([np.reshape(values, (3, 4)), [0.0, 0.0, 0.0, 1.0]]) if is_whole else None
