"""Size, extent, place, shape and surface of each instance, added up from blocks in exact integers."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from mitotools.segment.measures import shape, surface
from mitotools.segment.measures.measure_kernels import add_exits, add_greys, add_moments
from mitotools.segment.measures.row_runs import iterate_row_runs
from mitotools.segment.runs import group, merge_gradually

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mitotools.conventions import Array, Size, VoxelSize
    from mitotools.segment.blockwise.places import Flags
    from mitotools.segment.measures.row_runs import RowRuns
    from mitotools.segment.runs import Ids, Integers

CUBIC_NM_PER_CUBIC_UM = 1e9
SQUARE_NM_PER_SQUARE_UM = 1e6

SURFACE = ("surface_um2", "sphericity", "complexity_index")
"""Columns that take exits."""

_FIRST, _LAST = np.iinfo(np.int64).max, np.iinfo(np.int64).min


@dataclass(frozen=True, eq=False)
class Measurements:
    """What is known of each instance, in voxels of the whole volume.

    Parameters
    ----------
    ids : (N,) uint64
        Ascending, background left out.
    voxels : (N,) int64
        Sizes. Of a block: 0 where only a surface lies in it.
    starts, stops : (N, 3) int64
        Bounding boxes (z, y, x), half-open.
    sums : (N, 3) int64
        Sums of the voxels' indices (z, y, x).
    products : (N, 6) int64
        Sums of the products of two indices (see `segment.measures.shape.PAIRS`), modulo 2^64.
    exits : (N, 13) or (N, 0) int64
        See `segment.measures.surface`; without columns where they were not counted.
    greys : (N, 2) or (N, 0) int64
        Sums of the grey values and of their squares, likewise.
    size : (z, y, x) voxels, optional
        Of the whole volume.
    """

    ids: Ids
    voxels: Integers
    starts: Integers
    stops: Integers
    sums: Integers
    products: Integers
    exits: Integers
    greys: Integers
    size: Size | None = None

    def __len__(self) -> int:
        """Return the number of instances."""
        return len(self.ids)

    def touches_border(self) -> Flags:
        """Return which instances touch a face of the volume, the size of which is known: (N,) bool."""
        return np.asarray(((self.starts == 0) | (self.stops == self.size)).any(axis=1), np.bool_)


@dataclass(frozen=True, eq=False)
class Core:
    """Where a block lies, which comes with a margin beyond its upper sides.

    Parameters
    ----------
    start : (z, y, x)
        Its first voxel in the volume.
    shape : (z, y, x) voxels
        Without the margin.
    """

    start: Size
    shape: Size

    @property
    def stop(self) -> Integers:
        """The end of the block in its own coordinates: (3,) int64."""
        return np.array(self.shape, np.int64)

    @property
    def low(self) -> Integers:
        """Where the lower corners of its pairs of voxels begin: where the volume does, before it."""
        return np.where(np.array(self.start) == 0, -surface.LONGEST_STEP, 0).astype(np.int64)


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
        Of the block, in the volume's coordinates, without exits and grey values. `merge_measurements` makes
        one of many.

    Raises
    ------
    InputError
        If the type is no integer, or an id is negative.
    """
    z, y, x = labels.shape
    core = Core(origin, (z, y, x))
    return merge_measurements(measure_runs(runs, core) for runs in iterate_row_runs(labels))


def measure_runs(
    runs: RowRuns, core: Core, pairs: tuple[Array, Integers] | None = None, raw: Array | None = None
) -> Measurements:
    """Measure what some runs of a block hold.

    Parameters
    ----------
    runs : RowRuns
    core : Core
    pairs : (Z, Y, X) unsigned integer and (D, 3) int64, optional
        To count exits: the block with a margin of the longest step beyond its upper sides, unless the volume
        ends there, and the steps of `segment.measures.surface.steps`.
    raw : (Z, Y, X) integer of 8 or 16 bits, optional
        Grey values of the core.
    """
    count = len(runs.ids)
    found = Measurements(
        runs.ids,
        np.zeros(count, np.int64),
        np.full((count, 3), _FIRST),
        np.full((count, 3), _LAST),
        np.zeros((count, 3), np.int64),
        np.zeros((count, 6), np.int64),
        np.zeros((count, 0 if pairs is None else len(pairs[1])), np.int64),
        np.zeros((count, 0 if raw is None else 2), np.int64),
    )
    origin = np.array(core.start, np.int64)
    sums = (found.voxels, found.starts, found.stops, found.sums, found.products)
    add_moments(runs.places, runs.owners, core.stop, origin, *sums)
    if pairs is not None:
        labels, steps = pairs
        add_exits(labels, runs.places, runs.owners, steps, core.low, core.stop, found.exits)
    if raw is not None:
        add_greys(raw, runs.places, runs.owners, core.stop, found.greys)
    return found


def merge_measurements(measurements: Iterable[Measurements]) -> Measurements:
    """Add up the measurements of the blocks of one volume.

    Parameters
    ----------
    measurements : iterable of Measurements
        In any order, of blocks that do not overlap, all with the same columns.

    Returns
    -------
    Measurements
        The same for every way to cut the volume into blocks.
    """
    return merge_gradually(measurements, merged_measurements)


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
        voxel size: the middle of the first voxel is 0), ``nearest_nm`` (to the nearest other centroid, NaN
        where there is none), ``touches_border`` (where the volume's size is known), ``major_axis_nm``,
        ``middle_axis_nm``, ``minor_axis_nm`` (see `segment.measures.shape`), ``elongation`` (major over
        middle) and ``flatness`` (middle over minor), as ITK has them; where they were counted `SURFACE`
        (see `segment.measures.surface`), and ``intensity_mean`` and ``intensity_std``. The physical columns
        are None where the voxel size is.
    """
    columns: dict[str, Array | None] = {
        "id": measurements.ids,
        "voxels": measurements.voxels,
        "volume_um3": None,
    }
    for name, corners in (("min", measurements.starts), ("max", measurements.stops)):
        columns |= {f"{axis}_{name}": corners[:, position] for position, axis in enumerate("zyx")}
    columns |= dict.fromkeys([*(f"centroid_{axis}_nm" for axis in "zyx"), "nearest_nm"])
    if measurements.size is not None:
        columns["touches_border"] = measurements.touches_border()
    columns |= dict.fromkeys(["major_axis_nm", "middle_axis_nm", "minor_axis_nm", "elongation", "flatness"])
    if measurements.exits.shape[1]:
        columns |= dict.fromkeys(SURFACE)
    if voxel_size_nm is not None:
        columns |= _physical_columns(measurements, voxel_size_nm)
    if measurements.greys.shape[1]:
        columns["intensity_mean"], columns["intensity_std"] = _mean_and_deviation(measurements)
    return columns


def _physical_columns(measurements: Measurements, voxel_size_nm: VoxelSize) -> dict[str, Array | None]:
    volume = measurements.voxels * prod(voxel_size_nm)
    columns: dict[str, Array | None] = {"volume_um3": volume / CUBIC_NM_PER_CUBIC_UM}
    centroids = measurements.sums / measurements.voxels[:, np.newaxis] * np.asarray(voxel_size_nm)
    columns |= {f"centroid_{axis}_nm": centroids[:, position] for position, axis in enumerate("zyx")}
    columns["nearest_nm"] = shape.nearest_nm(centroids)
    moments = (measurements.voxels, measurements.sums, measurements.products)
    axes = shape.axis_lengths_nm(shape.covariances_nm2(*moments, voxel_size_nm)).T
    columns |= dict(zip(("major_axis_nm", "middle_axis_nm", "minor_axis_nm"), axes, strict=True))
    columns |= {"elongation": axes[0] / axes[1], "flatness": axes[1] / axes[2]}
    if measurements.exits.shape[1]:
        area = surface.surface_nm2(measurements.exits, voxel_size_nm)
        columns["surface_um2"] = area / SQUARE_NM_PER_SQUARE_UM
        columns["sphericity"] = surface.sphericity(volume, area)
        columns["complexity_index"] = surface.complexity_index(volume, area)
    return columns


def _mean_and_deviation(measurements: Measurements) -> tuple[Array, Array]:
    """Return both from exact sums, moved next to the mean as in `segment.measures.shape`."""
    count = measurements.voxels
    total, squares = measurements.greys.T
    middle = (2 * total + count) // (2 * count)
    rest = (total - count * middle) / count
    central = squares - 2 * middle * total + count * middle * middle
    return middle + rest, np.sqrt(np.maximum(central / count - rest * rest, 0))


def merged_measurements(parts: Sequence[Measurements]) -> Measurements:
    """Add up the measurements of several blocks, as `merge_measurements` does gradually."""
    parts = list(parts) or [_nothing()]
    ids = np.concatenate([part.ids for part in parts])
    groups = group(ids)

    def reduced(name: str, how: np.ufunc = np.add) -> Integers:
        return groups.reduce(np.concatenate([getattr(part, name) for part in parts]), how)

    return Measurements(
        ids=groups.ids(ids),
        voxels=reduced("voxels"),
        starts=reduced("starts", np.minimum),
        stops=reduced("stops", np.maximum),
        sums=reduced("sums"),
        products=reduced("products"),
        exits=reduced("exits"),
        greys=reduced("greys"),
    )


def _nothing() -> Measurements:
    triple, none = np.zeros((0, 3), np.int64), np.zeros((0, 0), np.int64)
    products = np.zeros((0, len(shape.PAIRS)), np.int64)
    return Measurements(
        np.zeros(0, np.uint64), np.zeros(0, np.int64), triple, triple, triple, products, none, none
    )
