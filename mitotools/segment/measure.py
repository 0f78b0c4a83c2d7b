"""Size, extent and centroid of each instance, added up from blocks in exact integers."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from mitotools.conventions import BACKGROUND
from mitotools.segment.runs import as_ids, group, iterate_runs, merge_gradually, require_labels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mitotools.conventions import Array, Size, VoxelSize
    from mitotools.segment.runs import Ids, Integers, Runs

_CUBIC_NM_PER_CUBIC_UM = 1e9


@dataclass(frozen=True, eq=False)
class Measurements:
    """What is known of each instance, in voxels of the whole volume.

    Parameters
    ----------
    ids : (N,) uint64
        Ascending, background left out.
    voxels : (N,) int64
        Sizes.
    starts, stops : (N, 3) int64
        Bounding boxes (z, y, x), half-open.
    sums : (N, 3) int64
        Sums of the voxels' indices (z, y, x).
    """

    ids: Ids
    voxels: Integers
    starts: Integers
    stops: Integers
    sums: Integers

    def __len__(self) -> int:
        """Return the number of instances."""
        return len(self.ids)


def measure_block(labels: Array, origin: Size = (0, 0, 0)) -> Measurements:
    """Measure the parts of instances that lie in one block.

    Parameters
    ----------
    labels : (Z, Y, X) integer or bool
        Ids, 0 and above.
    origin : (z, y, x)
        Where the block's first voxel lies in the volume.

    Returns
    -------
    Measurements
        Of the block, in the volume's coordinates. `merge_measurements` makes one of many.

    Raises
    ------
    InputError
        If the type is no integer, or an id is negative.
    """
    require_labels(labels, "labels")
    pieces = iterate_runs([labels], within_rows=True)
    return merge_measurements(_measure_runs(runs, labels.shape, origin) for runs in pieces)


def merge_measurements(measurements: Iterable[Measurements]) -> Measurements:
    """Add up the measurements of the blocks of one volume.

    Parameters
    ----------
    measurements : iterable of Measurements
        In any order, of blocks that do not overlap.

    Returns
    -------
    Measurements
        The same for every way to cut the volume into blocks.
    """
    return merge_gradually(measurements, _merged)


def measurement_columns(
    measurements: Measurements, voxel_size_nm: VoxelSize | None
) -> dict[str, Array | None]:
    """Return the measurements as the columns of a table.

    Parameters
    ----------
    measurements : Measurements
        Of the whole volume.
    voxel_size_nm : (z, y, x) or None
        None if unknown.

    Returns
    -------
    dict of str to (N,) array or None
        ``id``, ``voxels``, ``volume_um3``, ``z_min``, ``y_min``, ``x_min``, ``z_max``, ``y_max``, ``x_max``
        (voxels, half-open), ``centroid_z_nm``, ``centroid_y_nm``, ``centroid_x_nm`` (mean voxel index times
        voxel size: the middle of the first voxel is 0). The physical columns are None where the voxel size
        is.
    """
    columns: dict[str, Array | None] = {
        "id": measurements.ids,
        "voxels": measurements.voxels,
        "volume_um3": None,
    }
    for name, corners in (("min", measurements.starts), ("max", measurements.stops)):
        columns |= {f"{axis}_{name}": corners[:, position] for position, axis in enumerate("zyx")}
    columns |= {f"centroid_{axis}_nm": None for axis in "zyx"}
    if voxel_size_nm is not None:
        columns["volume_um3"] = measurements.voxels * prod(voxel_size_nm) / _CUBIC_NM_PER_CUBIC_UM
        centroids = measurements.sums / measurements.voxels[:, np.newaxis] * np.asarray(voxel_size_nm)
        columns |= {f"centroid_{axis}_nm": centroids[:, position] for position, axis in enumerate("zyx")}
    return columns


def _measure_runs(runs: Runs, shape: tuple[int, ...], origin: Size) -> Measurements:
    ids = as_ids(runs.values[0], "labels")
    inside = ids != BACKGROUND
    starts, lengths = runs.starts[inside], runs.lengths[inside]
    first = np.stack(np.unravel_index(starts, shape), axis=1) + np.asarray(origin, np.int64)
    stop = first + 1
    stop[:, 2] += lengths - 1
    sums = first * lengths[:, np.newaxis]
    sums[:, 2] += lengths * (lengths - 1) // 2
    return _grouped(Measurements(ids[inside], lengths, first, stop, sums))


def _merged(measurements: list[Measurements]) -> Measurements:
    none = np.zeros((0, 3), np.int64)
    return _grouped(
        Measurements(
            np.concatenate([np.zeros(0, np.uint64), *(part.ids for part in measurements)]),
            np.concatenate([np.zeros(0, np.int64), *(part.voxels for part in measurements)]),
            np.concatenate([none, *(part.starts for part in measurements)]),
            np.concatenate([none, *(part.stops for part in measurements)]),
            np.concatenate([none, *(part.sums for part in measurements)]),
        )
    )


def _grouped(rows: Measurements) -> Measurements:
    groups = group(rows.ids)
    return Measurements(
        groups.ids(rows.ids),
        groups.reduce(rows.voxels),
        groups.reduce(rows.starts, np.minimum),
        groups.reduce(rows.stops, np.maximum),
        groups.reduce(rows.sums),
    )
