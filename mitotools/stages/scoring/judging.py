"""What became of every instance of two labelings, for pictures of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mitotools.parameters import PROTOCOLS, ErrorParameters
from mitotools.segment.scores.instances import instances_of
from mitotools.segment.scores.verdicts import KINDS, kinds, verdicts
from mitotools.stages.scoring.comparing import Asked, compare_volumes

if TYPE_CHECKING:
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath

LEGEND = dict(zip(KINDS, ("#56B4E9", "#C8FFC8", "#F0E442", "#FF0078", "#0050FF", "#007800"), strict=True))
"""Searched for: of colours that are no greys, and not dark, those whose least difference (CIEDE2000) is
largest under full protanopia, deuteranopia and tritanopia as Machado et al. (2009) simulate them: 17.9. Of
five colours of Okabe and Ito (2008) it was 12.1."""

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
