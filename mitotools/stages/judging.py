"""What became of every instance of two labelings, for pictures of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mitotools.parameters import PROTOCOLS, ErrorParameters
from mitotools.segment.instances import instances_of
from mitotools.segment.verdicts import kinds, verdicts
from mitotools.stages.comparing import Asked, compare_volumes

if TYPE_CHECKING:
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath


@dataclass(frozen=True)
class Judged:
    """Of which of `mitotools.segment.verdicts.KINDS` instances are.

    Parameters
    ----------
    predictions, truths : dict of int to str
        By id.
    """

    predictions: dict[int, str]
    truths: dict[int, str]


def judge(prediction: VolumePath, truth: VolumePath, iou: float, running: Running) -> Judged:
    """Read two labelings once, by blocks, and say what became of each instance.

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
    return Judged(*kinds(verdicts(instances, PROTOCOLS[0], iou, ErrorParameters())))
