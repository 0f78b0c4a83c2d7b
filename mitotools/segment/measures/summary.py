"""A whole volume's instances in a few numbers."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools.segment.measures.measure import CUBIC_NM_PER_CUBIC_UM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mitotools.conventions import Array, Size, VoxelSize

SUMMARISED = (
    "voxels",
    "volume_um3",
    "nearest_nm",
    "major_axis_nm",
    "elongation",
    "surface_um2",
    "sphericity",
    "complexity_index",
    "contact_um2",
    "skeleton_length_um",
    "thickness_mean_nm",
    "string_score",
    "intensity_mean",
)
"""Columns of which mean and quantiles are given, over the instances that have a value."""


def summary(
    columns: Mapping[str, Array | None],
    size: Size,
    voxel_size_nm: VoxelSize | None,
    quantiles: Sequence[float],
) -> dict[str, Any]:
    """Summarise the table of instances.

    Parameters
    ----------
    columns : mapping of str to (N,) array or None
        Of `segment.measures.instance_tables.table_columns`.
    size : (z, y, x) voxels
        Of the volume.
    voxel_size_nm : (z, y, x) or None
        None if unknown.
    quantiles : sequence of float
        In 0..1; between two instances they are interpolated.

    Returns
    -------
    dict of str to number or None
        ``count``, ``touching_border`` (instances), ``whole_volume_um3`` (of the volume, not of its
        instances), ``density_per_um3`` (instances), ``volume_fraction``, and for each of `SUMMARISED`
        ``NAME_mean`` and ``NAME_qPP`` (PP in percent). None where there is no instance, or no voxel size.
    """
    voxels, touches = columns["voxels"], columns["touches_border"]
    assert voxels is not None and touches is not None  # noqa: S101, PT018 (they need no voxel size)
    volume = None if voxel_size_nm is None else prod(size) * prod(voxel_size_nm) / CUBIC_NM_PER_CUBIC_UM
    found: dict[str, Any] = {
        "count": len(voxels),
        "touching_border": int(touches.sum()),
        "whole_volume_um3": volume,
        "density_per_um3": None if volume is None else len(voxels) / volume,
        "volume_fraction": int(voxels.sum()) / prod(size),
    }
    for name in SUMMARISED:
        if name in columns:
            names = [f"{name}_mean", *(f"{name}_q{100 * quantile:g}" for quantile in quantiles)]
            found |= dict(zip(names, spread(columns[name], quantiles), strict=True))
    return found


def spread(column: Array | None, quantiles: Sequence[float]) -> list[float | None]:
    """Return the mean and the quantiles of the instances that have a value; None where none has."""
    if column is not None and column.dtype.kind == "f":
        column = column[~np.isnan(column)]
    if column is None or len(column) == 0:
        return [None] * (1 + len(quantiles))
    return [float(np.mean(column)), *map(float, np.quantile(column, quantiles))]
