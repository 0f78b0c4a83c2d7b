"""The sparse voxel overlap of two labelings, from one pass: every score is computed from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mitotools.conventions import BACKGROUND
from mitotools.errors import InputError
from mitotools.segment.runs import as_ids, group, iterate_runs, merge_gradually, require_labels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mitotools.conventions import Array, Mask
    from mitotools.segment.runs import Ids, Integers, Runs


@dataclass(frozen=True, eq=False)
class Overlap:
    """How many voxels each prediction shares with each truth.

    The rows are unique and sorted by prediction, then truth. Background is kept as id 0 on both sides, so
    that the rows add up to the voxels that were compared.

    Parameters
    ----------
    prediction, truth : (N,) uint64
        Ids.
    count : (N,) int64
        Voxels that have both; at least 1.
    """

    prediction: Ids
    truth: Ids
    count: Integers

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.count)

    def prediction_sizes(self) -> tuple[Ids, Integers]:
        """Return the predictions without background, ascending, and their voxels: (P,) uint64, (P,) int64."""
        return _sizes(self.prediction, self.count)

    def truth_sizes(self) -> tuple[Ids, Integers]:
        """Return the truths without background, ascending, and their voxels: (T,) uint64, (T,) int64."""
        return _sizes(self.truth, self.count)

    def without_small_truths(self, min_size_voxels: int) -> Overlap:
        """Turn small truths into background; the predictions on them stay.

        Parameters
        ----------
        min_size_voxels : int
            Truths of this size are kept.

        Returns
        -------
        Overlap
        """
        truths, sizes = self.truth_sizes()
        small = np.isin(self.truth, truths[sizes < min_size_voxels])
        return _grouped(self.prediction, np.where(small, np.uint64(BACKGROUND), self.truth), self.count)

    def without_small_predictions(self, min_size_voxels: int) -> Overlap:
        """Turn small predictions into background, as if they had been dropped when they were made."""
        predictions, sizes = self.prediction_sizes()
        small = np.isin(self.prediction, predictions[sizes < min_size_voxels])
        return _grouped(np.where(small, np.uint64(BACKGROUND), self.prediction), self.truth, self.count)


def overlap_of_block(prediction: Array, truth: Array, valid: Mask | None = None) -> Overlap:
    """Count the overlaps in one block of two labelings.

    Parameters
    ----------
    prediction, truth : (Z, Y, X) integer or bool
        Ids, 0 and above; the two types may differ.
    valid : (Z, Y, X) bool, optional
        Voxels that count; all by default.

    Returns
    -------
    Overlap
        Of the block. `merge_overlaps` makes one of many.

    Raises
    ------
    InputError
        If the shapes differ, a type is no integer, or an id is negative.
    """
    require_labels(prediction, "prediction")
    require_labels(truth, "truth")
    volumes = [prediction, truth] if valid is None else [prediction, truth, valid]
    for volume, what in zip(volumes, ("prediction", "truth", "mask"), strict=False):
        if volume.shape != prediction.shape:
            raise InputError(what, f"has shape {volume.shape}, the prediction {prediction.shape}")
    return merge_overlaps(_overlap_of_runs(runs) for runs in iterate_runs(volumes))


def merge_overlaps(overlaps: Iterable[Overlap]) -> Overlap:
    """Add up the overlaps of the blocks of one pair of volumes.

    Parameters
    ----------
    overlaps : iterable of Overlap
        In any order. They are taken one by one, and the blocks of a large volume need not all be held.

    Returns
    -------
    Overlap
        The same for every way to cut the volumes into blocks.
    """
    return merge_gradually(overlaps, _merged)


def _overlap_of_runs(runs: Runs) -> Overlap:
    prediction, truth = as_ids(runs.values[0], "prediction"), as_ids(runs.values[1], "truth")
    if len(runs.values) == 2:
        return _grouped(prediction, truth, runs.lengths)
    valid = runs.values[2].astype(bool)
    return _grouped(prediction[valid], truth[valid], runs.lengths[valid])


def _grouped(prediction: Ids, truth: Ids, count: Integers) -> Overlap:
    groups = group(prediction, truth)
    return Overlap(groups.ids(prediction), groups.ids(truth), groups.reduce(count))


def _merged(overlaps: list[Overlap]) -> Overlap:
    return _grouped(
        np.concatenate([np.zeros(0, np.uint64), *(overlap.prediction for overlap in overlaps)]),
        np.concatenate([np.zeros(0, np.uint64), *(overlap.truth for overlap in overlaps)]),
        np.concatenate([np.zeros(0, np.int64), *(overlap.count for overlap in overlaps)]),
    )


def _sizes(column: Ids, count: Integers) -> tuple[Ids, Integers]:
    groups = group(column)
    ids, sizes = groups.ids(column), groups.reduce(count)
    return ids[ids != BACKGROUND], sizes[ids != BACKGROUND]
