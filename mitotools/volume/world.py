"""Where the voxels of a volume lie in the world: attributes that go with them from volume to volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mitotools.conventions import Array, Size, VoxelSize

AFFINE = "nifti_affine"
"""Attribute: the upper three rows of a NIfTI affine, row by row, from voxels x, y, z to the header's unit."""

CODES = "nifti_codes"
"""Attribute: the header's qform_code, sform_code and xyzt_units."""

AFFINE_NUMBERS = 12

TRANSLATION = "translation_nm"
"""Attribute: where an OME-Zarr says that the centre of the first voxel lies, (z, y, x) nanometres."""


def kept(attributes: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """Return what every format keeps of where voxels lie; nothing that is damaged."""
    return {**_kept_affine(attributes), **_kept_translation(attributes)}


def _kept_translation(attributes: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    try:
        translation = tuple(float(value) for value in attributes[TRANSLATION])
    except (KeyError, TypeError, ValueError):
        return {}
    return {TRANSLATION: translation} if len(translation) == 3 and np.isfinite(translation).all() else {}


def _kept_affine(attributes: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    try:
        affine = tuple(float(value) for value in attributes[AFFINE])
        codes = tuple(int(value) for value in attributes[CODES])
    except (KeyError, TypeError, ValueError):
        return {}
    is_whole = len(affine) == AFFINE_NUMBERS and len(codes) == len(("qform", "sform", "unit"))
    return {AFFINE: affine, CODES: codes} if is_whole and np.isfinite(affine).all() else {}


def moved(
    attributes: Mapping[str, tuple[float, ...]], start: Size, voxel_size_nm: VoxelSize | None
) -> dict[str, tuple[float, ...]]:
    """Return the attributes of a volume whose first voxel is voxel `start`, (z, y, x), of theirs."""
    new = dict(attributes)
    affine, translation = affine_of(attributes), new.pop(TRANSLATION, None)
    if affine is not None:
        affine[:3, 3] += affine[:3, :3] @ np.array(start[::-1], dtype=float)
        new[AFFINE] = tuple(affine[:3].ravel().tolist())
    if translation and voxel_size_nm:
        new[TRANSLATION] = tuple(a + n * v for a, n, v in zip(translation, start, voxel_size_nm, strict=True))
    return new


def affine_of(attributes: Mapping[str, tuple[float, ...]]) -> Array | None:
    """Return the affine, (4, 4), where there is one."""
    values = attributes.get(AFFINE, ())
    is_whole = len(values) == AFFINE_NUMBERS
    return np.vstack([np.reshape(values, (3, 4)), [0.0, 0.0, 0.0, 1.0]]) if is_whole else None
