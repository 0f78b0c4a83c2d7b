"""Two labelings compared: their overlap, the instances that the border cuts, and sums of a heatmap."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mitotools.conventions import BACKGROUND
from mitotools.segment.runs import as_ids, iterate_runs, merge_gradually
from mitotools.segment.scores.heatmap import HeatSums, heat_of_block, merge_heat
from mitotools.segment.scores.overlap import Overlap, merge_overlaps, overlap_of_block

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mitotools.conventions import Array, Mask
    from mitotools.segment.runs import Ids

Edges = tuple[tuple[bool, bool], tuple[bool, bool], tuple[bool, bool]]
"""Whether a block's first and last plane along (z, y, x) are those of the volume."""

NO_EDGES: Edges = ((False, False),) * 3


@dataclass(frozen=True, eq=False)
class Comparison:
    """What every score is computed from.

    Parameters
    ----------
    overlap : Overlap
        Voxels by prediction and truth, background included.
    cut_predictions, cut_truths : (K,) uint64
        Instances with a voxel in an outermost plane of the volume, ascending.
    heat : HeatSums
        Sums of a heatmap over the predictions; no rows where there was none.
    """

    overlap: Overlap
    cut_predictions: Ids
    cut_truths: Ids
    heat: HeatSums = field(default_factory=HeatSums.none)

    def __len__(self) -> int:
        """Return the number of rows of all tables."""
        return len(self.overlap) + len(self.cut_predictions) + len(self.cut_truths) + len(self.heat)

    @classmethod
    def of(cls, overlap: Overlap) -> Comparison:
        """Return the comparison of volumes without a border."""
        return cls(overlap, np.zeros(0, np.uint64), np.zeros(0, np.uint64))


def compare_block(
    prediction: Array,
    truth: Array,
    valid: Mask | None = None,
    edges: Edges = NO_EDGES,
    heatmap: Array | None = None,
) -> Comparison:
    """Compare one block of two labelings.

    Parameters
    ----------
    prediction, truth : (Z, Y, X) integer or bool
        Ids, 0 and above.
    valid : (Z, Y, X) bool, optional
        Voxels that count; all by default. The others are as if they were not there.
    edges : three pairs of bool
        Where the block touches the border of the volume; by default nowhere.
    heatmap : (Z, Y, X) or (C, Z, Y, X) numbers, optional
        As for `heat_of_block`.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        As `overlap_of_block` and `heat_of_block`.
    """
    overlap = overlap_of_block(prediction, truth, valid)
    cut_predictions, cut_truths = (_ids_at(edges, labels, valid) for labels in (prediction, truth))
    heat = HeatSums.none() if heatmap is None else heat_of_block(prediction, heatmap, valid)
    return Comparison(overlap, cut_predictions, cut_truths, heat)


def merge_comparisons(comparisons: Iterable[Comparison]) -> Comparison:
    """Merge the comparisons of blocks, in any order, taken one by one."""
    return merge_gradually(comparisons, _merged)


def _merged(parts: list[Comparison]) -> Comparison:
    return Comparison(
        merge_overlaps([part.overlap for part in parts]),
        _united([part.cut_predictions for part in parts]),
        _united([part.cut_truths for part in parts]),
        merge_heat(part.heat for part in parts),
    )


def _united(columns: Sequence[Ids]) -> Ids:
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *columns]))


def _ids_at(edges: Edges, labels: Array, valid: Mask | None) -> Ids:
    """Return the ids in the planes at the edges, of their runs: voxels would take long to sort."""
    found = []
    volumes = [labels] if valid is None else [labels, valid]
    for axis, sides in enumerate(edges):
        for plane in [index for index, is_edge in zip((0, -1), sides, strict=True) if is_edge]:
            for runs in iterate_runs([volume.take([plane], axis) for volume in volumes]):
                ids = as_ids(runs.values[0], "labels")
                found.append(np.unique(ids if valid is None else ids[runs.values[1]]))
    united = _united(found)
    inside: Ids = united[united != BACKGROUND]
    return inside
