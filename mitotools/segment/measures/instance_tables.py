"""All that one pass over labels finds of their instances, block by block."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from mitotools.segment.measures.contacts import Contacts, contacts_of_runs, merged_contacts
from mitotools.segment.measures.measure import (
    SQUARE_NM_PER_SQUARE_UM,
    Core,
    Measurements,
    measure_runs,
    measurement_columns,
    merged_measurements,
)
from mitotools.segment.measures.row_runs import iterate_row_runs, plain
from mitotools.segment.measures.surface import steps
from mitotools.segment.runs import merge_gradually
from mitotools.segment.scores.overlap import Overlap, merge_overlaps, overlap_of_block

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Array, Size, VoxelSize
    from mitotools.segment.runs import Integers


@dataclass(frozen=True, eq=False)
class Tables:
    """What is known of each instance, and of pairs that touch.

    Parameters
    ----------
    measurements : Measurements
    contacts : Contacts
    hosts : Overlap, optional
        Of the instances with those that they lie in.
    """

    measurements: Measurements
    contacts: Contacts
    hosts: Overlap | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.measurements) + len(self.contacts) + (len(self.hosts) if self.hosts else 0)

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        parts = [part for part in (self.measurements, self.contacts, self.hosts) if part is not None]
        return sum(getattr(value, "nbytes", 0) for part in parts for value in vars(part).values())

    def within(self, size: Size) -> Tables:
        """Return the tables with the volume's size, which tells what touches its border."""
        return replace(self, measurements=replace(self.measurements, size=size))


def tables_of_block(
    labels: Array, core: Core, pairs: Integers, raw: Array | None = None, hosts: Array | None = None
) -> Tables:
    """Measure the parts of instances that lie in one block, their surfaces and what they touch.

    Parameters
    ----------
    labels : (Z, Y, X) integer or bool
        The block, with a margin as far as the longest step beyond its upper sides; where the volume ends,
        as far as that.
    core : Core
        The block without its margin.
    pairs : (13, 3) int64
        See `segment.measures.surface.steps`.
    raw : (Z, Y, X) integer of 8 or 16 bits, optional
        Grey values of the core.
    hosts : (Z, Y, X) integer or bool, optional
        Ids of cells or neurites in the core.

    Returns
    -------
    Tables
        `merged_tables` makes one of many.

    Raises
    ------
    InputError
        If the type is no integer, or an id is negative.
    """
    known = plain(labels) if labels.dtype.kind in "bui" else labels
    parts = (
        Tables(
            measure_runs(runs, core, (known, pairs), raw),
            contacts_of_runs(known, labels.dtype, runs.places, core.stop),
        )
        for runs in iterate_row_runs(labels)
    )
    tables = merge_gradually(parts, merged_tables)
    if hosts is None:
        return tables
    z, y, x = core.shape
    return replace(tables, hosts=overlap_of_block(labels[:z, :y, :x], hosts))


def table_columns(tables: Tables, voxel_size_nm: VoxelSize | None) -> dict[str, Array | None]:
    """Return everything as the columns of a table.

    Parameters
    ----------
    tables : Tables
        Of the whole volume.
    voxel_size_nm : (z, y, x) or None
        None if unknown.

    Returns
    -------
    dict of str to (N,) array or None
        Those of `segment.measures.measure.measurement_columns`, ``neighbours`` (other instances with a voxel
        that shares a face) and ``contact_um2`` (the area of these faces, None where the voxel size is
        unknown).
    """
    columns = measurement_columns(tables.measurements, voxel_size_nm)
    neighbours, faces = tables.contacts.of(tables.measurements.ids)
    columns |= {"neighbours": neighbours, "contact_um2": None}
    if voxel_size_nm is not None:
        areas = prod(voxel_size_nm) / np.asarray(voxel_size_nm)
        columns["contact_um2"] = (faces * areas).sum(axis=1) / SQUARE_NM_PER_SQUARE_UM
    return columns


def columns_of_none(voxel_size_nm: VoxelSize | None, dtype: npt.DTypeLike) -> dict[str, Array | None]:
    """Return the columns of `table_columns` without a row: what there will be, before anything is measured.

    The kernels for labels of the type are loaded for it.
    """
    one = np.zeros((1, 1, 1), dtype)
    tables = tables_of_block(one, Core((0, 0, 0), (1, 1, 1)), steps(voxel_size_nm))
    return table_columns(tables.within((1, 1, 1)), voxel_size_nm)


def merged_tables(parts: list[Tables]) -> Tables:
    """Add up the tables of several blocks of one volume, in any order."""
    hosts = [part.hosts for part in parts if part.hosts is not None]
    return Tables(
        merged_measurements([part.measurements for part in parts]),
        merged_contacts([part.contacts for part in parts]),
        merge_overlaps(hosts) if hosts else None,
    )
