from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment.labelings import pairs
from segment.reference_scores import best_matching, iou_of_pairs, overlap_counts

from mitotools.parameters import PROTOCOLS, ErrorParameters, EvaluationProtocol
from mitotools.segment.scores.instances import Instances, instances_of
from mitotools.segment.scores.matching import detection, find_errors, match
from mitotools.segment.scores.overlap import Overlap, merge_overlaps, overlap_of_block

PAPER = PROTOCOLS[0]


def bars(*bars: tuple[int, int, int], **ignored: np.ndarray) -> Instances:
    """Return the instances of rows (prediction, truth, voxels)."""
    prediction, truth, count = np.array(bars, np.int64).reshape(-1, 3).T
    overlap = merge_overlaps([Overlap(prediction.astype(np.uint64), truth.astype(np.uint64), count)])
    return instances_of(overlap, **ignored)


def matched_ids(instances: Instances, iou: float) -> list[tuple[int, int]]:
    pairs = match(instances, iou)
    predictions = instances.predictions.ids[instances.prediction[pairs]]
    truths = instances.truths.ids[instances.truth[pairs]]
    return list(zip(predictions.tolist(), truths.tolist(), strict=True))


def test_above_one_half_every_pair_that_fits_is_matched():
    instances = bars((1, 5, 8), (0, 5, 2), (2, 6, 6), (2, 0, 4), (3, 6, 1))

    assert instances.iou.tolist() == [8 / 10, 6 / 11, 1 / 7]
    assert matched_ids(instances, 0.51) == [(1, 5), (2, 6)]
    assert matched_ids(instances, 0.8) == [(1, 5)]
    assert matched_ids(instances, 0.81) == []


def test_of_two_halves_one_alone_is_matched():
    halves = bars((1, 5, 10), (2, 5, 10))

    assert len(match(halves, 0.5)) == 1
    scores = detection(halves, PAPER, {"0.50": 0.5})["0.50"]["all"]
    assert (scores["tp"], scores["fp"], scores["fn"]) == (1, 1, 0)


def test_more_hits_go_before_a_larger_sum_of_iou():
    # Prediction 1 (15 voxels) lies on truths 5 (12) and 6 (10), prediction 2 (2) on truth 5. Alone, 1-5 has
    # the larger sum, 9/18 against 2/23 + 2/12; but 1-6 and 2-5 are two.
    instances = bars((1, 5, 9), (1, 6, 2), (1, 0, 4), (2, 5, 2), (0, 5, 1), (0, 6, 8))

    assert instances.iou.tolist() == [9 / 18, 2 / 23, 2 / 12]
    assert matched_ids(instances, 0.05) == [(1, 6), (2, 5)]
    assert matched_ids(instances, 0.1) == [(1, 5)]


def test_of_equally_many_hits_the_larger_sum_of_iou_wins():
    # Two predictions and two truths, all four pairs above 1/10: 4 + 3 shared voxels against 2 + 1.
    instances = bars((1, 5, 4), (1, 6, 2), (2, 5, 1), (2, 6, 3))

    assert matched_ids(instances, 0.1) == [(1, 5), (2, 6)]


def test_detection_counts_hits_and_misses_by_the_truths_size_and_alarms_by_the_predictions():
    protocol = EvaluationProtocol("paper", (10, 20), 0)
    # Truth 5 (10, small) is hit by prediction 1 (11, medium): IoU 10/11. Truth 6 (21, large) is missed.
    # Predictions 2 (10, small) and 3 (20, medium) are false alarms.
    instances = bars((1, 5, 10), (1, 0, 1), (0, 6, 21), (2, 0, 10), (3, 0, 20))

    scores = detection(instances, protocol, {"0.75": 0.75})["0.75"]

    assert scores["all"] == {
        "tp": 1,
        "fp": 2,
        "fn": 1,
        "precision": 1 / 3,
        "recall": 1 / 2,
        "f1": 2 / 5,
        "accuracy": 1 / 4,
        "pq": pytest.approx(10 / 11 / 2.5),
    }
    counts = {name: (found["tp"], found["fp"], found["fn"]) for name, found in scores.items()}
    assert counts == {"all": (1, 2, 1), "small": (1, 1, 0), "medium": (0, 1, 0), "large": (0, 0, 1)}
    assert scores["medium"]["recall"] is None
    assert scores["large"]["precision"] is None
    assert scores["large"]["f1"] == 0


def test_without_instances_every_ratio_is_undefined():
    scores = detection(bars((0, 0, 9)), PAPER, {"0.30": 0.3, "0.75": 0.75})

    nothing = {"tp": 0, "fp": 0, "fn": 0} | dict.fromkeys(["precision", "recall", "f1", "accuracy", "pq"])
    assert scores == {
        name: dict.fromkeys(["all", "small", "medium", "large"], nothing) for name in ("0.30", "0.75")
    }


def test_ignored_instances_are_no_hits_misses_or_false_alarms():
    rows = ((1, 5, 10), (2, 6, 10), (3, 0, 10), (0, 7, 10))

    scores = detection(
        bars(*rows, ignored_predictions=np.array([3]), ignored_truths=np.array([6, 7])), PAPER, {"0.75": 0.75}
    )["0.75"]["all"]

    assert (scores["tp"], scores["fp"], scores["fn"]) == (1, 0, 0)


def test_a_truth_is_split_by_two_pieces_of_a_tenth_and_500_voxels():
    split = bars((1, 5, 4500), (2, 5, 500))
    small_piece = bars((1, 5, 4400), (2, 5, 499), (0, 5, 1))
    small_share = bars((1, 5, 4600), (2, 5, 511), (0, 5, 9))  # 511 / 5120 < 1 / 10
    background = bars((1, 5, 4500), (0, 5, 500))

    assert find_errors(split, ErrorParameters()).split.tolist() == [5]
    for whole in (small_piece, small_share, background):
        assert find_errors(whole, ErrorParameters()).split.tolist() == []


def test_a_prediction_merges_two_truths_if_it_holds_a_piece_of_each():
    merged = bars((1, 5, 600), (1, 6, 600), (0, 6, 5400))
    small_share = bars((1, 5, 600), (1, 6, 600), (0, 6, 5401))
    on_background = bars((1, 5, 600), (1, 0, 6000))

    assert find_errors(merged, ErrorParameters()).merged.tolist() == [1]
    assert find_errors(small_share, ErrorParameters()).merged.tolist() == []
    assert find_errors(on_background, ErrorParameters()).merged.tolist() == []


def test_instances_without_a_partner_of_a_tenth_iou_are_missed_and_spurious():
    # IoU of 1 and 5: 10/100. Of 2 and 6: 10/101.
    instances = bars(
        (1, 5, 10), (1, 0, 50), (0, 5, 40), (2, 6, 10), (2, 0, 50), (0, 6, 41), (3, 0, 9), (0, 7, 9)
    )

    errors = find_errors(instances, ErrorParameters())

    assert errors.missed.tolist() == [6, 7]
    assert errors.spurious.tolist() == [2, 3]
    assert errors.counts() == {"split": 0, "merged": 0, "missed": 2, "spurious": 2}


def test_the_errors_limits_are_parameters():
    instances = bars((1, 5, 6), (2, 5, 4))
    parameters = ErrorParameters(share=0.4, size_voxels=4, found_iou=0.5)

    assert find_errors(instances, parameters).counts() == {
        "split": 1,
        "merged": 0,
        "missed": 0,
        "spurious": 1,
    }
    assert find_errors(instances, ErrorParameters(share=0.41, size_voxels=4)).split.tolist() == []
    assert find_errors(instances, ErrorParameters(share=0.4, size_voxels=5)).split.tolist() == []


def test_ignored_instances_are_not_among_the_errors():
    rows = ((1, 5, 600), (2, 5, 600), (3, 6, 600), (3, 7, 600), (4, 0, 9), (0, 8, 9))

    everything = find_errors(bars(*rows), ErrorParameters())
    nothing = find_errors(
        bars(*rows, ignored_predictions=np.arange(1, 5), ignored_truths=np.arange(5, 9)), ErrorParameters()
    )

    assert everything.counts() == {"split": 1, "merged": 1, "missed": 1, "spurious": 1}
    assert set(nothing.counts().values()) == {0}


def test_a_long_chain_of_thousands_is_matched_in_little_time_and_memory():
    # Prediction k shares 3 voxels with truth k and 2 with truth k + 1: all are connected.
    n = 5000
    chain = bars(*((k, k, 3) for k in range(1, n + 1)), *((k, k + 1, 2) for k in range(1, n)))

    assert matched_ids(chain, 0.2) == [(k, k) for k in range(1, n + 1)]


@given(pair=pairs(), iou=st.sampled_from([0.05, 0.1, 0.25, 1 / 3, 0.5, 0.55, 0.75, 1.0]))
@settings(deadline=None, max_examples=80)
def test_no_other_matching_has_more_hits_or_a_larger_sum_of_iou(pair, iou):
    instances = instances_of(overlap_of_block(*pair))

    pairs = match(instances, iou)

    count, total = best_matching(iou_of_pairs(overlap_counts(*pair)), iou)
    assert len(pairs) == count
    assert instances.iou[pairs].sum() == pytest.approx(total, abs=1e-9)
    assert (instances.iou[pairs] >= iou).all()
    assert len(set(instances.prediction[pairs])) == len(set(instances.truth[pairs])) == count
