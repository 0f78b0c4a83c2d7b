"""Overlap of the two foregrounds, whatever the instances: the scores of semantic segmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitotools.conventions import BACKGROUND

if TYPE_CHECKING:
    from mitotools.segment.scores.overlap import Overlap


def foreground_scores(overlap: Overlap) -> dict[str, float | None]:
    """Score the voxels that belong to any instance.

    Parameters
    ----------
    overlap : Overlap
        Of the whole volumes.

    Returns
    -------
    dict of str to float or None
        With P voxels in the prediction's foreground, T in the truth's and B in both: ``jaccard`` is
        B / (P + T - B), ``dice`` 2 B / (P + T), ``precision`` B / P, ``recall`` B / T. None where the
        divisor is 0.
    """
    in_prediction, in_truth = overlap.prediction != BACKGROUND, overlap.truth != BACKGROUND
    both = int(overlap.count[in_prediction & in_truth].sum())
    predicted, true = int(overlap.count[in_prediction].sum()), int(overlap.count[in_truth].sum())
    return {
        "jaccard": both / (predicted + true - both) if predicted + true else None,
        "dice": 2 * both / (predicted + true) if predicted + true else None,
        "precision": both / predicted if predicted else None,
        "recall": both / true if true else None,
    }
