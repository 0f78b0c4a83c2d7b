"""How sure an AP is: its interval over samples of the instances.

The percentile bootstrap (Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7,
1979). What is drawn, with replacement, are truths, each with the predictions that are judged by it, and
predictions that touch no truth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mitotools.segment.scores.average_precision import MEAN, judge, precisions, ranking
from mitotools.segment.scores.instances import size_classes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from mitotools.conventions import Array
    from mitotools.parameters import EvaluationProtocol
    from mitotools.segment.scores.instances import Instances, Limits

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

LEVEL = 0.95
"""Part of the samples that an interval holds."""

SEED = 0
"""The same samples in every run."""

Interval = tuple[float, float]


def ap_intervals(
    instances: Instances,
    protocol: EvaluationProtocol,
    thresholds: Mapping[str, float],
    samples: int,
    scores: Array | None = None,
) -> dict[str, dict[str, Interval | None]]:
    """Compute the interval that holds 95 % of the AP of samples of the instances.

    Parameters
    ----------
    instances : Instances
        Small truths already removed.
    protocol : EvaluationProtocol
        Gives the size classes.
    thresholds : mapping of str to float
        IoU by name, the protocol's ten first (`average_precision.iou_thresholds`).
    samples : int
        At least 1; as many instances as there are, drawn with replacement, `samples` times.
    scores : (P,) float64, optional
        As for `average_precision`.

    Returns
    -------
    dict of str to dict of str to (float, float) or None
        Low and high, by threshold (and the mean over the ten, ``"0.50:0.95"``) and class. None where no
        truth is in the class. Samples without a truth of the class do not count.
    """
    order = ranking(instances, scores)
    classes = size_classes(protocol.size_limits_voxels)
    columns = {
        name: _intervals(instances, limits, thresholds, order, samples) for name, limits in classes.items()
    }
    return {
        threshold: {name: column[threshold] for name, column in columns.items()}
        for threshold in [*thresholds, MEAN]
    }


def _intervals(
    instances: Instances, limits: Limits, thresholds: Mapping[str, float], order: Array, samples: int
) -> dict[str, Interval | None]:
    names = [*thresholds, MEAN]
    is_counted = instances.truths.within(limits)
    if not is_counted.any():
        return dict.fromkeys(names)
    judged = judge(instances, limits)
    hits = np.array([judged.hits(threshold) for threshold in thresholds.values()])
    true, false = (hits & judged.in_class)[:, order], (~hits & judged.is_alarm)[:, order]
    found = []
    for of_truth, of_prediction in drawn(judged.truth, len(is_counted), samples):
        truths = int(of_truth[is_counted].sum())
        if truths:
            times = of_prediction[order]
            curves = [precisions(t * times, f * times, truths) for t, f in zip(true, false, strict=True)]
            found.append([*np.mean(curves, axis=1), np.mean(curves[:10])])
    if not found:
        return dict.fromkeys(names)
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0).tolist()
    return dict(zip(names, zip(low, high, strict=True), strict=True))


def drawn(truth: Array, truths: int, samples: int) -> Iterator[tuple[Integers, Integers]]:
    """Draw instances with replacement.

    Parameters
    ----------
    truth : (P,) intp
        Index of the truth that each prediction goes with; -1 where it is drawn by itself.
    truths : int
    samples : int

    Yields
    ------
    of_truth : (T,) int64
        How often each truth was drawn.
    of_prediction : (P,) int64
        The same of each prediction.
    """
    is_alone = truth < 0
    unit = truth.copy()
    unit[is_alone] = truths + np.arange(is_alone.sum())
    units = truths + int(is_alone.sum())
    generator = np.random.default_rng(SEED)
    for _ in range(samples):
        times = np.bincount(generator.integers(0, units, units), minlength=units)
        yield times[:truths], times[unit]
