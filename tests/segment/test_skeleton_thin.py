from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import euler_number

from mitotools.segment.measures.skeleton_thin import thin

CORNERS = np.ones((3, 3, 3), bool)


def thinned(mask):
    return thin(np.pad(mask, 1))[1:-1, 1:-1, 1:-1]


def topology(mask):
    """Pieces, pieces of the background, and the Euler number: together they fix the number of holes."""
    return ndimage.label(mask, CORNERS)[1], ndimage.label(~mask)[1], euler_number(mask, 3)


@given(seed=st.integers(0, 2**32 - 1), density=st.floats(0.05, 0.95), blur=st.sampled_from([0, 0.7, 1.5]))
@settings(deadline=None, max_examples=60)
def test_thinning_keeps_pieces_holes_and_cavities(seed, density, blur):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((9, 10, 11)), blur)
    mask = np.pad(noise < np.quantile(noise, density), 2)

    found = thin(mask)

    assert topology(found) == topology(mask)
    assert not (found & ~mask).any()


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_bar_of_any_width_keeps_its_length_but_for_its_width(width, axis):
    shape = [width, width, width]
    shape[axis] = 20

    found = thinned(np.ones(shape, bool))

    assert 20 - width <= np.count_nonzero(found) <= 20


def test_a_curve_one_voxel_wide_stays_as_it_is():
    curve = np.zeros((4, 4, 6), bool)
    curve[[0, 1, 2, 3, 3, 3], [0, 1, 1, 2, 3, 3], [0, 1, 2, 3, 4, 5]] = True

    assert np.array_equal(thinned(curve), curve)


def test_a_ring_stays_closed_and_becomes_one_voxel_wide():
    ring = np.ones((3, 9, 9), bool)
    ring[:, 3:6, 3:6] = False

    found = thinned(ring)

    neighbours = ndimage.convolve(found.astype(int), CORNERS.astype(int), mode="constant")[found] - 1
    assert set(neighbours) == {2}


def test_one_voxel_stays():
    assert thinned(np.ones((1, 1, 1), bool)).all()
