"""Blocks compared apart say the same as the whole volume, border included."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from segment.labelings import cuts, pairs

from mitotools.segment.scores.comparison import compare_block, merge_comparisons

ALL_EDGES = ((True, True),) * 3


def test_an_instance_in_an_outermost_plane_is_cut_by_the_border():
    truth = np.zeros((5, 5, 5), np.uint8)
    faces = [(0, 2, 2), (4, 2, 2), (2, 0, 2), (2, 4, 2), (2, 2, 0), (2, 2, 4)]
    for number, voxel in enumerate(faces, start=1):
        truth[voxel] = number
    truth[1, 1, 1] = truth[3, 3, 3] = 99

    compared = compare_block(np.where(truth == 99, 0, 7 * truth), truth, edges=ALL_EDGES)

    assert compared.cut_truths.tolist() == [1, 2, 3, 4, 5, 6]
    assert compared.cut_predictions.tolist() == [7, 14, 21, 28, 35, 42]


def test_only_the_sides_that_are_edges_cut():
    truth = np.zeros((3, 3, 3), np.int16)
    truth[0, 1, 1], truth[2, 1, 1], truth[1, 1, 0] = 1, 2, 3

    below = compare_block(truth, truth, edges=((False, True), (False, False), (False, False)))

    assert below.cut_truths.tolist() == [2]
    assert compare_block(truth, truth).cut_truths.tolist() == []


def test_voxels_that_do_not_count_are_not_at_the_border_either():
    truth = np.array([[[1, 1, 2, 0, 3, 3]]], np.uint64)
    valid = np.array([[[False, True, True, True, True, False]]])
    edges = ((False, False), (False, False), (True, True))

    compared = compare_block(truth > 0, truth, valid, edges)

    assert compared.cut_truths.tolist() == []
    assert compared.cut_predictions.tolist() == []
    assert dict(zip(compared.overlap.truth.tolist(), compared.overlap.count.tolist(), strict=True)) == {
        0: 1, 1: 1, 2: 1, 3: 1
    }  # fmt: skip


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_blocks_in_any_order_say_what_the_whole_says(data):
    prediction, truth = data.draw(pairs())
    valid = data.draw(st.none() | st.just(truth != 3))
    whole = compare_block(prediction, truth, valid, ALL_EDGES)
    parts = []
    for region in data.draw(cuts(truth.shape)):
        edges = tuple((cut.start == 0, cut.stop == n) for cut, n in zip(region, truth.shape, strict=True))
        part = None if valid is None else valid[region]
        parts.append(compare_block(prediction[region], truth[region], part, edges))

    merged = merge_comparisons(parts)

    for name in ("cut_predictions", "cut_truths"):
        assert getattr(merged, name).tolist() == getattr(whole, name).tolist()
    for name in ("prediction", "truth", "count"):
        assert getattr(merged.overlap, name).tolist() == getattr(whole.overlap, name).tolist()
    border = np.ones(truth.shape, bool)
    border[1:-1, 1:-1, 1:-1] = False
    counted = border if valid is None else border & valid
    assert merged.cut_truths.tolist() == sorted(set(truth[counted].tolist()) - {0})
