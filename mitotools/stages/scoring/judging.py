"""What became of every instance of two labelings, for pictures of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mitotools.parameters import PROTOCOLS, ErrorParameters
from mitotools.segment.scores.instances import instances_of
from mitotools.segment.scores.verdicts import FALSE_POSITIVE, HIT, MERGED, MISSED, SPLIT, kinds, verdicts
from mitotools.stages.scoring.comparing import Asked, compare_volumes

if TYPE_CHECKING:
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath

LEGEND = {HIT: "#56B4E9", MISSED: "#F0E442", FALSE_POSITIVE: "#D55E00", SPLIT: "#CC79A7", MERGED: "#009E73"}
"""For all kinds of colour vision (Okabe and Ito, 2008)."""

Partner = tuple[int | None, float]
"""The instance of the other labeling that fits best, or None, and the IoU."""


@dataclass(frozen=True)
class Judged:
    """Of which of `segment.scores.verdicts.KINDS` the instances of one labeling are, and their partners.

    Parameters
    ----------
    kinds : dict of int to str
        By id.
    partners : dict of int to Partner
        By id.
    """

    kinds: dict[int, str]
    partners: dict[int, Partner]


def judge(prediction: VolumePath, truth: VolumePath, iou: float, running: Running) -> tuple[Judged, Judged]:
    """Read two labelings once, by blocks, and say what became of predictions and truths.

    Parameters
    ----------
    prediction, truth : VolumePath
        (Z, Y, X) labels of the same shape.
    iou : float
        The least of a hit.
    running : Running

    Raises
    ------
    InputError
    """
    instances = instances_of(compare_volumes(Asked(prediction, truth), running).comparison.overlap)
    found = list(verdicts(instances, PROTOCOLS[0], iou, ErrorParameters()))
    of_predictions, of_truths = kinds(found)
    predictions = Judged(of_predictions, {})
    truths = Judged(of_truths, {})
    for row in found:
        if row.prediction in of_predictions and row.verdict != "fn":
            predictions.partners[row.prediction] = (row.truth, row.iou)
        if row.truth in of_truths and row.verdict != "fp":
            truths.partners[row.truth] = (row.prediction, row.iou)
    return predictions, truths
