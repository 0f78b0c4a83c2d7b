import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from segment import reference_decoders as reference

from mitotools.errors import UsageError
from mitotools.segment.components import (
    connected_components,
    drop_small,
    grey_level,
    sizes_voxels,
    smallest_labels,
)


@pytest.mark.parametrize(
    ("probability", "level"), [(0, 0), (0.5, 127), (0.6, 153), (0.8, 204), (0.85, 216), (0.98, 249), (1, 255)]
)
def test_a_probability_becomes_the_level_below_or_at_255_times_it(probability, level):
    assert grey_level(probability) == level


@pytest.mark.parametrize("level", range(256))
def test_the_probability_that_a_level_stores_becomes_this_level(level):
    assert grey_level(level / 255) == level


def test_a_probability_reached_in_steps_is_the_one_that_was_typed():
    in_steps = 1 - 0.05 - 0.05 - 0.05 - 0.05
    assert int(255 * in_steps) == 203
    assert grey_level(in_steps) == grey_level(0.8) == 204


@pytest.mark.parametrize("probability", [-0.01, 1.01, 85, float("nan")])
def test_what_is_no_probability_is_refused(probability):
    with pytest.raises(UsageError, match="not a probability"):
        grey_level(probability)


def test_corners_do_not_connect():
    mask = np.array([[[1, 0, 1], [0, 1, 0], [0, 1, 0]]], bool)
    assert connected_components(mask)[0].tolist() == [[[1, 0, 2], [0, 3, 0], [0, 3, 0]]]


def test_a_component_that_meets_late_has_the_number_of_its_first_voxel():
    mask = np.array([[[1, 0, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]]], bool)
    labels, count = connected_components(mask)
    assert count == 2
    assert labels[0].tolist() == [[1, 0, 2, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]]


@settings(deadline=None, max_examples=200)
@given(mask=arrays(bool, array_shapes(min_dims=3, max_dims=3, max_side=6), fill=st.nothing()))
def test_components_are_numbered_by_their_first_voxel_in_raster_order(mask):
    labels, count = connected_components(mask)
    expected = reference.as_labels(reference.components(mask, reference.FACES), mask.shape)
    assert np.array_equal(labels, expected)
    assert count == expected.max()


def test_many_components_in_a_transposed_mask_are_numbered_in_raster_order():
    mask = (np.random.default_rng(1).random((20, 30, 25)) < 0.25).transpose(2, 0, 1)
    labels, _ = connected_components(mask)
    assert labels.flags.c_contiguous
    expected = reference.as_labels(reference.components(mask, reference.FACES), mask.shape)
    assert np.array_equal(labels, expected)


def test_sizes_count_the_voxels_of_every_label_but_the_background():
    labels = np.array([[[3, 0, 1], [3, 3, 0]]], np.uint32)
    assert sizes_voxels(labels, 4).tolist() == [0, 1, 0, 3, 0]


def test_labels_below_the_minimum_size_go_and_the_rest_close_ranks():
    labels = np.array([[[1, 2, 2, 3, 4, 4, 4, 0]]], np.uint32)
    assert drop_small(labels, 4, 2) == 2
    assert labels.tolist() == [[[0, 1, 1, 0, 2, 2, 2, 0]]]


def test_labels_without_voxels_go_even_without_a_minimum():
    labels = np.array([[[1, 3]]], np.uint32)
    assert drop_small(labels, 3, 0) == 2
    assert labels.tolist() == [[[1, 2]]]


def test_a_minimum_above_every_size_leaves_the_background():
    labels = np.array([[[1, 2, 2]]], np.uint32)
    assert drop_small(labels, 2, 3) == 0
    assert not labels.any()


def test_no_labels_stay_no_labels():
    assert drop_small(np.zeros((1, 2, 2), np.uint32), 0, 5) == 0


@pytest.mark.parametrize(
    ("count", "dtype"), [(0, "uint8"), (255, "uint8"), (256, "uint16"), (65535, "uint16"), (65536, "uint32")]
)
def test_labels_take_the_smallest_type_that_holds_the_largest(count, dtype):
    labels = smallest_labels(np.array([[[0, count]]], np.uint32), count)
    assert labels.dtype == dtype
    assert labels.tolist() == [[[0, count]]]
