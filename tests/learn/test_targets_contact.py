import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mitotools.learn.targets.contact import contact_target, without_contacts
from mitotools.learn.targets.contour import contour_target

LABELS = arrays(np.uint8, st.tuples(*[st.integers(1, 6)] * 3), elements=st.integers(0, 3))


def row(*labels):
    """Labels along x, (1, 1, X)."""
    return np.array([[labels]], np.uint16)


def band(labels, radius=0, *, in_plane=True):
    """The contact of a row, as a list."""
    return contact_target(labels, radius, in_plane=in_plane)[0, 0].astype(int).tolist()


def test_a_boundary_with_the_background_is_no_contact():
    assert band(row(0, 0, 0, 7, 7, 7, 7, 0, 0)) == [0] * 9


def test_a_contact_is_marked_on_both_of_its_sides():
    assert band(row(0, 3, 3, 3, 9, 9, 9, 0)) == [0, 0, 0, 1, 1, 0, 0, 0]


def test_the_default_contact_is_four_voxels_wide():
    assert contact_target(row(3, 3, 3, 3, 9, 9, 9, 9)).ravel().astype(int).tolist() == [
        0,
        0,
        1,
        1,
        1,
        1,
        0,
        0,
    ]


def test_a_gap_of_one_voxel_is_a_contact_and_one_of_two_is_not():
    assert band(row(3, 3, 0, 9, 9, 0, 0, 3, 3)) == [0, 0, 1, 0, 0, 0, 0, 0, 0]


def test_stacked_instances_meet_only_in_3d():
    labels = np.array([1, 1, 2, 2], np.uint8).reshape(4, 1, 1)
    assert not contact_target(labels, 0, in_plane=True).any()
    assert contact_target(labels, 0, in_plane=False).ravel().astype(int).tolist() == [0, 1, 1, 0]


@settings(max_examples=100, deadline=None)
@given(LABELS, st.integers(0, 2), st.booleans())
def test_contacts_are_the_contours_where_there_is_no_background(labels, radius, in_plane):
    full = labels + 1
    contour = contour_target(full, radius, in_plane=in_plane)
    assert (contact_target(full, radius, in_plane=in_plane) == contour).all()


@settings(max_examples=100, deadline=None)
@given(LABELS, st.integers(0, 2), st.booleans())
def test_a_contact_is_a_part_of_the_contour(labels, radius, in_plane):
    contact = contact_target(labels, radius, in_plane=in_plane)
    assert not (contact & ~contour_target(labels, radius, in_plane=in_plane)).any()


@pytest.mark.parametrize(
    ("voxels", "left"),
    [
        (0, [3, 3, 3, 9, 9, 9, 0, 0, 5]),
        (1, [3, 3, 0, 0, 9, 9, 0, 0, 5]),
        (2, [3, 0, 0, 0, 0, 9, 0, 0, 5]),
    ],
)
def test_each_of_two_touching_instances_loses_its_part_and_others_nothing(voxels, left):
    assert without_contacts(row(3, 3, 3, 9, 9, 9, 0, 0, 5), voxels).ravel().tolist() == left


def test_a_single_instance_is_not_eroded():
    labels = row(0, 7, 7, 7, 0, 0, 9, 9)
    assert (without_contacts(labels, 3) == labels).all()


def test_eroded_labels_keep_their_type_and_the_others_are_left_alone():
    labels = np.array([[[2**64 - 1, 2**64 - 1, 2**64 - 2, 2**64 - 2]]], np.uint64)
    eroded = without_contacts(labels, 1)
    assert eroded.dtype == np.uint64
    assert eroded.ravel().tolist() == [2**64 - 1, 0, 0, 2**64 - 2]
    assert (labels > 0).all()


def test_sections_are_eroded_one_by_one():
    labels = np.array([1, 1, 2, 2], np.uint8).reshape(4, 1, 1)
    assert without_contacts(labels, 1, in_plane=True).ravel().tolist() == [1, 1, 2, 2]
    assert without_contacts(labels, 1, in_plane=False).ravel().tolist() == [1, 0, 0, 2]
