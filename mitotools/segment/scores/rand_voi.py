"""Adapted Rand error and variation of information, over the voxels of the truth's foreground.

Both compare clusterings of voxels, and need no matching of instances. They equal scikit-image's
``adapted_rand_error`` and ``variation_of_information`` with ``ignore_labels=[0]``: voxels that are background
in the truth do not count, and the prediction's background on the others is one more cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mitotools.conventions import BACKGROUND
from mitotools.segment.runs import group

if TYPE_CHECKING:
    from mitotools.segment.runs import Ids, Integers
    from mitotools.segment.scores.overlap import Overlap


def adapted_rand_error(overlap: Overlap) -> float | None:
    """Compute the adapted Rand error, 1 minus the F-score of pairs of voxels.

    A pair is positive in a labeling that gives both voxels one id. Pairs of a voxel with itself are left out
    (Arganda-Carreras et al., "Crowdsourcing the creation of image segmentation algorithms for connectomics",
    Frontiers in Neuroanatomy 9, 2015).

    Parameters
    ----------
    overlap : Overlap
        Of the whole volumes.

    Returns
    -------
    float or None
        0 is perfect, 1 the worst. None where neither side has a pair.
    """
    prediction, truth, count = _foreground(overlap)
    both, predicted, true = (
        _pairs(sizes) for sizes in (count, _marginal(prediction, count), _marginal(truth, count))
    )
    return 1 - 2 * both / (predicted + true) if predicted + true else None


def variation_of_information(overlap: Overlap) -> tuple[float | None, float | None]:
    """Compute the two halves of the variation of information.

    With n_pt the voxels of prediction p and truth t, n_p and n_t their sums, and N that of all:

    - split = -1/N sum n_pt log2(n_pt / n_t)
    - merge = -1/N sum n_pt log2(n_pt / n_p)

    (Meila, "Comparing clusterings: an information based distance", J. of Multivariate Analysis 98, 2007).

    Parameters
    ----------
    overlap : Overlap
        Of the whole volumes.

    Returns
    -------
    split : float or None
        H(prediction | truth) in bits: what too many instances cost. None for an empty truth.
    merge : float or None
        H(truth | prediction) in bits: what too few instances cost.
    """
    prediction, truth, count = _foreground(overlap)
    if len(count) == 0:
        return None, None
    return _entropy_within(truth, count), _entropy_within(prediction, count)


def _foreground(overlap: Overlap) -> tuple[Ids, Ids, Integers]:
    inside = overlap.truth != BACKGROUND
    return overlap.prediction[inside], overlap.truth[inside], overlap.count[inside]


def _marginal(column: Ids, count: Integers) -> Integers:
    return group(column).reduce(count)


def _pairs(sizes: Integers) -> int:
    """Count ordered pairs of voxels, in Python's integers: the square of a large size is beyond 64 bits."""
    return sum(size * (size - 1) for size in sizes.tolist())


def _entropy_within(cluster: Ids, count: Integers) -> float:
    """Return the entropy, in bits a voxel, of the rows given their cluster."""
    groups = group(cluster)
    sizes = np.empty_like(count)
    sizes[groups.order] = np.repeat(groups.reduce(count), np.diff(groups.firsts, append=len(count)))
    return float(np.sum(count * np.log2(sizes / count)) / count.sum())
