"""Average precision by size class, bit for bit as the MitoEM benchmark computes it.

The definition is that of the benchmark's own program (Wei et al., "MitoEM dataset: large-scale 3D
mitochondria instance segmentation from EM images", MICCAI 2020), which adapts COCO's (Lin et al., "Microsoft
COCO: common objects in context", ECCV 2014) with two peculiarities that change the numbers and are kept:
nothing keeps two predictions from hitting the same truth, so that recall may exceed 1; and a prediction that
overlaps a truth of the class, however little, is judged by the best of those, so that it may count as false
alarm while a truth of another class fits it well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mitotools.errors import InputError
from mitotools.segment.scores.instances import LARGEST_VOXELS, size_classes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from mitotools.conventions import Array
    from mitotools.parameters import EvaluationProtocol
    from mitotools.segment.runs import Ids
    from mitotools.segment.scores.instances import Instances, Limits

    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]
    Indices = npt.NDArray[np.intp]

MEAN = "0.50:0.95"
"""Name of the mean over the ten thresholds."""

_THRESHOLDS = {
    # The two programs wrote one list in two ways, and differ in the last bit of 0.85 and of 0.9: an IoU of
    # exactly 0.85 is a hit in the first only, one of 0.8999999999999999 too.
    "paper": np.linspace(0.5, 0.95, 10),
    "challenge2021": 0.5 + 0.05 * np.arange(10),
}

_RECALLS = np.linspace(0, 1, 101)


def threshold_label(iou: float) -> str:
    """Return the name of an IoU threshold in reports.

    Parameters
    ----------
    iou : float
        A threshold, up to the rounding of a range like ``0.5 + k * 0.05``.

    Returns
    -------
    str
        With two decimals (``"0.75"``), or with as many as it takes.
    """
    return f"{iou:.2f}" if abs(iou - round(iou, 2)) < 1e-9 else repr(float(iou))


def iou_thresholds(protocol: str, more: Iterable[float] = ()) -> dict[str, float]:
    """Return a protocol's thresholds by name.

    Parameters
    ----------
    protocol : str
        ``"paper"`` or ``"challenge2021"``.
    more : iterable of float
        Thresholds outside the ten, added at the end.

    Returns
    -------
    dict of str to float
        The ten come first, and keep the protocol's last bit whatever `more` holds.
    """
    ten = {f"0.{50 + 5 * position}": float(iou) for position, iou in enumerate(_THRESHOLDS[protocol])}
    labels = dict.fromkeys(map(threshold_label, more))
    return ten | {label: float(label) for label in labels if label not in ten}


def select_thresholds(protocol: str, wanted: Iterable[float]) -> dict[str, float]:
    """Return the wanted thresholds by name, with the protocol's last bit where they are among its ten.

    Parameters
    ----------
    protocol : str
        ``"paper"`` or ``"challenge2021"``.
    wanted : iterable of float
        As the user typed them.

    Returns
    -------
    dict of str to float
        In the order wanted, each once.
    """
    labels = dict.fromkeys(map(threshold_label, wanted))
    known = iou_thresholds(protocol)
    return {label: known.get(label, float(label)) for label in labels}


def average_precision(
    instances: Instances,
    protocol: EvaluationProtocol,
    scores: Array | None = None,
    more_iou: Iterable[float] = (),
) -> dict[str, dict[str, float | None]]:
    """Compute AP at each IoU threshold and in each size class.

    Parameters
    ----------
    instances : Instances
        Small truths already removed, as the protocol says (`Overlap.without_small_truths`).
    protocol : EvaluationProtocol
        Its name gives the thresholds, its limits the size classes.
    scores : (P,) float64, optional
        Confidence of each prediction, in the order of `instances.predictions` (see `scores_by_id`); by
        default its voxels. Ties go to the lower id.
    more_iou : iterable of float
        Thresholds outside the ten; they do not enter the mean.

    Returns
    -------
    dict of str to dict of str to float or None
        AP from 0 to 1, by threshold (``"0.50"`` to ``"0.95"``, ``"0.50:0.95"``, then those of `more_iou`) and
        class (``"all"``, ``"small"``, ``"medium"``, ``"large"``). None where no truth is in the class.
    """
    classes = size_classes(protocol.size_limits_voxels)
    thresholds = iou_thresholds(protocol.name, more_iou)
    order = ranking(instances, scores)
    columns = {name: _ap_of_class(instances, limits, thresholds, order) for name, limits in classes.items()}
    names = [*list(thresholds)[:10], MEAN, *list(thresholds)[10:]]
    return {name: {size: column[name] for size, column in columns.items()} for name in names}


def precision_curve(
    instances: Instances, protocol: EvaluationProtocol, iou: float, scores: Array | None = None
) -> Floats | None:
    """Return the precision at recalls 0, .01, .. 1, of which AP is the mean; all sizes.

    Parameters
    ----------
    instances, protocol, scores
        As `average_precision` takes them.
    iou : float

    Returns
    -------
    (101,) float64, or None
        None where there is no truth.
    """
    limits = size_classes(protocol.size_limits_voxels)["all"]
    truths = int(instances.truths.within(limits).sum())
    if truths == 0:
        return None
    judged, order = judge(instances, limits), ranking(instances, scores)
    hits = judged.hits(iou)
    return precisions((hits & judged.in_class)[order], (~hits & judged.is_alarm)[order], truths)


def ranking(instances: Instances, scores: Array | None = None) -> Indices:
    """Return the predictions in the order of AP, (P,) intp: by descending score, then by ascending id."""
    confidence = instances.predictions.sizes if scores is None else scores
    return np.argsort(-confidence.astype(np.float64), kind="stable")


def scores_by_id(predictions: Ids, ids: Array, scores: Array) -> Floats:
    """Put scores that were listed by id in the order of the predictions.

    Parameters
    ----------
    predictions : (P,) uint64
        Ids, ascending.
    ids : (N,) integer
        Ids in any order, also of instances that are not there.
    scores : (N,) float
        Their scores, higher is surer.

    Returns
    -------
    (P,) float64
        0 for predictions that are not listed.

    Raises
    ------
    InputError
        If an id is listed twice, or a score is no number.
    """
    listed, first = np.unique(ids.astype(np.uint64), return_index=True)
    if len(listed) < len(ids):
        raise InputError("scores", f"{len(ids) - len(listed)} ids are listed more than once")
    if np.isnan(scores).any():
        raise InputError("scores", "some are no numbers (NaN)")
    aligned = np.zeros(len(predictions), np.float64)
    common, here, there = np.intersect1d(predictions, listed, assume_unique=True, return_indices=True)
    if len(common):
        aligned[here] = scores[first[there]]
    return aligned


def _ap_of_class(
    instances: Instances, limits: Limits, thresholds: Mapping[str, float], order: Indices
) -> dict[str, float | None]:
    """Return AP by threshold name, the mean over the first ten included."""
    truths = int(instances.truths.within(limits).sum())
    if truths == 0:
        return dict.fromkeys([*thresholds, MEAN])
    judged = judge(instances, limits)
    curves = []
    for threshold in thresholds.values():
        hits = judged.hits(threshold)
        curves.append(precisions((hits & judged.in_class)[order], (~hits & judged.is_alarm)[order], truths))
    found: dict[str, float | None] = {
        name: float(np.mean(curve)) for name, curve in zip(thresholds, curves, strict=True)
    }
    found[MEAN] = float(np.mean(np.concatenate(curves[:10])))
    return found


@dataclass(frozen=True, eq=False)
class Judged:
    """What each prediction is judged by in one size class.

    Its truth is the one of the class that it fits best, or else the one of any size; ties go to the lower id.

    Parameters
    ----------
    iou : (P,) float64
        With its truth; -1 where there is none.
    truth : (P,) intp
        Index of its truth; -1 where there is none.
    in_class : (P,) bool
        Whether its truth is of the class: a hit is a true positive.
    is_alarm : (P,) bool
        Whether the prediction is of the class: without a hit it is a false alarm.
    """

    iou: Floats
    truth: Indices
    in_class: Flags
    is_alarm: Flags

    def hits(self, iou: float) -> Flags:
        """Return which predictions fit their truth."""
        return self.iou >= iou


def judge(instances: Instances, limits: Limits) -> Judged:
    """Find the truth by which each prediction is judged in one size class (low, high] in voxels."""
    best_iou = np.full(len(instances.predictions.ids), -1.0)
    best_truth = np.full(len(best_iou), -1, np.intp)
    in_class = np.zeros(len(best_iou), bool)
    ranked = np.lexsort((-instances.iou, instances.prediction))  # stable: of equal IoU, the lower id first
    any_size = instances.truths.sizes <= LARGEST_VOXELS
    for truths, inside in ((any_size, False), (instances.truths.within(limits), True)):
        pairs = ranked[truths[instances.truth[ranked]]]
        found, first = np.unique(instances.prediction[pairs], return_index=True)
        best_iou[found] = instances.iou[pairs[first]]
        best_truth[found] = instances.truth[pairs[first]]
        in_class[found] = inside
    return Judged(best_iou, best_truth, in_class, instances.predictions.within(limits))


def precisions(hits: Array, alarms: Array, truths: int) -> Floats:
    """Return the precision at 101 recalls, by the benchmark's operations in their order.

    Parameters
    ----------
    hits, alarms : (P,) bool or int64
        How often each prediction is a true and a false positive, the surest first.
    truths : int
        At least 1.

    Returns
    -------
    (101,) float64
    """
    true, false = np.cumsum(hits, dtype=np.float64), np.cumsum(alarms, dtype=np.float64)
    recall = true / truths
    precision = true / (false + true + np.spacing(1))
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    position = np.searchsorted(recall, _RECALLS, side="left")
    reached = position < len(precision)
    curve = np.zeros(len(_RECALLS))
    curve[reached] = precision[position[reached]]
    return curve
