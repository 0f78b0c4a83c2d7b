import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mitotools.learn.windows import WindowGrid, blended, padded
from mitotools.volume.blend import BLENDS
from mitotools.volume.blocks import Box

OVERLAPS = st.sampled_from([0, 0.1, 0.25, 0.5, 0.75, 0.9])
BLENDS_ = st.sampled_from(BLENDS)


@st.composite
def grids(draw):
    """A window grid over a volume of a few voxels, the volume often smaller than a window."""
    size = draw(st.tuples(*[st.integers(1, 20)] * 3))
    window = draw(st.tuples(*[st.integers(1, 12)] * 3))
    return WindowGrid.over(size, window, draw(OVERLAPS), draw(BLENDS_))


@st.composite
def boxes(draw, size):
    edges = [sorted(draw(st.sets(st.integers(0, n), min_size=2, max_size=2))) for n in size]
    return Box(tuple(a for a, _ in edges), tuple(b for _, b in edges))


def volume(size):
    return np.random.default_rng(0).integers(0, 256, size, np.uint8)


def reader(array):
    """Read a box, which has to lie inside."""

    def read(box):
        assert Box.whole(array.shape).contains(box)
        return array[box.slices]

    return read


def uneven(window):
    """Two channels that depend on a voxel's value, its place in the window and all else in the window."""
    place = np.arange(window.size).reshape(window.shape) / window.size
    first = (window / np.float32(256) + place + window.sum() / 777) % 1
    return np.stack([first, 1 - first**2]).astype(np.float32)


def results(grid, box, array, predict):
    """Every window of a box and what a network makes of it."""
    for index in grid.touching(box):
        yield index, predict(padded(reader(array), grid.box(index), grid.size))


def whole(grid, box, array, predict=uneven):
    """The prediction of a box in one array; the slabs have to follow each other without gaps."""
    done, parts = box.start[0], []
    for slab, values in blended(grid, box, results(grid, box, array, predict)):
        assert slab == Box((done, *box.start[1:]), (slab.stop[0], *box.stop[1:]))
        assert values.shape[1:] == slab.shape
        done = slab.stop[0]
        parts.append(values.copy())
    assert done == box.stop[0]
    return np.concatenate(parts, axis=1)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_box_has_the_voxels_of_the_whole_volume_bit_for_bit(data):
    grid = data.draw(grids())
    box = data.draw(boxes(grid.size))
    array = volume(grid.size)
    direct = whole(grid, Box.whole(grid.size), array)
    assert np.array_equal(whole(grid, box, array), direct[(slice(None), *box.slices)])


@settings(max_examples=200, deadline=None)
@given(grid=grids())
def test_the_weights_of_all_windows_sum_to_1(grid):
    array = volume(grid.size)
    ones = whole(grid, Box.whole(grid.size), array, lambda w: np.ones((1, *w.shape), np.float32))
    np.testing.assert_allclose(ones, 1, atol=1e-6)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_the_windows_that_touch_a_box_are_all_that_hold_a_voxel_of_it_in_raster_order(data):
    grid = data.draw(grids())
    box = data.draw(boxes(grid.size))
    everything = grid.touching(Box.whole(grid.size))
    assert grid.touching(box) == [i for i in everything if not grid.box(i).intersection(box).is_empty]
    assert everything == sorted(everything)


@given(size=st.integers(1, 300), window=st.integers(1, 48), overlap=OVERLAPS)
def test_windows_overlap_as_asked_and_leave_no_gap(size, window, overlap):
    starts = WindowGrid.over((1, 1, size), (1, 1, window), overlap, "bump").starts[2]
    step = max(round(window * (1 - overlap)), 1)
    *apart, last = [b - a for a, b in pairwise(starts)] or [step]
    assert starts[0] == 0
    assert all(each == step for each in apart)
    assert 0 < last <= step
    assert starts[-1] + window == max(size, window)


def test_windows_share_a_quarter_however_many_voxels_the_network_pools():
    # 3/4 of 112 are 84; of 32 slices, which many networks pool to one, 24. The last ones end with the volume.
    grid = WindowGrid.over((100, 300, 300), (32, 112, 112), 0.25, "bump")
    assert grid.starts == ([0, 24, 48, 68], [0, 84, 168, 188], [0, 84, 168, 188])
    assert grid.step == 24


def test_the_blend_is_the_weighted_mean_of_two_windows():
    # Windows 0..4 and 2..6 of a row; without blending the nearer middle wins: 0 1 2 | 3 4 5.
    grid = WindowGrid.over((1, 1, 6), (1, 1, 4), 0.5, "none")
    array = np.array([[[10, 20, 30, 40, 50, 60]]], np.uint8)

    def first_voxel(window):
        return np.full((1, *window.shape), window[0, 0, 0], np.float32)

    assert whole(grid, Box.whole((1, 1, 6)), array, first_voxel).ravel().tolist() == [10, 10, 10, 30, 30, 30]
    grid = WindowGrid.over((1, 1, 6), (1, 1, 4), 0.5, "bump")
    values = whole(grid, Box.whole((1, 1, 6)), array, first_voxel).ravel()
    # The bump at u = -3/4, -1/4, 1/4, 3/4 of a window, e^(1 - 1 / (1 - u^2)), and the floor of 1e-4.
    outer, inner = np.exp(1 - 16 / 7) + 1e-4, np.exp(1 - 16 / 15) + 1e-4
    third = (inner * 10 + outer * 30) / (inner + outer)
    np.testing.assert_allclose(values, [10, 10, third, 40 - third, 30, 30], rtol=1e-6)


def test_what_lies_beyond_the_volume_is_mirrored():
    array = np.array([[[1, 2, 3]]], np.uint8)
    window = padded(reader(array), Box((0, 0, 0), (1, 1, 8)), (1, 1, 3))
    assert window.ravel().tolist() == [1, 2, 3, 3, 2, 1, 1, 2]


@pytest.mark.parametrize("start", [-6, -2, 3, 7])
def test_a_window_of_which_little_is_inside_mirrors_the_volume_and_not_that_little(start):
    array = np.arange(10, dtype=np.uint8)[None, None]
    far = np.pad(array[0, 0], 8, mode="symmetric")
    window = padded(reader(array), Box((0, 0, start), (1, 1, start + 8)), (1, 1, 10))
    assert window.ravel().tolist() == far[start + 8 : start + 16].tolist()


def test_a_window_inside_the_volume_is_read_as_it_is():
    array = volume((4, 4, 4))
    assert np.array_equal(padded(reader(array), Box((1, 0, 2), (3, 2, 4)), (4, 4, 4)), array[1:3, 0:2, 2:4])


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 5, 2), (8, 8, 8)])
def test_a_volume_no_larger_than_a_window_is_one_window(size):
    grid = WindowGrid.over(size, (8, 8, 8), 0.25, "bump")
    seen = []

    def identity(window):
        seen.append(window.shape)
        return window[None].astype(np.float32)

    values = whole(grid, Box.whole(size), volume(size), identity)
    assert seen == [(8, 8, 8)]
    np.testing.assert_allclose(values[0], volume(size), rtol=1e-6)


def test_one_row_of_windows_is_in_memory():
    size, window = (96, 128, 128), (16, 16, 16)
    grid = WindowGrid.over(size, window, 0.25, "bump")
    box, array = Box.whole(size), volume(size)
    row = 2 * 16 * 128 * 128 * 4
    tracemalloc.start()
    for _, values in blended(grid, box, results(grid, box, array, uneven)):
        assert values.dtype == np.float32
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert row < peak < 1.2 * row
