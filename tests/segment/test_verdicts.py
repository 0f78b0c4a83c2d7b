from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment.labelings import pairs

from mitotools.parameters import PROTOCOLS, ErrorParameters
from mitotools.segment.scores.instances import Instances, instances_of
from mitotools.segment.scores.matching import detection, find_errors
from mitotools.segment.scores.overlap import Overlap, merge_overlaps, overlap_of_block
from mitotools.segment.scores.verdicts import Verdict, kinds, verdicts

PAPER = PROTOCOLS[0]
SMALL_PIECES = ErrorParameters(size_voxels=1)


def bars(*bars: tuple[int, int, int], **ignored: np.ndarray) -> Instances:
    """Return the instances of rows (prediction, truth, voxels)."""
    prediction, truth, count = np.array(bars, np.int64).reshape(-1, 3).T
    overlap = merge_overlaps([Overlap(prediction.astype(np.uint64), truth.astype(np.uint64), count)])
    return instances_of(overlap, **ignored)


def found(instances: Instances, iou: float = 0.5) -> list[Verdict]:
    return list(verdicts(instances, PAPER, iou, SMALL_PIECES))


def test_a_match_is_one_row_and_what_has_none_names_what_it_fits_best():
    instances = bars((1, 5, 8), (0, 5, 2), (2, 5, 1), (0, 6, 4), (3, 0, 7), (2, 6, 1))

    assert found(instances) == [
        Verdict(5, 1, 11, 8, 8 / 11, "tp", ""),
        Verdict(6, 2, 5, 2, pytest.approx(1 / 6), "fn", ""),
        Verdict(6, 2, 5, 2, pytest.approx(1 / 6), "fp", ""),
        Verdict(None, 3, None, 7, 0.0, "fp", "spurious"),
    ]


def test_a_truth_that_nothing_touches_is_missed_and_has_no_partner():
    assert found(bars((0, 6, 4))) == [Verdict(6, None, 4, None, 0.0, "fn", "missed")]


def test_a_split_truth_and_a_merging_prediction_are_named_though_they_match():
    # Truth 5 (10): 7 voxels in 1, 3 in 2. Prediction 1 (9) holds 2 of the 8 voxels of truth 6 as well.
    instances = bars((1, 5, 7), (2, 5, 3), (1, 6, 2), (3, 6, 6))

    rows = [(row.truth, row.prediction, row.verdict, row.errors) for row in found(instances)]

    assert rows == [
        (5, 1, "tp", "split,merged"),
        (6, 3, "tp", "split"),
        (5, 2, "fp", ""),
    ]


def test_a_match_is_named_even_where_another_partner_fits_better():
    # As two hits go before one, truth 5 is matched with 2, though 1 fits it better.
    instances = bars((1, 5, 9), (1, 6, 2), (1, 0, 4), (2, 5, 2), (0, 5, 1), (0, 6, 8))

    rows = [(row.truth, row.prediction, row.iou, row.verdict) for row in found(instances, 0.05)]

    assert rows == [(5, 2, 2 / 12, "tp"), (6, 1, 2 / 23, "tp")]


def test_of_equal_partners_the_lower_id_is_named():
    rows = found(bars((8, 5, 1), (7, 5, 1), (0, 5, 6)))

    assert [(row.truth, row.prediction) for row in rows] == [(5, 7), (5, 7), (5, 8)]


def test_instances_that_are_left_out_have_no_verdict():
    instances = bars(
        (1, 5, 8), (2, 6, 8), (3, 0, 9), ignored_truths=np.array([5]), ignored_predictions=np.array([3])
    )

    assert [(row.truth, row.prediction, row.verdict, row.errors) for row in found(instances)] == [
        (5, 1, "ignored", ""),
        (6, 2, "tp", ""),
        (None, 3, "ignored", ""),
    ]


def test_each_instance_is_of_one_kind():
    hit = ((1, 5, 10),)
    pieces = ((2, 6, 5), (3, 6, 5))
    together = ((4, 7, 6), (4, 8, 6))
    alone = ((0, 9, 4), (5, 0, 4))
    too_unlike = ((6, 10, 5), (6, 0, 5))
    instances = bars(*hit, *pieces, *together, *alone, *too_unlike)

    of_predictions, of_truths = kinds(found(instances, 0.6))

    assert of_predictions == {
        1: "hit", 2: "split", 3: "split", 4: "merged", 5: "false positive", 6: "poor fit"
    }  # fmt: skip
    assert of_truths == {5: "hit", 6: "split", 7: "merged", 8: "merged", 9: "missed", 10: "poor fit"}


def test_what_is_found_but_fits_badly_is_neither_missed_nor_a_false_positive():
    # Truth 5 (20): 3 voxels in 1 (13), so IoU 3 / 30. Truth 6 (20): 1 in 2 (10), IoU 1 / 29, under the .1.
    instances = bars((1, 5, 3), (1, 0, 10), (0, 5, 17), (2, 6, 1), (2, 0, 9), (0, 6, 19))

    assert kinds(found(instances, 0.75)) == (
        {1: "poor fit", 2: "false positive"},
        {5: "poor fit", 6: "missed"},
    )


def test_a_match_that_is_split_or_merged_at_that_is_of_that_kind():
    # Truth 5 (10): 8 voxels in 1, 2 in 2. Prediction 3 (12): truth 6 (10) and 2 of the 9 voxels of truth 7.
    instances = bars((1, 5, 8), (2, 5, 2), (3, 6, 10), (3, 7, 2), (4, 7, 7))

    assert kinds(found(instances)) == (
        {1: "split", 2: "split", 3: "merged", 4: "split"},
        {5: "split", 6: "merged", 7: "split"},
    )


def test_what_only_brushes_a_split_truth_is_a_false_positive():
    instances = bars((1, 5, 50), (2, 5, 50), (3, 5, 1), (3, 0, 50))
    assert kinds(found(instances))[0][3] == "false positive"


def test_what_is_left_out_is_of_no_kind():
    instances = bars((1, 5, 8), (2, 0, 4), ignored_predictions=np.array([1, 2]), ignored_truths=np.array([5]))
    assert kinds(found(instances)) == ({}, {})


def test_ids_of_64_bits_are_named_as_they_are():
    largest = np.array([2**64 - 1], np.uint64)
    rows = found(instances_of(Overlap(largest, largest, np.array([3]))))

    assert (rows[0].truth, rows[0].prediction) == (2**64 - 1, 2**64 - 1)


MIRRORED = {"tp": "tp", "fn": "fp", "fp": "fn", "missed": "spurious", "spurious": "missed"}


def who_disagrees(pair, iou: float, *, swapped: bool) -> set[tuple]:
    """Return the rows of two labelings, split and merged left out, as if the second were the truth."""
    first, second = pair[::-1] if swapped else pair
    rows = set()
    for row in found(instances_of(overlap_of_block(first, second)), iou):
        errors = {kind for kind in row.errors.split(",") if kind in MIRRORED}
        sides = (row.prediction, row.truth)
        if swapped:
            verdict, errors, sides = MIRRORED[row.verdict], {MIRRORED[kind] for kind in errors}, sides[::-1]
            rows.add((*sides, row.iou, verdict, *sorted(errors)))
        else:
            rows.add((*sides, row.iou, row.verdict, *sorted(errors)))
    return rows


@given(pair=pairs(), iou=st.sampled_from([0.51, 0.75, 0.95]))
@settings(deadline=None, max_examples=80)
def test_two_annotators_disagree_on_the_same_instances_whichever_is_taken_for_the_truth(pair, iou):
    assert who_disagrees(pair, iou, swapped=True) == who_disagrees(pair, iou, swapped=False)


def test_two_annotators_one_of_whom_split_and_missed_an_instance():
    # Ann's 1 (8 voxels) is Bob's 5 and 6; Bob has no 2; both have 3; Bob alone has 7.
    ann = np.array([[[1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 3, 0, 0]]])
    bob = np.array([[[5, 5, 5, 6, 6, 6, 6, 6, 0, 0, 8, 8, 7, 7]]])

    rows = found(instances_of(overlap_of_block(ann, bob)))

    assert [(row.truth, row.prediction, row.iou, row.verdict, row.errors) for row in rows] == [
        (5, 1, 3 / 8, "fn", ""),
        (6, 1, 5 / 8, "tp", "merged"),
        (7, None, 0, "fn", "missed"),
        (8, 3, 1, "tp", ""),
        (None, 2, 0, "fp", "spurious"),
    ]
    rows = found(instances_of(overlap_of_block(bob, ann)))

    assert [(row.truth, row.prediction, row.iou, row.verdict, row.errors) for row in rows] == [
        (1, 6, 5 / 8, "tp", "split"),
        (2, None, 0, "fn", "missed"),
        (3, 8, 1, "tp", ""),
        (1, 5, 3 / 8, "fp", ""),
        (None, 7, 0, "fp", "spurious"),
    ]


@given(
    pair=pairs(),
    iou=st.sampled_from([0.1, 0.3, 0.5, 0.75]),
    cut=st.lists(st.integers(1, 5)),
)
@settings(deadline=None, max_examples=80)
def test_every_instance_has_one_row_and_their_counts_are_those_of_the_scores(pair, iou, cut):
    overlap = overlap_of_block(*pair)
    instances = instances_of(overlap, np.array(cut, int), np.array(cut[::2], int))

    rows = found(instances, iou)

    counts = Counter(row.verdict for row in rows)
    scores = detection(instances, PAPER, {"t": iou})["t"]["all"]
    assert [counts[name] for name in ("tp", "fp", "fn")] == [scores[name] for name in ("tp", "fp", "fn")]
    errors = Counter(kind for row in rows for kind in row.errors.split(",") if kind)
    assert {kind: errors[kind] for kind in ("split", "merged", "missed", "spurious")} == (
        find_errors(instances, SMALL_PIECES).counts()
    )
    truths, left = rows[: len(instances.truths.ids)], rows[len(instances.truths.ids) :]
    assert [row.truth for row in truths] == instances.truths.ids.tolist()
    matched = [row.prediction for row in truths if row.iou >= iou and row.verdict != "fn"]
    alone = [row.prediction for row in left]
    assert alone == sorted(alone)
    assert len(set(alone)) == len(alone)
    assert set(alone) | set(matched) == set(instances.predictions.ids.tolist())
