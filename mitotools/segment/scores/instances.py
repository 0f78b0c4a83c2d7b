"""Predictions and truths, the pairs that overlap, and their size classes: what the scores start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mitotools.conventions import BACKGROUND

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Array
    from mitotools.segment.runs import Ids, Integers
    from mitotools.segment.scores.overlap import Overlap

LARGEST_VOXELS = 10**10
"""Instances above this belong to no class, as in the benchmark's own program."""

Limits = tuple[int, int]
"""A size class (low, high] in voxels."""


@dataclass(frozen=True, eq=False)
class Side:
    """The instances of one of the two labelings.

    Parameters
    ----------
    ids : (N,) uint64
        Ascending, background left out.
    sizes : (N,) int64
        Voxels.
    ignored : (N,) bool
        Instances that belong to no class: no hit, miss or false alarm, like those outside a size class.
    """

    ids: Ids
    sizes: Integers
    ignored: npt.NDArray[np.bool_]

    def within(self, limits: Limits) -> npt.NDArray[np.bool_]:
        """Return which instances a size class holds.

        Parameters
        ----------
        limits : (int, int)
            Voxels; the lower limit is outside, the upper one inside.

        Returns
        -------
        (N,) bool
        """
        low, high = limits
        return (self.sizes > low) & (self.sizes <= high) & ~self.ignored


@dataclass(frozen=True, eq=False)
class Instances:
    """Both sides, and the pairs that share a voxel, by prediction and then by truth.

    Parameters
    ----------
    predictions, truths : Side
        The two labelings.
    prediction, truth : (M,) intp
        Index of each pair's instances on their side.
    shared : (M,) int64
        Voxels that the pair shares.
    iou : (M,) float64
        Intersection over union of the pair, above 0.
    """

    predictions: Side
    truths: Side
    prediction: npt.NDArray[np.intp]
    truth: npt.NDArray[np.intp]
    shared: Integers
    iou: npt.NDArray[np.float64]


def instances_of(
    overlap: Overlap, ignored_predictions: Array | None = None, ignored_truths: Array | None = None
) -> Instances:
    """Take the instances, background left out, from an overlap.

    Parameters
    ----------
    overlap : Overlap
        Of the whole volumes, small truths already removed.
    ignored_predictions, ignored_truths : (K,) integer, optional
        Ids of instances that the scores leave out as they leave out those of another size: a prediction on an
        ignored truth is no false alarm. For instances that the volume's border cuts.

    Returns
    -------
    Instances
    """
    predictions = _side(*overlap.prediction_sizes(), ignored_predictions)
    truths = _side(*overlap.truth_sizes(), ignored_truths)
    both = (overlap.prediction != BACKGROUND) & (overlap.truth != BACKGROUND)
    prediction = np.searchsorted(predictions.ids, overlap.prediction[both])
    truth = np.searchsorted(truths.ids, overlap.truth[both])
    shared = overlap.count[both]
    union = predictions.sizes[prediction] + truths.sizes[truth] - shared
    return Instances(predictions, truths, prediction, truth, shared, shared.astype(np.float64) / union)


def size_classes(limits_voxels: tuple[int, int]) -> dict[str, Limits]:
    """Return the size classes by name: all, small, medium, large.

    Parameters
    ----------
    limits_voxels : (int, int)
        Upper limits, included, of the small and the medium class.

    Returns
    -------
    dict of str to (int, int)
        (low, high] in voxels.
    """
    small, medium = limits_voxels
    return {
        "all": (0, LARGEST_VOXELS),
        "small": (0, small),
        "medium": (small, medium),
        "large": (medium, LARGEST_VOXELS),
    }


def _side(ids: Ids, sizes: Integers, ignored: Array | None) -> Side:
    wanted = np.zeros(0, np.uint64) if ignored is None else np.asarray(ignored).astype(np.uint64)
    return Side(ids, sizes, np.isin(ids, wanted))
