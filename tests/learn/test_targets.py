import numpy as np
import pytest

from mitotools.errors import ModelError
from mitotools.learn.targets import ContourShape, targets_named
from mitotools.learn.targets.contour import contour_radius, contour_target, is_sectioned
from mitotools.learn.targets.mask import mask_target


def row(*labels):
    """Labels along x, (1, 1, X)."""
    return np.array([[labels]], np.uint16)


def band(labels, radius=0, *, in_plane=True):
    """The contour of a row, as a list."""
    return contour_target(labels, radius, in_plane=in_plane)[0, 0].astype(int).tolist()


def test_the_mask_is_every_instance_whatever_its_id():
    assert mask_target(row(0, 1, 0, 65535)).tolist() == [[[False, True, False, True]]]


def test_a_boundary_is_marked_on_both_of_its_sides():
    assert band(row(0, 0, 0, 7, 7, 7, 7, 0, 0)) == [0, 0, 1, 1, 0, 0, 1, 1, 0]


def test_touching_instances_have_a_boundary_between_them():
    assert band(row(3, 3, 3, 9, 9, 9)) == [0, 0, 1, 1, 0, 0]


def test_the_default_band_is_four_voxels_wide():
    assert band(row(0, 0, 0, 0, 7, 7, 7, 7, 7), radius=1) == [0, 0, 1, 1, 1, 1, 0, 0, 0]


def test_beyond_the_border_the_labels_are_mirrored():
    # The first voxel has itself and the 7 as neighbours; the last one has itself and another 7.
    assert band(row(0, 7, 7, 7)) == [1, 1, 0, 0]


def test_a_voxel_between_two_alike_neighbours_is_no_boundary():
    assert band(row(0, 0, 7, 0, 0)) == [0, 1, 0, 1, 0]


def test_steps_along_two_axes_do_not_cancel():
    # In the middle, up to down is 1 to 2, and left to right 2 to 1: summed differences would vanish.
    labels = np.array([[[0, 1, 0], [2, 0, 1], [0, 2, 0]]], np.uint16)
    assert contour_target(labels, 0)[0, 1, 1]


def test_ids_that_differ_by_more_than_a_byte_differ():
    assert band(row(1, 1, 257, 257)) == [0, 1, 1, 0]


def test_a_square_corner_is_drawn_with_a_square_brush():
    labels = np.zeros((1, 6, 6), np.uint8)
    labels[0, 3:, 3:] = 1
    assert contour_target(labels, 0)[0].astype(int).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 1, 1],
        [0, 0, 1, 1, 1, 1],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 1, 1, 0, 0],
    ]
    assert contour_target(labels, 1)[0].astype(int).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 1, 1, 1, 1],
        [0, 1, 1, 1, 1, 1],
        [0, 1, 1, 1, 1, 1],
        [0, 1, 1, 1, 1, 1],
        [0, 1, 1, 1, 1, 0],
    ]


def test_sections_are_drawn_one_by_one():
    labels = np.array([1, 1, 2, 2], np.uint8).reshape(4, 1, 1)
    assert not contour_target(labels, 1, in_plane=True).any()


def test_in_3d_stacked_instances_have_a_boundary_too():
    labels = np.array([1, 1, 1, 2, 2, 2], np.uint8).reshape(6, 1, 1)
    assert contour_target(labels, 0, in_plane=False).ravel().astype(int).tolist() == [0, 0, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("in_plane", "voxels"),
    # The neighbours of a single voxel, dilated: two crossed bars of 5 x 3, 15 + 15 - 9, in one slice; three
    # of 5 x 3 x 3, 3 * 45 - 2 * 27, in 3D.
    [(True, 21), (False, 81)],
)
def test_the_brush_is_a_square_in_the_plane_and_a_cube_in_3d(in_plane, voxels):
    labels = np.zeros((7, 7, 7), np.uint8)
    labels[3, 3, 3] = 1
    assert contour_target(labels, 1, in_plane=in_plane).sum() == voxels


def test_one_slice_of_one_voxel_has_no_contour():
    assert not contour_target(np.ones((1, 1, 1), np.uint8), 1, in_plane=False).any()


@pytest.mark.parametrize(
    ("voxel_size_nm", "radius"),
    [
        ((30, 8, 8), 1),  # 4 pixels are 32 nm
        ((40, 10, 10), 1),  # 32 nm are 3.2 pixels: 4 is nearer than 2
        ((5, 5, 5), 2),  # 6.4 pixels: 6 is nearer than 8
        ((4, 4, 4), 3),  # 8 pixels
        ((16, 16, 16), 0),  # 2 pixels
        ((50, 50, 50), 0),
        (None, 1),
    ],
)
def test_the_band_is_as_near_to_32_nm_as_whole_voxels_allow(voxel_size_nm, radius):
    assert contour_radius(32.0, voxel_size_nm) == radius


@pytest.mark.parametrize(
    ("voxel_size_nm", "sectioned"),
    [((30, 8, 8), True), ((16, 8, 8), False), ((17, 8, 8), True), ((5, 5, 5), False), (None, True)],
)
def test_voxels_more_than_twice_as_long_in_z_are_sections(voxel_size_nm, sectioned):
    assert is_sectioned(voxel_size_nm) is sectioned


def test_targets_come_in_the_order_of_their_names():
    labels = row(0, 0, 0, 7, 7, 7, 7, 7)
    contour, mask = targets_named(["contour", "mask"])
    shape = ContourShape(radius=0, in_plane=True)
    assert mask.make(labels, shape)[0, 0].astype(int).tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    assert contour.make(labels, shape)[0, 0].astype(int).tolist() == [0, 0, 1, 1, 0, 0, 0, 0]


def test_an_unknown_target_is_refused_with_those_there_are():
    with pytest.raises(ModelError, match=r"^contours: no such target; there are mask, contour\.$"):
        targets_named(["mask", "contours"])
