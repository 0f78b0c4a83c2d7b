"""Block grids and blending weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitotools.errors import UsageError
from mitotools.volume.blend import BLENDS, partition, profile
from mitotools.volume.blocks import Box, block_shape, boxes_within, grid

SIZES = st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20))


@given(shape=SIZES, block=SIZES)
def test_a_grid_covers_every_voxel_once(shape, block):
    counts = np.zeros(shape, int)
    boxes = grid(shape, block)
    for box in boxes:
        counts[box.slices] += 1
        assert all(length <= most for length, most in zip(box.shape, block, strict=True))
    assert (counts == 1).all()
    assert boxes == sorted(boxes)


@given(start=SIZES, length=SIZES, block=SIZES)
def test_a_part_is_cut_along_the_grid_of_the_whole(start, length, block):
    part = Box(start, tuple(a + n for a, n in zip(start, length, strict=True)))
    whole = grid(part.stop, block)
    expected = [box.intersection(part) for box in whole if not box.intersection(part).is_empty]
    assert list(boxes_within(part, block)) == expected


@given(shape=SIZES, multiple=SIZES, voxels=st.integers(1, 5000))
def test_a_block_is_whole_chunks_and_no_larger_than_asked(shape, multiple, voxels):
    block = block_shape(shape, multiple, voxels)
    smallest = [min(m, n) for m, n in zip(multiple, shape, strict=True)]
    assert all(b % m == 0 or b == n for b, m, n in zip(block, multiple, shape, strict=True))
    assert np.prod(block) <= max(voxels, np.prod(smallest))


def test_a_block_grows_along_x_first():
    assert block_shape((100, 100, 100), (10, 10, 10), 5000) == (10, 10, 50)
    assert block_shape((100, 100, 100), (10, 10, 10), 25000) == (10, 20, 100)


def test_a_box_grows_by_its_halo_within_the_volume():
    grown = Box((0, 5, 8), (4, 9, 10)).grown((2, 2, 2), (10, 12, 10))
    assert grown == Box((0, 3, 6), (6, 11, 10))


@pytest.mark.parametrize("blend", BLENDS)
@given(length=st.integers(1, 40), step=st.integers(1, 40), count=st.integers(1, 5))
def test_the_weights_of_windows_sum_to_one_at_every_voxel(blend, length, step, count):
    starts = [number * min(step, length) for number in range(count)]
    total = np.zeros(starts[-1] + length)
    for start, weights in zip(starts, partition(blend, starts, length), strict=True):
        assert (weights >= 0).all()
        total[start : start + length] += weights
    assert np.allclose(total, 1, atol=1e-12)


def test_without_blending_a_voxel_belongs_to_the_window_whose_middle_is_nearest():
    first, second = partition("none", [0, 4], 6)
    assert first.tolist() == [1, 1, 1, 1, 1, 0]
    assert second.tolist() == [0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("blend", BLENDS)
def test_a_weight_is_symmetric_and_largest_in_the_middle(blend):
    weights = profile(blend, 9)
    assert np.allclose(weights, weights[::-1])
    assert weights.argmax() == 4
    assert (np.diff(weights[:5]) > 0).all()


def test_an_unknown_blending_is_wrong_usage():
    with pytest.raises(UsageError, match="bump, gaussian, none"):
        profile("sharp", 4)
