from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from segment.labelings import cuts, pairs
from segment.reference_scores import overlap_counts

from mitotools.errors import InputError
from mitotools.segment import runs
from mitotools.segment.scores.overlap import Overlap, merge_overlaps, overlap_of_block


def rows(overlap: Overlap) -> list[tuple[int, int, int]]:
    return list(zip(overlap.prediction.tolist(), overlap.truth.tolist(), overlap.count.tolist(), strict=True))


def block(*values: int, dtype: type = np.uint32) -> np.ndarray:
    return np.array(values, dtype).reshape(1, 1, -1)


def test_rows_are_unique_sorted_and_keep_the_background():
    prediction = np.array([[[0, 2, 2], [0, 1, 2]]], np.uint8)
    truth = np.array([[[0, 0, 5], [0, 5, 5]]], np.uint16)

    overlap = overlap_of_block(prediction, truth)

    assert rows(overlap) == [(0, 0, 2), (1, 5, 1), (2, 0, 1), (2, 5, 2)]
    assert (overlap.prediction.dtype, overlap.truth.dtype, overlap.count.dtype) == (
        np.uint64,
        np.uint64,
        np.int64,
    )


def test_a_pair_is_counted_together_wherever_its_voxels_lie():
    assert rows(overlap_of_block(block(1, 0, 1, 0, 1), block(2, 0, 2, 0, 3))) == [
        (0, 0, 2),
        (1, 2, 2),
        (1, 3, 1),
    ]


@pytest.mark.parametrize(
    "dtype",
    [bool, np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64, ">u4", ">i2"],
)
def test_every_integer_type_and_bool_will_do(dtype):
    values = block(0, 1, 1, 0).astype(dtype)

    assert rows(overlap_of_block(values, block(0, 0, 7, 7))) == [(0, 0, 1), (0, 7, 1), (1, 0, 1), (1, 7, 1)]
    assert rows(overlap_of_block(block(0, 0, 7, 7), values)) == [(0, 0, 1), (0, 1, 1), (7, 0, 1), (7, 1, 1)]


def test_ids_may_take_all_64_bits():
    largest = 2**64 - 1
    prediction = block(largest, largest, largest - 1, 0, 2**63, dtype=np.uint64)
    truth = block(2**63 + 1, 2**63 + 1, 2**63 + 1, largest, 2**63, dtype=np.uint64)

    assert rows(overlap_of_block(prediction, truth)) == [
        (0, largest, 1),
        (2**63, 2**63, 1),
        (largest - 1, 2**63 + 1, 1),
        (largest, 2**63 + 1, 2),
    ]


@pytest.mark.parametrize("bits", [0, 20, 29, 30, 31, 32, 63])
def test_neighbouring_ids_stay_apart_where_ids_and_row_number_just_fill_64_bits(bits):
    large = 2**bits
    prediction = block(large, 0, large, 1, large - 1, large, dtype=np.uint64)
    truth = block(1, 1, large, large - 1, 1, large, dtype=np.uint64)

    expected = sorted(overlap_counts(prediction, truth).items())
    assert rows(overlap_of_block(prediction, truth)) == [(p, t, n) for (p, t), n in expected]


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, 0, 4), (4, 4, 0), (0, 0, 0)])
def test_an_empty_block_has_no_rows(shape):
    overlap = overlap_of_block(np.zeros(shape, np.uint8), np.zeros(shape, np.uint64))

    assert rows(overlap) == []
    assert overlap.count.dtype == np.int64


def test_no_blocks_merge_into_an_empty_overlap_with_empty_sides():
    overlap = merge_overlaps([])

    assert len(overlap) == 0
    assert [len(column) for column in (*overlap.prediction_sizes(), *overlap.truth_sizes())] == [0, 0, 0, 0]
    assert len(overlap.without_small_truths(10)) == 0


def test_invalid_voxels_are_dropped_on_both_sides():
    valid = block(1, 1, 0, 0, 1).astype(bool)

    assert rows(overlap_of_block(block(1, 1, 1, 2, 2), block(3, 3, 3, 3, 0), valid)) == [(1, 3, 2), (2, 0, 1)]


def test_sizes_count_the_voxels_on_the_other_sides_background():
    overlap = overlap_of_block(block(1, 1, 1, 4, 0, 0), block(0, 9, 9, 9, 9, 0))

    (predictions, prediction_sizes), (truths, truth_sizes) = overlap.prediction_sizes(), overlap.truth_sizes()

    assert (predictions.tolist(), prediction_sizes.tolist()) == ([1, 4], [3, 1])
    assert (truths.tolist(), truth_sizes.tolist()) == ([9], [4])


def test_small_truths_become_background_and_the_predictions_on_them_stay():
    overlap = overlap_of_block(block(1, 1, 1, 1, 2, 0), block(0, 7, 7, 8, 8, 8))

    assert rows(overlap.without_small_truths(3)) == [(0, 8, 1), (1, 0, 3), (1, 8, 1), (2, 8, 1)]
    assert rows(overlap.without_small_truths(4)) == [(0, 0, 1), (1, 0, 4), (2, 0, 1)]


def test_a_truth_of_just_the_least_size_stays():
    overlap = overlap_of_block(block(0, 0), block(7, 7))

    assert rows(overlap.without_small_truths(2)) == [(0, 7, 2)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
def test_types_that_hold_no_ids_are_refused_by_name(dtype):
    labels = block(0, 1)

    with pytest.raises(InputError, match=rf"prediction: expected integer labels, found {np.dtype(dtype)}\."):
        overlap_of_block(labels.astype(dtype), labels)
    with pytest.raises(InputError, match="truth: expected integer labels"):
        overlap_of_block(labels, labels.astype(dtype))


def test_negative_ids_are_refused():
    with pytest.raises(InputError, match="truth: holds the negative id -3"):
        overlap_of_block(block(0, 1, 1), block(0, -3, 1, dtype=np.int32))


def test_volumes_of_different_shape_are_refused():
    with pytest.raises(InputError, match=r"truth: has shape \(1, 1, 3\), the prediction \(1, 1, 2\)"):
        overlap_of_block(block(0, 1), block(0, 1, 1))
    with pytest.raises(InputError, match="mask: has shape"):
        overlap_of_block(block(0, 1), block(0, 1), np.ones((1, 1, 3), bool))


@given(pair=pairs(), data=st.data())
@settings(deadline=None, max_examples=60)
def test_the_table_equals_a_count_of_voxels_however_the_volumes_are_cut(pair, data):
    prediction, truth = pair
    valid = data.draw(st.none() | npst.arrays(bool, truth.shape))
    blocks = data.draw(cuts(truth.shape))
    piece, merge_rows = data.draw(st.integers(1, 40)), data.draw(st.integers(0, 20))

    with (
        mock.patch.object(runs, "PIECE_VOXELS", piece),
        mock.patch.object(runs, "MERGE_ROWS", merge_rows),
    ):
        cut = merge_overlaps(
            overlap_of_block(prediction[b], truth[b], None if valid is None else valid[b]) for b in blocks
        )

    assert rows(cut) == [(p, t, n) for (p, t), n in sorted(overlap_counts(prediction, truth, valid).items())]


@given(pair=pairs(), axes=st.permutations(range(3)))
@settings(deadline=None, max_examples=20)
def test_the_memory_order_does_not_matter(pair, axes):
    prediction, truth = pair
    turned = np.ascontiguousarray(prediction.transpose(axes)).transpose(np.argsort(axes))

    assert rows(overlap_of_block(turned, np.asfortranarray(truth))) == rows(
        overlap_of_block(prediction, truth)
    )


@given(pair=pairs(), factor=st.sampled_from([1, 2**29, 2**33, 2**61]))
@settings(deadline=None, max_examples=30)
def test_large_ids_give_the_same_counts_as_small_ones(pair, factor):
    prediction, truth = (side.astype(np.uint64) for side in pair)
    scale = np.uint64(factor)

    scaled = rows(overlap_of_block(prediction * scale, truth * scale))

    assert scaled == [(p * factor, t * factor, n) for p, t, n in rows(overlap_of_block(prediction, truth))]
