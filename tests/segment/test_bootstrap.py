from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mitotools.parameters import PROTOCOLS, EvaluationProtocol
from mitotools.segment.scores.average_precision import average_precision, iou_thresholds, judge
from mitotools.segment.scores.bootstrap import ap_intervals, drawn
from mitotools.segment.scores.instances import Instances, instances_of
from mitotools.segment.scores.overlap import Overlap, merge_overlaps

PAPER = PROTOCOLS[0]
TEN = iou_thresholds("paper")


def bars(*bars: tuple[int, int, int]) -> Instances:
    """Return the instances of rows (prediction, truth, voxels)."""
    prediction, truth, count = np.array(bars, np.int64).reshape(-1, 3).T
    return instances_of(
        merge_overlaps([Overlap(prediction.astype(np.uint64), truth.astype(np.uint64), count)])
    )


def test_a_prediction_that_is_right_is_right_in_every_sample():
    intervals = ap_intervals(bars((1, 1, 10), (2, 2, 20), (3, 3, 30)), PAPER, TEN, 20)

    assert intervals["0.75"]["all"] == pytest.approx((1, 1))
    assert intervals["0.50:0.95"]["small"] == pytest.approx((1, 1))


def test_a_class_without_truth_has_no_interval():
    intervals = ap_intervals(bars((1, 1, 10)), PAPER, TEN, 20)

    assert list(intervals) == [*TEN, "0.50:0.95"]
    assert intervals["0.75"]["large"] is None
    assert ap_intervals(bars((1, 0, 10)), PAPER, TEN, 20)["0.75"]["all"] is None


def test_a_hit_and_a_larger_false_alarm_are_drawn_one_by_one():
    # Two instances, two drawn: the hit twice (AP 1), each once (1/2), the alarm twice (no truth: no AP).
    low, high = ap_intervals(bars((1, 1, 10), (2, 0, 11)), PAPER, TEN, 200)["0.75"]["all"]

    assert (low, high) == (pytest.approx(1 / 2), pytest.approx(1))


def test_a_missed_truth_is_drawn_without_a_prediction():
    # Hit and miss: both hits (AP 1), one of each (51 of 101 recalls), both misses (0).
    low, high = ap_intervals(bars((1, 1, 10), (0, 2, 10)), PAPER, TEN, 200)["0.75"]["all"]

    assert (low, high) == (0, pytest.approx(1))


def test_given_scores_rank_the_predictions_of_a_sample():
    instances = bars((1, 1, 10), (2, 0, 11))

    low, high = ap_intervals(instances, PAPER, TEN, 200, np.array([0.9, 0.1]))["0.75"]["all"]

    assert (low, high) == (pytest.approx(1), pytest.approx(1))


def test_an_interval_leaves_out_a_fortieth_of_the_samples_at_either_end(monkeypatch):
    # Of 100 truths k are hit, k from 0 to 100: an AP of about (k + 1) / 101.
    samples = [(np.array([k, 100 - k]), np.array([k])) for k in range(101)]
    monkeypatch.setattr("mitotools.segment.scores.bootstrap.drawn", lambda *_: samples)

    low, high = ap_intervals(bars((1, 1, 10), (0, 2, 10)), PAPER, TEN, 101)["0.75"]["all"]

    assert (low, high) == (pytest.approx(3.5 / 101, abs=1.1 / 101), pytest.approx(98.5 / 101, abs=1.1 / 101))


def test_the_samples_are_the_same_in_every_run():
    instances = bars(*((n, n, 10 * n) for n in range(1, 9)), *((0, n, 9 * n) for n in range(1, 9, 2)))

    first, second = (ap_intervals(instances, PAPER, TEN, 50) for _ in range(2))

    assert first == second
    assert first["0.75"]["all"][0] < first["0.75"]["all"][1]


def test_a_sample_has_as_many_instances_as_there_are():
    judged_by = np.array([0, 0, -1, 1, -1])  # three truths, the last without prediction; two alone

    for of_truth, of_prediction in drawn(judged_by, 3, 20):
        alone = of_prediction[[2, 4]]
        assert of_truth.sum() + alone.sum() == 5
        assert of_prediction[[0, 1, 3]].tolist() == of_truth[[0, 0, 1]].tolist()


@given(
    rows=st.lists(
        st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(0, 9), st.booleans()),
        min_size=1,
        max_size=6,
    )
)
@settings(deadline=None, max_examples=80)
def test_a_sample_scores_as_volumes_that_hold_its_instances_so_often(rows):
    """Each row: voxels shared, of the prediction alone, of the truth alone; or two that do not touch."""
    pairs = []
    for number, (shared, only_prediction, only_truth, is_apart) in enumerate(rows, start=1):
        if is_apart:
            pairs += [(number, 0, only_prediction + 1), (0, number, only_truth + 1)]
        else:
            pairs += [(number, number, shared), (number, 0, only_prediction), (0, number, only_truth)]
    protocol = EvaluationProtocol("paper", (5, 10), 0)
    instances = bars(*(pair for pair in pairs if pair[2]))
    judged = judge(instances, (0, 10**10))
    ((of_truth, of_prediction),) = drawn(judged.truth, len(instances.truths.ids), 1)
    times_of = {
        "prediction": dict(zip(instances.predictions.ids.tolist(), of_prediction.tolist(), strict=True)),
        "truth": dict(zip(instances.truths.ids.tolist(), of_truth.tolist(), strict=True)),
    }
    copies = [
        (100 * p + copy if p else 0, 100 * t + copy if t else 0, voxels)
        for p, t, voxels in pairs
        if voxels
        for copy in range(times_of["prediction"][p] if p else times_of["truth"][t])
    ]
    expected = average_precision(bars(*copies), protocol)

    found = ap_intervals(instances, protocol, TEN, 1)

    for threshold, by_class in found.items():
        for name, interval in by_class.items():
            ap = expected[threshold][name]
            assert interval == (None if ap is None else pytest.approx((ap, ap))), (threshold, name)
