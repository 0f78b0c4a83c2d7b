from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from segment.labelings import volumes
from skimage.measure import regionprops

from mitotools.segment.measures.measure import measure_block, measurement_columns
from mitotools.segment.measures.shape import axis_lengths_nm, covariances_nm2

SPACING = (30.0, 8.0, 8.0)


def axes(mask, origin=(0, 0, 0), spacing=SPACING):
    table = measurement_columns(measure_block(mask.astype(np.uint8), origin), spacing)
    return [table[f"{name}_axis_nm"][0] for name in ("major", "middle", "minor")]


def places(shape):
    """Return the middles of voxels around the middle of an array: (Z, Y, X, 3) nm."""
    indices = np.moveaxis(np.indices(shape), 0, -1)
    return (indices - (np.array(shape) - 1) / 2) * SPACING


def test_a_single_voxel_is_as_long_as_the_ellipsoid_with_its_moments():
    # A box of side s has the variance s^2 / 12; an ellipsoid with axis 2 a has a^2 / 5.
    factor = 2 * np.sqrt(5 / 12)
    assert axes(np.ones((1, 1, 1), bool)) == pytest.approx([30 * factor, 8 * factor, 8 * factor])


def test_an_ellipsoid_has_its_own_axes_within_one_percent():
    inside = ((places((31, 61, 51)) / (400, 200, 150)) ** 2).sum(axis=-1) <= 1

    assert axes(inside) == pytest.approx([800, 400, 300], rel=0.01)


def test_an_oblique_cylinder_has_the_axes_that_follow_from_its_length_and_radius_within_two_percent():
    direction = np.array([1.0, 2.0, 2.0]) / 3
    middle = places((34, 121, 121))
    along = middle @ direction
    across = np.linalg.norm(middle - along[..., np.newaxis] * direction, axis=-1)
    inside = (abs(along) <= 400) & (across <= 100)

    # Variances of a cylinder of length h and radius r: h^2 / 12 along, r^2 / 4 across.
    length, width = 2 * np.sqrt(5 / 12) * 800, 2 * np.sqrt(5 / 4) * 100
    assert axes(inside) == pytest.approx([length, width, width], rel=0.02)


def test_axes_are_the_same_bit_for_bit_wherever_the_instance_lies():
    inside = np.random.default_rng(0).random((3, 4, 5)) > 0.5

    # So far out that the squares of indices exceed 64 bits, in sum.
    assert axes(inside, (10**9, 2 * 10**9, 3 * 10**9)) == axes(inside)


@given(labels=volumes())
@settings(deadline=None, max_examples=30)
def test_moments_equal_those_of_scikit_image_and_the_extent_of_a_voxel(labels):
    found = measure_block(labels)
    covariances = covariances_nm2(found.voxels, found.sums, found.products, SPACING)

    for own, region in zip(covariances, regionprops(labels, spacing=SPACING), strict=True):
        inertia = region.inertia_tensor
        of_points = np.eye(3) * np.trace(inertia) / 2 - inertia
        voxel = np.diag(np.square(SPACING)) / 12
        assert own == pytest.approx(of_points + voxel, abs=1e-6)


def test_lengths_are_those_that_scikit_image_gives_the_same_moments():
    rng = np.random.default_rng(1)
    labels = (rng.random((8, 9, 10)) > 0.6).astype(np.uint8)
    (region,) = regionprops(labels, spacing=SPACING)
    inertia = region.inertia_tensor

    lengths = axis_lengths_nm((np.eye(3) * np.trace(inertia) / 2 - inertia)[np.newaxis])

    assert lengths[0][[0, 2]] == pytest.approx([region.axis_major_length, region.axis_minor_length])


def test_measurements_of_another_size_of_volume_have_the_same_axes():
    found = measure_block(np.ones((2, 3, 4), np.uint8))
    tables = [measurement_columns(replace(found, size=size), SPACING) for size in ((2, 3, 4), (9, 9, 9))]
    assert tables[0]["major_axis_nm"] == tables[1]["major_axis_nm"]
