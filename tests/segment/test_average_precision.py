from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment import reference_scores
from segment.labelings import pairs

from mitotools.errors import InputError
from mitotools.parameters import PROTOCOLS, EvaluationProtocol
from mitotools.segment.scores.average_precision import (
    MEAN,
    average_precision,
    iou_thresholds,
    scores_by_id,
    select_thresholds,
    threshold_label,
)
from mitotools.segment.scores.instances import Instances, instances_of, size_classes
from mitotools.segment.scores.overlap import Overlap, merge_overlaps, overlap_of_block

GOLDEN = Path(__file__).parent / "golden" / "evaluate"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
PAPER, CHALLENGE = PROTOCOLS
TEN = ["0.50", "0.55", "0.60", "0.65", "0.70", "0.75", "0.80", "0.85", "0.90", "0.95"]


@cache
def golden_overlap(case: str) -> Overlap:
    with (
        h5py.File(GOLDEN / EXPECTED[case]["prediction"]) as prediction,
        h5py.File(GOLDEN / EXPECTED[case]["truth"]) as truth,
    ):
        return overlap_of_block(prediction["main"][()], truth["main"][()])


def golden_instances(case: str, protocol: EvaluationProtocol) -> Instances:
    return instances_of(golden_overlap(case).without_small_truths(protocol.min_truth_size_voxels))


def bars(*bars: tuple[int, int, int]) -> Instances:
    """Return the instances of rows (prediction, truth, voxels)."""
    prediction, truth, count = np.array(bars, np.int64).reshape(-1, 3).T
    return instances_of(
        merge_overlaps([Overlap(prediction.astype(np.uint64), truth.astype(np.uint64), count)])
    )


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
@pytest.mark.parametrize("case", EXPECTED)
def test_every_number_equals_the_benchmarks_own_program(case, protocol):
    expected = EXPECTED[case][protocol.name]["ap"]

    found = average_precision(golden_instances(case, protocol), protocol)

    assert found == {
        name: {size: None if expected[size][name] == -1 else expected[size][name] for size in expected}
        for name in [*TEN, MEAN]
    }


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
@pytest.mark.parametrize("case", EXPECTED)
def test_instances_are_counted_as_by_the_benchmarks_own_program(case, protocol):
    expected = EXPECTED[case][protocol.name]
    if expected.get("reference_fails"):
        assert expected["truth_instances"] is None
        return

    instances = golden_instances(case, protocol)

    assert len(instances.truths.ids) == expected["truth_instances"]
    assert len(instances.predictions.ids) == expected["prediction_instances"]
    classes = size_classes(protocol.size_limits_voxels)
    in_range = [int(instances.truths.within(limits).sum()) for limits in classes.values()]
    assert in_range == expected["truth_in_range"]
    assert list(classes) == ["all", "small", "medium", "large"]


def test_the_protocols_thresholds_differ_in_the_last_bit_of_two():
    paper, challenge = iou_thresholds("paper"), iou_thresholds("challenge2021")

    assert list(paper) == list(challenge) == TEN
    assert (paper["0.85"], challenge["0.85"]) == (0.85, 0.8500000000000001)
    assert (paper["0.90"], challenge["0.90"]) == (0.8999999999999999, 0.9)
    assert [name for name in TEN if paper[name] != challenge[name]] == ["0.85", "0.90"]


def test_an_iou_of_exactly_85_percent_is_a_hit_in_the_paper_only():
    instances = bars((1, 1, 17), (0, 1, 3))

    assert instances.iou.tolist() == [0.85]
    assert average_precision(instances, PAPER)["0.85"]["all"] == pytest.approx(1)
    assert average_precision(instances, CHALLENGE)["0.85"]["all"] == 0


def test_a_typed_threshold_selects_the_protocols_by_position():
    ranged = [0.5 + 0.05 * step for step in range(10)]

    assert select_thresholds("paper", ranged) == iou_thresholds("paper")
    assert select_thresholds("challenge2021", [0.9, 0.3, 0.85, 0.3]) == {
        "0.90": 0.9,
        "0.30": 0.3,
        "0.85": 0.8500000000000001,
    }


def test_threshold_names_have_two_decimals_or_as_many_as_it_takes():
    assert [threshold_label(iou) for iou in (0.5, 0.1 + 0.2, 0.8999999999999999, 0.125, 1)] == [
        "0.50",
        "0.30",
        "0.90",
        "0.125",
        "1.00",
    ]


def test_further_thresholds_are_added_after_the_mean_and_leave_it_alone():
    instances = bars((1, 1, 4), (0, 1, 6), (2, 2, 9), (0, 2, 1))

    plain, more = (
        average_precision(instances, PAPER),
        average_precision(instances, PAPER, more_iou=(0.3, 0.75, 0.333)),
    )

    assert list(more) == [*TEN, MEAN, "0.30", "0.333"]
    assert {name: more[name] for name in plain} == plain
    assert more["0.30"]["all"] == pytest.approx(1)
    assert more["0.50"]["all"] == pytest.approx(
        51 / 101
    )  # recall 1/2, reached by the first: 51 of 101 recalls


def test_without_truth_in_a_class_ap_is_undefined_and_without_prediction_it_is_0():
    only_small_truth = average_precision(bars((0, 1, 5000)), PAPER)
    only_prediction = average_precision(bars((1, 0, 5000)), PAPER)

    assert only_small_truth["0.75"] == {"all": 0.0, "small": 0.0, "medium": None, "large": None}
    assert only_small_truth[MEAN] == only_small_truth["0.75"]
    assert only_prediction[MEAN] == {"all": None, "small": None, "medium": None, "large": None}
    assert average_precision(bars(), PAPER)["0.50"]["all"] is None


def test_two_predictions_may_hit_one_truth():
    halves = bars((1, 1, 10), (2, 1, 10), (3, 0, 9))

    # order 1, 2, 3; recall 1, 2, 2; precision 1, 1, 2/3: a second half is no false alarm
    assert average_precision(halves, PAPER)["0.50"]["all"] == pytest.approx(1)
    assert average_precision(halves, PAPER)["0.55"]["all"] == 0


def test_larger_predictions_come_first_and_of_equal_ones_the_lower_id():
    # 7 and 8 have 20 voxels each; the one that comes first decides the precision at recall 1.
    hit_first = bars((7, 1, 20), (8, 0, 20))
    alarm_first = bars((7, 0, 20), (8, 1, 20))
    alarm_larger = bars((7, 1, 20), (8, 0, 21))

    assert average_precision(hit_first, PAPER)["0.75"]["all"] == pytest.approx(1)
    assert average_precision(alarm_first, PAPER)["0.75"]["all"] == pytest.approx(1 / 2)
    assert average_precision(alarm_larger, PAPER)["0.75"]["all"] == pytest.approx(1 / 2)


def test_given_scores_order_the_predictions_whatever_their_size_and_type():
    instances = bars((7, 1, 20), (8, 0, 21))

    for dtype in (np.float64, np.uint8):
        assert average_precision(instances, PAPER, np.array([2, 0], dtype))["0.75"]["all"] == pytest.approx(1)
        assert average_precision(instances, PAPER, np.array([0, 2], dtype))["0.75"]["all"] == pytest.approx(
            1 / 2
        )


def test_a_prediction_is_judged_by_a_truth_of_the_class_or_else_of_any_size():
    limits = EvaluationProtocol("paper", (10, 20), 0)
    small_hit, small_truth = (1, 1, 8), (0, 2, 9)

    # Prediction 3 (10 voxels, small) fits truth 3 (11, medium): ignored among the small. If it touches a
    # small truth as well, that one decides: a false alarm.
    fits_medium = bars(small_hit, small_truth, (3, 3, 10), (0, 3, 1))
    touches_small = bars(small_hit, (0, 2, 8), (3, 3, 9), (3, 2, 1), (0, 3, 2))

    assert average_precision(fits_medium, limits)["0.75"]["small"] == pytest.approx(51 / 101)
    assert average_precision(touches_small, limits)["0.75"]["small"] == pytest.approx(51 / 101 / 2)


def test_a_prediction_outside_the_class_is_ignored_and_one_inside_a_false_alarm():
    limits = EvaluationProtocol("paper", (10, 20), 0)
    hit = (1, 1, 8)

    assert average_precision(bars(hit, (2, 0, 11)), limits)["0.75"]["small"] == pytest.approx(1)
    assert average_precision(bars(hit, (2, 0, 10)), limits)["0.75"]["small"] == pytest.approx(1 / 2)


def test_an_ignored_truth_counts_for_no_class_and_its_prediction_is_no_false_alarm():
    overlap = merge_overlaps(
        [Overlap(np.array([1, 2, 3], np.uint64), np.array([1, 2, 0], np.uint64), np.array([8, 9, 10]))]
    )

    whole = instances_of(overlap, ignored_truths=np.array([2, 77]), ignored_predictions=np.array([3]))

    assert average_precision(whole, PAPER)["0.75"]["all"] == pytest.approx(1)
    assert int(whole.truths.within((0, 100)).sum()) == 1
    assert average_precision(instances_of(overlap), PAPER)["0.75"]["all"] == pytest.approx(2 / 3)


def test_scores_are_found_by_id_and_are_0_where_none_is_listed():
    predictions = np.array([3, 5, 2**63 + 1], np.uint64)

    scores = scores_by_id(predictions, np.array([2**63 + 1, 9, 3], np.uint64), np.array([0.5, 7.0, 0.25]))

    assert scores.tolist() == [0.25, 0.0, 0.5]
    assert scores_by_id(predictions, np.zeros(0, np.uint64), np.zeros(0)).tolist() == [0, 0, 0]


def test_scores_listed_twice_or_no_numbers_are_refused():
    predictions = np.array([3, 5], np.uint64)

    with pytest.raises(InputError, match="1 ids are listed more than once"):
        scores_by_id(predictions, np.array([3, 3]), np.array([1.0, 2.0]))
    with pytest.raises(InputError, match="NaN"):
        scores_by_id(predictions, np.array([3, 5]), np.array([1.0, np.nan]))


@given(
    pair=pairs(),
    limits=st.tuples(st.integers(1, 8), st.integers(1, 20)).map(sorted).map(tuple),
    protocol=st.sampled_from(["paper", "challenge2021"]),
    scores=st.none() | st.dictionaries(st.integers(1, 5), st.integers(0, 2), min_size=5),
)
@settings(deadline=None, max_examples=80)
def test_ap_equals_its_definition_word_for_word(pair, limits, protocol, scores):
    thresholds = iou_thresholds(protocol)
    expected = reference_scores.average_precision(
        reference_scores.overlap_counts(*pair), limits, list(thresholds.values()), scores
    )
    instances = instances_of(overlap_of_block(*pair))
    listed = (
        None
        if scores is None
        else scores_by_id(instances.predictions.ids, *map(np.array, zip(*scores.items(), strict=True)))
    )

    found = average_precision(instances, EvaluationProtocol(protocol, limits, 0), listed)

    assert found == {
        name: {size: None if values[row] == -1 else values[row] for size, values in expected.items()}
        for row, name in enumerate([*thresholds, MEAN])
    }
