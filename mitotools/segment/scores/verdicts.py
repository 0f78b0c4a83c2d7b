"""What became of every instance, one by one: hit, missed, false alarm; split, merged, a poor fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mitotools.segment.scores.instances import size_classes
from mitotools.segment.scores.matching import find_errors, match

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from mitotools.parameters import ErrorParameters, EvaluationProtocol
    from mitotools.segment.scores.instances import Instances, Side

    Indices = npt.NDArray[np.intp]

IGNORED = "ignored"
"""The verdict on instances that the scores leave out."""


KINDS = ("hit", "poor fit", "missed", "false positive", "split", "merged")
HIT, POOR_FIT, MISSED, FALSE_POSITIVE, SPLIT, MERGED = KINDS
"""What people look for; each instance is of one kind."""


@dataclass(frozen=True)
class Verdict:
    """One instance, or the two that are matched.

    Parameters
    ----------
    truth, prediction : int or None
        Ids. Of an instance that has no match, the other is the one that it fits best, None where it touches
        none; ties go to the lower id.
    truth_voxels, prediction_voxels : int or None
        Their sizes.
    iou : float
        Of the two; 0 where there is but one.
    verdict : str
        tp, fn (a truth without match), fp (a prediction without match) or ignored.
    errors : str
        What is wrong with the instance: split, missed (truths), merged, spurious (predictions), several
        joined by commas. A row of two matched instances says it of both.
    """

    truth: int | None
    prediction: int | None
    truth_voxels: int | None
    prediction_voxels: int | None
    iou: float
    verdict: str
    errors: str


COLUMNS = tuple(Verdict.__dataclass_fields__)


def verdicts(
    instances: Instances, protocol: EvaluationProtocol, iou: float, parameters: ErrorParameters
) -> Iterator[Verdict]:
    """Yield what became of every instance under the one-to-one matching at an IoU.

    Parameters
    ----------
    instances : Instances
        Small truths already removed.
    protocol : EvaluationProtocol
        Gives the largest instance that counts.
    iou : float
        The least IoU of a match, above 0.
    parameters : ErrorParameters

    Yields
    ------
    Verdict
        Truths by id, matched or not; then predictions without match, by id. As many are tp, fn and fp as
        `matching.detection` counts in the class of all sizes, and as many have an error as `find_errors`
        finds.
    """
    limits = size_classes(protocol.size_limits_voxels)["all"]
    counts = {
        "truth": instances.truths.within(limits),
        "prediction": instances.predictions.within(limits),
    }
    errors = _errors_by_side(instances, parameters)
    matched = match(instances, iou)
    pair_of_truth = _best_pairs(instances, instances.truth, len(instances.truths.ids))
    pair_of_truth[instances.truth[matched]] = matched
    is_matched = np.zeros(len(instances.truths.ids), bool)
    is_matched[instances.truth[matched]] = True
    for index, pair in enumerate(pair_of_truth.tolist()):
        own = errors["truth"].get(index, [])
        if is_matched[index]:
            own = own + errors["prediction"].get(int(instances.prediction[pair]), [])
        verdict = "tp" if is_matched[index] else "fn"
        yield _verdict(instances, index, None, pair, verdict if counts["truth"][index] else IGNORED, own)
    pair_of_prediction = _best_pairs(instances, instances.prediction, len(instances.predictions.ids))
    left = np.ones(len(pair_of_prediction), bool)
    left[instances.prediction[matched]] = False
    for index in np.flatnonzero(left).tolist():
        verdict = "fp" if counts["prediction"][index] else IGNORED
        own = errors["prediction"].get(index, [])
        yield _verdict(instances, None, index, int(pair_of_prediction[index]), verdict, own)


def kinds(found: Iterable[Verdict]) -> tuple[dict[int, str], dict[int, str]]:
    """Return of which of `KINDS` each prediction and each truth is, by id.

    A split truth takes all its pieces along, and a merging prediction all that it merges, even if one of
    them is a hit at that. Of the rest, missed and false positive are what `find_errors` calls missed and
    spurious; what was found, but fits too badly for a hit, is a poor fit. What is ignored is of no kind.
    """
    rows = [row for row in found if row.verdict != IGNORED]
    split = {row.truth for row in rows if "split" in row.errors}
    merged = {row.prediction for row in rows if "merged" in row.errors}
    of_predictions, of_truths = {}, {}
    for row in rows:
        if row.verdict != "fp" and row.truth is not None:
            other = MERGED if row.prediction in merged and "missed" not in row.errors else None
            kind = SPLIT if row.truth in split else other
            of_truths[row.truth] = kind or _fit(row, "missed", MISSED)
        if row.verdict != "fn" and row.prediction is not None:
            other = SPLIT if row.truth in split and "spurious" not in row.errors else None
            kind = MERGED if row.prediction in merged else other
            of_predictions[row.prediction] = kind or _fit(row, "spurious", FALSE_POSITIVE)
    return of_predictions, of_truths


def _fit(row: Verdict, error: str, kind: str) -> str:
    """Return the kind of what is neither split nor merged; the one named is that of an error."""
    return HIT if row.verdict == "tp" else kind if error in row.errors else POOR_FIT


def _best_pairs(instances: Instances, column: Indices, count: int) -> Indices:
    """Return the pair of largest IoU of each instance of one side; -1 where it has none."""
    ranked = np.lexsort((-instances.iou, column))  # stable: of equal IoU, the lower id first
    found, first = np.unique(column[ranked], return_index=True)
    best = np.full(count, -1, np.intp)
    best[found] = ranked[first]
    return best


def _errors_by_side(instances: Instances, parameters: ErrorParameters) -> dict[str, dict[int, list[str]]]:
    """Return the names of the errors of each instance that has any, by its index."""
    errors = find_errors(instances, parameters)
    found: dict[str, dict[int, list[str]]] = {"truth": {}, "prediction": {}}
    for side, kind in (
        ("truth", "split"), ("truth", "missed"), ("prediction", "merged"), ("prediction", "spurious")
    ):  # fmt: skip
        ids = (instances.truths if side == "truth" else instances.predictions).ids
        for index in np.searchsorted(ids, getattr(errors, kind)).tolist():
            found[side].setdefault(index, []).append(kind)
    return found


def _verdict(
    instances: Instances,
    truth: int | None,
    prediction: int | None,
    pair: int,
    verdict: str,
    errors: list[str],
) -> Verdict:
    if pair >= 0:
        truth, prediction = int(instances.truth[pair]), int(instances.prediction[pair])
    truth_id, truth_voxels = _named(instances.truths, truth)
    prediction_id, prediction_voxels = _named(instances.predictions, prediction)
    iou = float(instances.iou[pair]) if pair >= 0 else 0.0
    return Verdict(truth_id, prediction_id, truth_voxels, prediction_voxels, iou, verdict, ",".join(errors))


def _named(side: Side, index: int | None) -> tuple[int | None, int | None]:
    return (None, None) if index is None else (int(side.ids[index]), int(side.sizes[index]))
