from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from segment.labelings import pairs
from skimage.metrics import adapted_rand_error as skimage_adapted_rand_error
from skimage.metrics import variation_of_information as skimage_variation_of_information

from mitotools.segment.scores.foreground import foreground_scores
from mitotools.segment.scores.overlap import Overlap, overlap_of_block
from mitotools.segment.scores.rand_voi import adapted_rand_error, variation_of_information


def compared(prediction: list[int], truth: list[int]) -> Overlap:
    return overlap_of_block(np.array([[prediction]], np.int64), np.array([[truth]], np.int64))


def test_a_truth_in_two_halves_is_one_bit_of_split():
    assert variation_of_information(compared([1, 1, 2, 2], [7, 7, 7, 7])) == (1, 0)


def test_two_truths_in_one_prediction_are_one_bit_of_merge():
    assert variation_of_information(compared([1, 1, 1, 1], [7, 7, 8, 8])) == (0, 1)


def test_other_ids_for_the_same_instances_cost_nothing():
    same = compared([4, 4, 2, 2, 0], [7, 7, 8, 8, 0])

    assert variation_of_information(same) == (0, 0)
    assert adapted_rand_error(same) == 0


def test_predictions_on_the_truths_background_do_not_count_and_missing_ones_are_a_cluster():
    assert variation_of_information(compared([1, 1, 0, 0, 5, 6], [7, 7, 7, 7, 0, 0])) == (1, 0)


def test_the_adapted_rand_error_counts_pairs():
    # Two halves: 2 * (2 * 1) pairs in both and in the prediction, 4 * 3 in the truth: 1 - 2 * 4 / (4 + 12).
    halves = compared([1, 1, 2, 2, 9, 9], [7, 7, 7, 7, 0, 0])

    assert adapted_rand_error(halves) == 1 / 2


def test_without_truth_the_scores_are_undefined():
    for empty in (compared([1, 1], [0, 0]), compared([], [])):
        assert adapted_rand_error(empty) is None
        assert variation_of_information(empty) == (None, None)


def test_the_adapted_rand_error_of_single_voxels_is_undefined():
    assert adapted_rand_error(compared([1, 2], [7, 8])) is None


def test_squares_of_sizes_beyond_64_bits_are_exact():
    size = 2**40
    one_voxel_off = Overlap(
        np.array([1, 2], np.uint64), np.array([1, 1], np.uint64), np.array([size, 1], np.int64)
    )

    both, true = size * (size - 1), (size + 1) * size
    assert adapted_rand_error(one_voxel_off) == 1 - 2 * both / (both + true)
    assert 0 < adapted_rand_error(one_voxel_off) < 1e-11


def test_foreground_scores_compare_voxels_whatever_their_instance():
    # 3 voxels in both, 5 in the prediction, 4 in the truth.
    scores = foreground_scores(compared([1, 1, 2, 2, 2, 0, 0], [9, 9, 9, 0, 0, 9, 0]))

    assert scores == {"jaccard": 3 / 6, "dice": 6 / 9, "precision": 3 / 5, "recall": 3 / 4}


def test_foreground_scores_of_empty_sides_are_undefined_where_the_divisor_is_0():
    assert foreground_scores(compared([0, 0], [0, 0])) == dict.fromkeys(
        ["jaccard", "dice", "precision", "recall"]
    )
    assert foreground_scores(compared([0, 0], [1, 0])) == {
        "jaccard": 0,
        "dice": 0,
        "precision": None,
        "recall": 0,
    }
    assert foreground_scores(compared([1, 0], [0, 0])) == {
        "jaccard": 0,
        "dice": 0,
        "precision": 0,
        "recall": None,
    }


@given(pair=pairs())
@settings(deadline=None, max_examples=60)
def test_both_equal_scikit_image_with_the_truths_background_ignored(pair):
    prediction, truth = pair
    assume((truth > 0).any())
    overlap = overlap_of_block(prediction, truth)

    expected = skimage_variation_of_information(truth, prediction, ignore_labels=[0])
    assert variation_of_information(overlap) == pytest.approx(tuple(expected), abs=1e-12)
    if adapted_rand_error(overlap) is not None:
        sizes = np.bincount(truth[truth > 0]), np.bincount(prediction[truth > 0])
        assume(all((side > 1).any() for side in sizes))  # otherwise scikit-image divides by 0 on the way
        assert (
            adapted_rand_error(overlap) == skimage_adapted_rand_error(truth, prediction, ignore_labels=[0])[0]
        )
