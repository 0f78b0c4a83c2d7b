from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from segment.labelings import volumes

from mitotools.segment.morphology import dilated, eroded


def row(*ids: int) -> np.ndarray:
    return np.array([[ids]], np.uint8)


def test_an_instance_loses_a_voxel_on_every_side():
    assert eroded(row(0, 3, 3, 3, 3, 0), 1).tolist() == [[[0, 0, 3, 3, 0, 0]]]
    assert eroded(row(0, 3, 3, 3, 3, 0), 2).tolist() == [[[0] * 6]]


def test_touching_instances_erode_each_other():
    assert eroded(row(3, 3, 3, 5, 5), 1).tolist() == [[[3, 3, 0, 0, 5]]]


def test_the_edge_of_the_volume_does_not_erode():
    full = np.full((2, 3, 4), 7, np.uint16)
    assert (eroded(full, 5) == full).all()


def test_an_edge_or_a_corner_in_common_does_not_count():
    cube = np.full((3, 3, 3), 1, np.uint8)
    cube[0, 0, 0] = 0
    assert eroded(cube, 1)[1, 1, 1] == 1
    assert eroded(cube, 1)[0, 0, 1] == 0
    cross = dilated(np.pad(np.ones((1, 1, 1), np.uint8), 1), 1)
    assert cross.sum() == 7


def test_a_contested_voxel_goes_to_the_lower_id():
    assert dilated(row(9, 0, 4, 0, 5), 1).tolist() == [[[9, 4, 4, 4, 5]]]


def test_the_nearer_instance_comes_before_the_lower_id():
    assert dilated(row(9, 0, 0, 0, 0, 4), 3).tolist() == [[[9, 9, 9, 4, 4, 4]]]
    assert dilated(row(9, 0, 0, 0, 4), 3).tolist() == [[[9, 9, 4, 4, 4]]]


def test_steps_end_where_nothing_changes_any_more():
    assert eroded(row(3, 3, 3, 3, 0, 0), 10**20).tolist() == [[[0] * 6]]
    assert dilated(row(0, 3, 0, 0, 0, 0), 10**20).tolist() == [[[3] * 6]]
    assert dilated(row(0, 0), 10**20).tolist() == [[[0, 0]]]


@pytest.mark.parametrize("change", [eroded, dilated])
def test_no_step_changes_nothing_and_the_labels_given_are_left_alone(change):
    labels = row(9, 0, 4, 4, 4)
    assert change(labels, 0).tolist() == labels.tolist()
    for steps in (1, 2, 3):
        change(labels, steps)
        assert labels.tolist() == [[[9, 0, 4, 4, 4]]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint64])
def test_the_largest_ids_are_told_apart(dtype):
    most = np.iinfo(dtype).max
    labels = np.array([[[most, 0, most - 1, most - 1]]], dtype)
    assert dilated(labels, 1).tolist() == [[[most, most - 1, most - 1, most - 1]]]
    assert eroded(labels, 1).tolist() == [[[0, 0, 0, most - 1]]]
    assert dilated(labels, 1).dtype == dtype


@settings(max_examples=60, deadline=None)
@given(labels=volumes(), steps=st.integers(1, 4))
def test_each_instance_erodes_as_its_mask_does(labels, steps):
    expected = np.zeros_like(labels)
    for number in range(1, 6):
        mask = ndimage.binary_erosion(labels == number, iterations=steps, border_value=1)
        expected[mask] = number
    assert np.array_equal(eroded(np.asfortranarray(labels), steps), expected)


@settings(max_examples=60, deadline=None)
@given(labels=volumes(), steps=st.integers(1, 4))
def test_each_instance_dilates_into_what_is_nearest_to_it(labels, steps):
    labels = labels * (labels > 2)
    expected = labels.copy()
    for _ in range(steps):
        before = expected.copy()
        for number in (5, 4, 3):  # the lower id last, and so on top
            reached = ndimage.binary_dilation(before == number)
            expected[reached & (before == 0)] = number
    assert np.array_equal(dilated(labels, steps), expected)
