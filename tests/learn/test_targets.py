import numpy as np
import pytest

from mitotools.errors import ModelError, UsageError
from mitotools.learn.targets import (
    TARGETS,
    TargetShape,
    channel_names,
    make_targets,
    map_slopes,
    targets_named,
)
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


def test_a_radius_adds_as_many_voxels_on_either_side():
    assert band(row(0, 0, 0, 0, 0, 7, 7, 7, 7, 7), radius=2) == [0, 0, 1, 1, 1, 1, 1, 1, 0, 0]
    assert band(row(0, 7), radius=9) == [1, 1]


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


@pytest.mark.parametrize(
    ("voxel_size_nm", "shape"),
    [
        ((30, 8, 8), TargetShape(1, in_plane=True, z_pixels=3.75, erode_voxels=2)),
        ((10, 5, 5), TargetShape(2, in_plane=False, z_pixels=2.0, erode_voxels=2)),
        ((9, 4, 5), TargetShape(3, in_plane=False, z_pixels=2.0, erode_voxels=2)),  # pixels of 4.5 nm
        (None, TargetShape(1, in_plane=True, z_pixels=1.0, erode_voxels=2)),
    ],
)
def test_how_targets_are_drawn_follows_from_the_voxel_size(voxel_size_nm, shape):
    assert TargetShape.of(voxel_size_nm, 32.0, erode_voxels=2) == shape


def test_the_channels_are_named_as_the_decoders_name_them():
    targets = targets_named(["mask", "contour", "contact", "affinity", "distance"])
    assert channel_names(targets) == ("mask", "contour", "contact", "z", "y", "x", "distance")
    assert channel_names(TARGETS) == channel_names(targets)


def test_channels_come_in_the_order_of_their_targets():
    labels = row(0, 0, 0, 7, 7, 7, 7, 7)
    targets = targets_named(["contour", "affinity", "mask"])
    truths = make_targets(labels, targets, TargetShape(radius=0, in_plane=True))
    assert truths.dtype == np.float32
    assert truths[:, 0, 0].astype(int).tolist() == [
        [0, 0, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 1, 1, 1, 1, 1],  # z: beyond the border it goes on
        [0, 0, 0, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 1, 1, 1, 1],
        [0, 0, 0, 1, 1, 1, 1, 1],
    ]


@pytest.mark.parametrize("in_plane", [True, False])
def test_the_contours_and_distances_of_a_patch_are_drawn_as_its_shape_says(in_plane):
    labels = np.zeros((3, 5, 5), np.uint8)
    labels[1, 1:4, 1:4] = 1
    labels[2, 1:4, 1:4] = 2
    shape = TargetShape(radius=1, in_plane=in_plane, z_pixels=2.0)
    names = ["contour", "contact", "distance"]
    contour, contact, distance = make_targets(labels, targets_named(names), shape)
    assert (contour == contour_target(labels, 1, in_plane=in_plane)).all()
    assert contact.any() == (not in_plane)
    # (1, 2, 1) is beside background; (0, 2, 2) is over an instance, a voxel of two pixels away.
    assert distance[1, 2, 1] == pytest.approx(np.tanh(1 / 8))
    assert distance[0, 2, 2] == pytest.approx(-1 if in_plane else -np.tanh(2 / 50))


def test_all_targets_are_made_of_labels_that_are_apart_where_they_touched():
    shape = TargetShape(radius=0, in_plane=True, erode_voxels=1)
    labels = row(3, 3, 3, 9, 9, 9)
    mask, affinity = make_targets(labels, targets_named(["mask", "affinity"]), shape)[[0, 3], 0, 0]
    assert mask.tolist() == [1, 1, 0, 0, 1, 1]
    assert affinity.tolist() == [1, 1, 0, 0, 0, 1]
    assert labels.tolist() == row(3, 3, 3, 9, 9, 9).tolist()


def test_a_contact_is_that_of_the_labels_before_they_were_eroded_apart():
    shape = TargetShape(radius=0, in_plane=True, erode_voxels=1)
    contact, contour = make_targets(row(3, 3, 3, 9, 9, 9), targets_named(["contact", "contour"]), shape)[
        :, 0, 0
    ]
    assert contact.tolist() == [0, 0, 1, 1, 0, 0]
    assert contour.tolist() == [0, 1, 1, 1, 1, 0]


def test_only_the_map_of_the_distance_is_steeper_than_its_logit():
    # sigmoid(2 x) = (tanh(x) + 1) / 2: 0 becomes .5 as for the others, and a signed distance of .5 is .75.
    assert map_slopes(("mask", "distance", "z", "y-9x-9")) == (1, 2, 1, 1)
    logit = np.arctanh(0.5)
    assert 1 / (1 + np.exp(-2 * logit)) == pytest.approx(0.75)


@pytest.mark.parametrize("name", [target.name for target in TARGETS])
def test_every_target_is_made_of_a_patch_of_one_voxel(name):
    shape = TargetShape(radius=1, in_plane=False, erode_voxels=1)
    inside = make_targets(np.ones((1, 1, 1), np.uint8), targets_named([name]), shape)
    outside = make_targets(np.zeros((1, 1, 1), np.uint8), targets_named([name]), shape)
    has_band = name in {"contour", "contact"}
    assert inside.ravel().tolist() == [0 if has_band else 1] * len(inside)
    assert outside.ravel().tolist() == [{"distance": -1}.get(name, 0)] * len(inside)


@pytest.mark.parametrize("in_plane", [True, False])
@pytest.mark.parametrize("name", [target.name for target in TARGETS])
def test_ids_that_are_one_number_as_floats_are_two_instances(name, in_plane):
    large = np.array([2**53, 2**53, 2**53 + 1, 2**53 + 1, 0, 0, 2**64 - 1, 2**64 - 2], np.uint64)
    small = np.array([1, 1, 2, 2, 0, 0, 3, 4], np.uint64)
    shape = TargetShape(radius=0, in_plane=in_plane, erode_voxels=1 if name == "mask" else 0)
    targets = targets_named([name])
    made = [make_targets(ids.reshape(1, 1, 8), targets, shape) for ids in (large, small)]
    assert (made[0] == made[1]).all()


@pytest.mark.parametrize("in_plane", [True, False])
@pytest.mark.parametrize("name", [target.name for target in TARGETS])
def test_targets_do_not_depend_on_how_labels_lie_in_memory(name, in_plane):
    labels = np.random.default_rng(0).integers(0, 3, (4, 5, 6)).astype(np.uint16)
    shape = TargetShape(radius=1, in_plane=in_plane)
    turned = np.asfortranarray(labels[:, ::-1])[:, ::-1]
    targets = targets_named([name])
    assert (make_targets(turned, targets, shape) == make_targets(labels, targets, shape)).all()


def test_a_target_that_stands_twice_is_refused():
    with pytest.raises(UsageError, match=r"^targets mask,contour,mask: one stands twice\. Name each once\.$"):
        targets_named(["mask", "contour", "mask"])


def test_an_unknown_target_is_refused_with_those_there_are():
    reason = r"^contours: no such target; there are mask, contour, contact, affinity, distance\.$"
    with pytest.raises(ModelError, match=reason):
        targets_named(["mask", "contours"])
