"""Instances matched one to one, the detection scores that follow, and the errors by kind.

Precision, recall, F1 and accuracy TP / (TP + FP + FN) as in Caicedo et al., "Nucleus segmentation across
imaging experiments: the 2018 Data Science Bowl", Nature Methods 16, 2019, where the accuracy goes by the name
of average precision; it is not `average_precision`. Panoptic quality: Kirillov et al., "Panoptic
segmentation", CVPR 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from mitotools.segment.scores.instances import size_classes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from mitotools.parameters import ErrorParameters, EvaluationProtocol
    from mitotools.segment.runs import Ids
    from mitotools.segment.scores.instances import Instances, Limits

    Flags = npt.NDArray[np.bool_]
    Indices = npt.NDArray[np.intp]

UNIQUE_ABOVE_IOU = 0.5
"""Two instances cannot both have an IoU above this with a third (Kirillov et al. 2019)."""

Detection = dict[str, int | float | None]
"""tp, fp, fn, precision, recall, f1, accuracy and pq; None where the divisor is 0."""


def match(instances: Instances, iou: float) -> Indices:
    """Match predictions and truths one to one.

    Above an IoU of 0.5 the matching is unique. At or below, it is the one with the most pairs and, among
    those, with the largest sum of IoU.

    Parameters
    ----------
    instances : Instances
        Both sides.
    iou : float
        The least IoU of a pair, above 0.

    Returns
    -------
    (K,) intp
        The matched pairs, as indices of the pairs of `instances`, ascending.
    """
    hits = np.flatnonzero(instances.iou >= iou)
    if iou > UNIQUE_ABOVE_IOU:
        return hits
    contested = _contested(instances.prediction[hits]) | _contested(instances.truth[hits])
    chosen = _assign(instances, hits[contested])
    return np.sort(np.concatenate([hits[~contested], chosen]))


def _contested(column: Indices) -> Flags:
    """Return which rows hold a value that others hold too."""
    _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
    shared: Flags = counts[inverse] > 1
    return shared


def _assign(instances: Instances, hits: Indices) -> Indices:
    """Choose the pairs with the most matches, then the largest sum of IoU.

    The assignment is sparse: a dense matrix of 20 000 predictions and truths would take 3 GB. Every
    prediction may also stay single, which costs more than any set of matches could save, so that a full
    matching always exists.
    """
    if len(hits) == 0:
        return hits
    predictions, row = np.unique(instances.prediction[hits], return_inverse=True)
    truths, column = np.unique(instances.truth[hits], return_inverse=True)
    singles = np.arange(len(predictions))
    cost_of_single = 2.0 * len(predictions) + 2.0
    costs = coo_array(
        (
            np.concatenate([2.0 - instances.iou[hits], np.full(len(singles), cost_of_single)]),
            (np.concatenate([row, singles]), np.concatenate([column, len(truths) + singles])),
        ),
        shape=(len(predictions), len(truths) + len(singles)),
    )
    partner = np.empty(len(predictions), np.intp)
    rows, columns = min_weight_full_bipartite_matching(costs.tocsr())
    partner[rows] = columns
    chosen: Indices = hits[partner[row] == column]
    return chosen


def detection(
    instances: Instances, protocol: EvaluationProtocol, thresholds: Mapping[str, float]
) -> dict[str, dict[str, Detection]]:
    """Score the one-to-one matching at each threshold and in each size class.

    Parameters
    ----------
    instances : Instances
        Small truths already removed.
    protocol : EvaluationProtocol
        Gives the size classes. Hits and misses belong to the class of the truth, false alarms to that of the
        prediction.
    thresholds : mapping of str to float
        IoU by name, from `average_precision.select_thresholds`.

    Returns
    -------
    dict of str to dict of str to dict
        By threshold, then class: ``tp``, ``fp``, ``fn``, ``precision``, ``recall``, ``f1``, ``accuracy``,
        ``pq``.
    """
    classes = size_classes(protocol.size_limits_voxels)
    return {
        name: _detection_by_class(instances, match(instances, iou), classes)
        for name, iou in thresholds.items()
    }


def _detection_by_class(
    instances: Instances, matched: Indices, classes: Mapping[str, Limits]
) -> dict[str, Detection]:
    alarm = np.ones(len(instances.predictions.ids), bool)
    alarm[instances.prediction[matched]] = False
    iou_of_truth = np.zeros(len(instances.truths.ids))
    iou_of_truth[instances.truth[matched]] = instances.iou[matched]
    scores = {}
    for name, limits in classes.items():
        iou = iou_of_truth[instances.truths.within(limits)]
        hits, alarms = int((iou > 0).sum()), int((alarm & instances.predictions.within(limits)).sum())
        scores[name] = _detection(hits, alarms, len(iou) - hits, float(iou.sum()))
    return scores


def _detection(tp: int, fp: int, fn: int, iou: float) -> Detection:
    return {
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "accuracy": _ratio(tp, tp + fp + fn),
        "pq": _ratio(2 * iou, 2 * tp + fp + fn),
    }


def _ratio(part: float, whole: int) -> float | None:
    return part / whole if whole else None


@dataclass(frozen=True, eq=False)
class Errors:
    """The instances that went wrong, by kind.

    Parameters
    ----------
    split : (A,) uint64
        Truths of which two predictions or more each hold a piece.
    merged : (B,) uint64
        Predictions that hold pieces of two truths or more.
    missed : (C,) uint64
        Truths that no prediction fits.
    spurious : (D,) uint64
        Predictions that fit no truth.
    """

    split: Ids
    merged: Ids
    missed: Ids
    spurious: Ids

    def counts(self) -> dict[str, int]:
        """Return the number of each kind."""
        return {kind: len(getattr(self, kind)) for kind in ("split", "merged", "missed", "spurious")}


def find_errors(instances: Instances, parameters: ErrorParameters) -> Errors:
    """Find split, merged, missed and spurious instances.

    Parameters
    ----------
    instances : Instances
        Small truths already removed. Ignored instances do not count, but their partners see them.
    parameters : ErrorParameters
        What a piece is, and what fits.

    Returns
    -------
    Errors
        Ids, ascending.
    """
    predictions, truths = instances.predictions, instances.truths
    share = instances.shared / truths.sizes[instances.truth]
    piece = (share >= parameters.share) & (instances.shared >= parameters.size_voxels)
    fits = instances.iou >= parameters.found_iou
    pieces_of = np.bincount(instances.truth[piece], minlength=len(truths.ids))
    pieces_in = np.bincount(instances.prediction[piece], minlength=len(predictions.ids))
    found = np.bincount(instances.truth[fits], minlength=len(truths.ids)) > 0
    fitting = np.bincount(instances.prediction[fits], minlength=len(predictions.ids)) > 0
    return Errors(
        split=truths.ids[(pieces_of >= 2) & ~truths.ignored],
        merged=predictions.ids[(pieces_in >= 2) & ~predictions.ignored],
        missed=truths.ids[~found & ~truths.ignored],
        spurious=predictions.ids[~fitting & ~predictions.ignored],
    )
