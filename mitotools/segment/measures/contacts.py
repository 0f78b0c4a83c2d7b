"""Where instances touch: the faces between voxels of two of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mitotools.segment.measures.measure_kernels import list_touches
from mitotools.segment.runs import as_ids, group, merge_gradually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.conventions import Array
    from mitotools.segment.measures.row_runs import Places
    from mitotools.segment.runs import Ids, Integers

RUNS = 1 << 13
"""Runs whose touches are in memory at the same time: of noise, three a run."""


@dataclass(frozen=True, eq=False)
class Contacts:
    """The faces that pairs of instances share.

    Parameters
    ----------
    first, second : (M,) uint64
        Ids, the first below the second; the pairs are unique and sorted.
    faces : (M, 3) int64
        Faces of voxels normal to (z, y, x).
    """

    first: Ids
    second: Ids
    faces: Integers

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.first)

    def of(self, ids: Ids) -> tuple[Integers, Integers]:
        """Return what each instance touches.

        Parameters
        ----------
        ids : (N,) uint64
            Ascending, all that are in a pair among them.

        Returns
        -------
        neighbours : (N,) int64
            Other instances.
        faces : (N, 3) int64
            Shared with any of them.
        """
        neighbours, faces = np.zeros(len(ids), np.int64), np.zeros((len(ids), 3), np.int64)
        for side in (self.first, self.second):
            rows = np.searchsorted(ids, side)
            np.add.at(neighbours, rows, 1)
            np.add.at(faces, rows, self.faces)
        return neighbours, faces


def contacts_of_runs(
    labels: Array, original: np.dtype[np.generic], places: Places, core: Integers
) -> Contacts:
    """Count the faces of some runs behind which, upwards along an axis, another instance lies.

    Parameters
    ----------
    labels : (Z, Y, X) unsigned integer
        With one voxel more than the core beyond its upper sides, unless the volume ends there.
    original : dtype
        That the labels have, where these are a view of them.
    places : (R, 4) int32
        See `segment.measures.row_runs.RowRuns`.
    core : (3,) int64
        Upper end of the voxels whose faces are counted.
    """
    return merge_gradually(
        (
            _contacts(labels, original, places[first : first + RUNS], core)
            for first in range(0, len(places), RUNS)
        ),
        merged_contacts,
    )


def _contacts(labels: Array, original: np.dtype[np.generic], places: Places, core: Integers) -> Contacts:
    none = np.empty(0, labels.dtype)
    count = list_touches(labels, places, core, none, none, np.empty(0, np.int8))
    one, other = np.empty(count, labels.dtype), np.empty(count, labels.dtype)
    axes = np.empty(count, np.int8)
    list_touches(labels, places, core, one, other, axes)
    a, b = (as_ids(side.view(original), "labels") for side in (one, other))
    faces = (axes[:, np.newaxis] == np.arange(3)).astype(np.int64)
    return _grouped(Contacts(np.minimum(a, b), np.maximum(a, b), faces))


def no_contacts() -> Contacts:
    """Return the table without a row."""
    return Contacts(np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros((0, 3), np.int64))


def merged_contacts(parts: Sequence[Contacts]) -> Contacts:
    """Add up the contacts of several blocks."""
    parts = [no_contacts(), *parts]
    return _grouped(
        Contacts(
            np.concatenate([part.first for part in parts]),
            np.concatenate([part.second for part in parts]),
            np.concatenate([part.faces for part in parts]),
        )
    )


def _grouped(rows: Contacts) -> Contacts:
    groups = group(rows.first, rows.second)
    return Contacts(groups.ids(rows.first), groups.ids(rows.second), groups.reduce(rows.faces))
