import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mitotools.learn.targets.distance import distance_target
from mitotools.parameters import DecodeParameters
from mitotools.segment.decoders.watershed import decode

LABELS = arrays(np.uint16, st.tuples(*[st.integers(1, 6)] * 3), elements=st.integers(0, 3))


def row(*labels):
    """Labels along x, (1, 1, X)."""
    return np.array([[labels]], np.uint16)


def along_x(inside, outside):
    """The target of a row whose voxels have these distances."""
    return pytest.approx(np.tanh(np.array(inside) / 8 - np.array(outside) / 50), abs=1e-6)


@pytest.mark.parametrize("in_plane", [True, False])
def test_it_rises_into_an_instance_and_falls_away_from_it(in_plane):
    distance = distance_target(row(0, 0, 0, 7, 7, 7, 7, 7, 0), in_plane=in_plane)
    assert distance.dtype == np.float32
    assert distance[0, 0] == along_x([0, 0, 0, 1, 2, 3, 2, 1, 0], [3, 2, 1, 0, 0, 0, 0, 0, 1])


@pytest.mark.parametrize("in_plane", [True, False])
def test_it_is_low_where_two_instances_touch(in_plane):
    distance = distance_target(row(0, 3, 3, 3, 3, 9, 9, 9, 0), in_plane=in_plane)
    assert distance[0, 0] == along_x([0, 1, 2, 2, 1, 1, 2, 1, 0], [1, 0, 0, 0, 0, 0, 0, 0, 1])


def test_a_distance_is_euclidean():
    labels = np.zeros((1, 7, 9), np.uint8)
    labels[0, 0, 0] = 1
    assert distance_target(labels)[0, 3, 4] == pytest.approx(np.tanh(-5 / 50))


def test_the_border_of_the_patch_is_no_boundary():
    assert distance_target(row(7, 7, 7, 0))[0, 0] == along_x([3, 2, 1, 0], [0, 0, 0, 1])


def column_and_beside():
    """In z: an instance of three voxels; in y, background beside it, 3 pixels from its middle."""
    labels = np.ones((5, 4, 1), np.uint8)
    labels[0] = labels[4] = labels[:, 3] = 0
    return labels


def test_sections_are_measured_one_by_one():
    distance = distance_target(column_and_beside(), in_plane=True)
    assert distance[2, 0, 0] == distance[1, 0, 0] == pytest.approx(np.tanh(3 / 8))


def test_in_3d_a_step_in_z_is_as_long_as_the_voxel():
    distance = distance_target(column_and_beside(), in_plane=False, z_pixels=1.25)
    assert distance[2, 0, 0] == pytest.approx(np.tanh(2.5 / 8))
    assert distance[1, 0, 0] == pytest.approx(np.tanh(1.25 / 8))
    assert distance[0, 0, 0] == pytest.approx(-np.tanh(1.25 / 50))


@pytest.mark.parametrize("in_plane", [True, False])
@pytest.mark.parametrize(("label", "expected"), [(0, -1), (5, 1)])
def test_without_the_other_side_it_is_extreme(label, expected, in_plane):
    assert (distance_target(np.full((2, 3, 4), label, np.uint8), in_plane=in_plane) == expected).all()


def test_a_section_without_an_instance_is_far_outside_whatever_is_above_it():
    labels = np.array([[[0, 1, 0]], [[0, 0, 0]]], np.uint8)
    assert distance_target(labels, in_plane=True)[1].tolist() == [[-1, -1, -1]]


def nearest(voxel, others, spacing):
    """The distance of a voxel to the nearest of others, by trying all."""
    if not others.any():
        return np.inf
    steps = (np.argwhere(others) - voxel) * spacing
    return np.sqrt((steps**2).sum(1)).min()


@settings(max_examples=50, deadline=None)
@given(LABELS, st.booleans(), st.sampled_from([1.0, 1.5, 3.75]))
def test_it_is_that_of_the_nearest_other_voxel(labels, in_plane, z_pixels):
    distance = distance_target(labels, in_plane=in_plane, z_pixels=z_pixels)
    section = np.arange(len(labels)).reshape(-1, 1, 1)
    for voxel in np.ndindex(labels.shape):
        reach = (section == voxel[0]) | (not in_plane)
        label = labels[voxel]
        others = reach & (labels != label if label else labels > 0)
        d = nearest(voxel, others, (z_pixels, 1, 1))
        assert distance[voxel] == pytest.approx(np.tanh(d / 8 if label else -d / 50), abs=1e-5)


def test_its_map_splits_two_instances_that_touch():
    labels = np.zeros((1, 20, 40), np.uint8)
    labels[0, 3:17, 3:20] = 1
    labels[0, 3:17, 20:37] = 2
    distance = np.floor(255 * (distance_target(labels) + 1) / 2)
    mask, contour = 255.0 * (labels > 0), np.zeros(labels.shape)
    maps = np.stack([mask, contour, distance]).astype(np.uint8)
    decoded = decode(maps, DecodeParameters(method="bcd", min_size_voxels=1, min_seed_voxels=1))
    assert decoded.max() == 2
    assert decoded[0, 10, 10] != decoded[0, 10, 30]
    assert ((decoded > 0) == (labels > 0)).all()
