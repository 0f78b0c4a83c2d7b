"""Resampling against tables worked out by hand, other libraries, and itself in other blocks."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.transform import downscale_local_mean

from mitotools.segment.images.footprint import scaled_size, scaled_voxel_size, source_extent
from mitotools.segment.images.resample import resample_image, resample_labels

IMAGE_TYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int64", "uint64", "float16", "float32",
               "float64"]  # fmt: skip
ID_TYPES = ["bool", "uint8", "uint16", "int32", "uint64"]
LENGTHS = st.tuples(*[st.integers(1, 7)] * 3)


def whole(function, array, new):
    size = array.shape[-3:]
    return function(array, (0, 0, 0), new, size, new)


def line(function, values, n, dtype="int64"):
    """Resample values along x."""
    array = np.array(values, dtype).reshape(1, 1, -1)
    return whole(function, array, (1, 1, n)).ravel().tolist()


def in_blocks(function, array, new, cuts):
    """Resample block by block, each from the voxels of its own extent."""
    old = array.shape[-3:]
    result = np.empty((*array.shape[:-3], *new), array.dtype)
    edges = [sorted({0, n, *(cut % n for cut in axis)}) for n, axis in zip(new, cuts, strict=True)]
    for block in product(*[list(pairwise(axis)) for axis in edges]):
        labels = function is resample_labels
        needed = [
            source_extent(*ends, m, n, labels=labels) for ends, m, n in zip(block, old, new, strict=True)
        ]
        voxels = array[(..., *(slice(*ends) for ends in needed))]
        start, stop = tuple(a for a, _ in block), tuple(b for _, b in block)
        place = (..., *(slice(*ends) for ends in block))
        result[place] = function(voxels, start, stop, old, new)
    return result


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [
        ((10, 10, 10), (0.5, 1, 2), (5, 10, 20)),
        ((3, 5, 7), (0.5, 0.5, 0.5), (2, 3, 4)),  # halves up
        ((100, 100, 1000), (0.145, 0.144, 0.0005), (15, 14, 1)),  # 0.145 is no binary number
        ((1, 2, 3), (0.01, 0.01, 0.01), (1, 1, 1)),
    ],
)
def test_a_scaled_size_is_rounded_half_up_and_never_nothing(size, scale, expected):
    assert scaled_size(size, scale) == expected


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf")])
def test_a_factor_that_is_no_positive_number_is_refused(factor):
    with pytest.raises(ValueError, match="positive"):
        scaled_size((4, 4, 4), (1, factor, 1))


def test_the_volume_keeps_its_length_in_nanometres():
    assert scaled_voxel_size((30, 8, 8), (100, 99, 10), (50, 50, 20)) == (60, 8 * 99 / 50, 4)


@pytest.mark.parametrize(
    ("values", "n", "expected"),
    [
        ([1, 3, 5, 7], 2, [2, 6]),
        ([0, 3, 6], 2, [1, 5]),  # (0 + 3 / 2) / 1.5, (3 / 2 + 6) / 1.5
        ([0, 10, 20, 30, 40], 2, [8, 32]),  # (0 + 10 + 20 / 2) / 2.5, (20 / 2 + 30 + 40) / 2.5
        ([10, 20, 60], 1, [30]),
        ([1, 2, 3, 4, 5, 6], 4, [4 / 3, 8 / 3, 13 / 3, 17 / 3]),  # weights 2/3 1/3 | 1/3 2/3 | ...
        ([0, 4], 4, [0, 1, 3, 4]),  # centres at -1/4, 1/4, 3/4, 5/4
        ([0, 6], 3, [0, 3, 6]),
        ([7], 3, [7, 7, 7]),
        ([0, 4, 8], 5, [0, 1.6, 4, 6.4, 8]),  # centres at -0.2, 0.4, 1, 1.6, 2.2
        ([5, 6, 7], 3, [5, 6, 7]),
    ],
)
def test_images_follow_the_table(values, n, expected):
    assert line(resample_image, values, n, "float64") == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0, 1], 0), ([1, 2], 2), ([2, 3], 2), ([-1, 0], 0), ([-2, -1], -2), ([-3, -2], -2), ([1, 2, 2], 2)],
)
def test_means_of_integers_are_rounded_half_to_even(values, expected):
    assert line(resample_image, values, 1) == [expected]


@pytest.mark.parametrize(
    ("values", "n", "expected"),
    [
        ([5, 5, 7, 7], 2, [5, 7]),
        ([7, 5], 1, [5]),  # a tie
        ([0, 9], 1, [0]),  # background is an id
        ([3, 9, 9], 1, [9]),
        ([9, 3, 3, 9, 3, 9, 9], 1, [9]),  # 4 against 3, in pieces
        ([1, 2, 3], 2, [1, 3]),  # covers 1, 1/2 | 1/2, 1
        ([1, 2, 2, 2, 1], 2, [2, 2]),  # covers 1, 1, 1/2
        ([6, 5, 4, 5, 6], 2, [5, 5]),  # 6: 1, 5: 1, 4: 1/2
        ([8, 9], 4, [8, 8, 9, 9]),
        ([8, 9], 3, [8, 8, 9]),  # the middle is as near to both
        ([9, 8], 3, [9, 8, 8]),
        ([4, 0, 9], 5, [4, 4, 0, 9, 9]),  # centres at -0.2, 0.4, 1, 1.6, 2.2
        ([4, 0, 9], 7, [4, 4, 0, 0, 0, 9, 9]),  # centres at -0.29, 0.14, 0.57, 1, ...
    ],
)
def test_labels_follow_the_table(values, n, expected):
    assert line(resample_labels, values, n, "uint64") == expected


def test_large_footprints_of_many_ids_have_a_mode_too():
    """More runs than are compared each with each."""
    ids = np.arange(1000, dtype="uint32").reshape(10, 10, 10)
    assert whole(resample_labels, ids + 5, (1, 1, 1)).item() == 5
    ids[::2, 0, 0] = ids[3, 4, 5]
    assert whole(resample_labels, ids, (1, 1, 1)).item() == 345
    checkers = np.indices((9, 9, 9)).sum(axis=0) % 2
    assert whole(resample_labels, checkers, (1, 1, 1)).item() == 0  # 365 of 729


def test_the_largest_ids_stay_as_they_are():
    top = 2**64 - 1
    assert line(resample_labels, [top, top - 1, top - 1, top], 2, "uint64") == [top - 1, top - 1]
    assert line(resample_labels, [top, top, top - 1, top], 2, "uint64") == [top, top - 1]
    assert line(resample_labels, [top, 0], 4, "uint64") == [top, top, 0, 0]


def test_the_largest_integers_do_not_overflow():
    for dtype in ("uint8", "uint32", "int64", "uint64"):
        most = np.iinfo(dtype).max
        found = line(resample_image, [most] * 3, 2, dtype) + line(resample_image, [most] * 3, 5, dtype)
        assert min(found) >= most - 2048 * (np.dtype(dtype).itemsize == 8)
        assert max(found) <= most


def test_what_is_not_a_number_spreads_to_its_own_footprint_alone():
    nan = float("nan")
    assert np.isnan(line(resample_image, [nan, 1, 2, 3], 2, "float32")).tolist() == [True, False]
    assert np.isnan(line(resample_image, [nan, 1, 2], 1, "float32")).all()
    # Of three voxels from five, the middle one touches neither of the outer two.
    assert np.isnan(line(resample_image, [nan, 1, 2, 3, nan], 3, "float32")).tolist() == [True, False, True]
    assert np.isnan(line(resample_image, [nan, 1, 2], 5, "float32")).tolist() == [
        True,
        True,
        False,
        False,
        False,
    ]


@settings(max_examples=200, deadline=None)
@given(
    data=st.data(),
    dtype=st.sampled_from(IMAGE_TYPES),
    old=LENGTHS,
    new=LENGTHS,
    channels=st.sampled_from([(), (1,), (2,)]),
    cuts=st.tuples(*[st.lists(st.integers(0, 9), max_size=2)] * 3),
)
def test_images_are_the_same_bits_in_any_blocks(data, dtype, old, new, channels, cuts):
    array = data.draw(hnp.arrays(dtype, (*channels, *old)))
    with np.errstate(all="ignore"):
        expected = whole(resample_image, array, new)
        found = in_blocks(resample_image, array, new, cuts)
    assert expected.shape == (*channels, *new)
    assert found.dtype == expected.dtype == array.dtype
    assert found.tobytes() == expected.tobytes()


@settings(max_examples=200, deadline=None)
@given(
    data=st.data(),
    dtype=st.sampled_from(ID_TYPES),
    old=LENGTHS,
    new=LENGTHS,
    cuts=st.tuples(*[st.lists(st.integers(0, 9), max_size=2)] * 3),
)
def test_labels_are_the_same_in_any_blocks(data, dtype, old, new, cuts):
    few = st.integers(0, 1 if dtype == "bool" else 3)
    array = data.draw(hnp.arrays(dtype, old, elements=few))
    expected = whole(resample_labels, array, new)
    assert np.array_equal(in_blocks(resample_labels, array, new, cuts), expected)


def mean_by_fractions(array, new):
    """The exact mean over each footprint or between neighbours, along one axis after the other."""
    values = np.vectorize(Fraction, otypes=[object])(array.astype(object))
    for axis, n in enumerate(new):
        moved = np.moveaxis(values, axis, 0)
        m = len(moved)
        rows = []
        for i in range(n):
            if n <= m:
                left, right = Fraction(i * m, n), Fraction((i + 1) * m, n)
                weights = [max(min(right, j + 1) - max(left, j), 0) * Fraction(n, m) for j in range(m)]
            else:
                centre = min(max(Fraction((2 * i + 1) * m, 2 * n) - Fraction(1, 2), 0), m - 1)
                weights = [max(1 - abs(centre - j), 0) for j in range(m)]
            rows.append(sum(w * row for w, row in zip(weights, moved, strict=True)))
        values = np.moveaxis(np.array(rows, object), 0, axis)
    return values


def mode_by_counting(array, new):
    """Cut every voxel into pieces so small that each lies in one new voxel, and count them."""
    pieces, shape = array, array.shape
    for axis, n in enumerate(new):
        if n > shape[axis]:  # nearest, sampled just beside the centre on both sides
            centres = [Fraction((2 * i + 1) * shape[axis], 2 * n) for i in range(n)]
            beside = [int(c + d) for c in centres for d in (-Fraction(1, 10**6), Fraction(1, 10**6))]
            pieces = pieces.take(beside, axis)
        else:
            pieces = pieces.repeat(n, axis)
    result = np.empty(new, array.dtype)
    for index in np.ndindex(*new):
        part = pieces
        for axis, (i, n) in enumerate(zip(index, new, strict=True)):
            length = part.shape[axis] // n
            part = part.take(range(i * length, (i + 1) * length), axis)
        ids, counts = np.unique(part, return_counts=True)
        result[index] = ids[counts.argmax()]  # the first, so the lowest, of the most frequent
    return result


@settings(max_examples=100, deadline=None)
@given(data=st.data(), dtype=st.sampled_from(["uint8", "int16", "uint32"]), old=LENGTHS, new=LENGTHS)
def test_integer_images_are_the_exact_means_rounded_half_to_even(data, dtype, old, new):
    array = data.draw(hnp.arrays(dtype, old))
    exact = mean_by_fractions(array, new)
    assert whole(resample_image, array, new).tolist() == np.vectorize(round, otypes=[object])(exact).tolist()


@settings(max_examples=100, deadline=None)
@given(data=st.data(), old=LENGTHS, new=LENGTHS)
def test_labels_are_the_mode_of_their_footprint(data, old, new):
    array = data.draw(hnp.arrays("uint64", old, elements=st.sampled_from([0, 1, 2, 2**63, 2**64 - 1])))
    assert np.array_equal(whole(resample_labels, array, new), mode_by_counting(array, new))


@settings(max_examples=50, deadline=None)
@given(data=st.data(), old=LENGTHS, new=LENGTHS, axis=st.integers(0, 2))
def test_the_mirror_image_has_the_mirrored_result(data, old, new, axis):
    array = data.draw(hnp.arrays("uint8", old, elements=st.integers(0, 3)))
    for function in (resample_image, resample_labels):
        mirrored = whole(function, np.flip(array, axis), new)
        assert np.array_equal(np.flip(mirrored, axis), whole(function, array, new))


@settings(max_examples=30, deadline=None)
@given(data=st.data(), new=LENGTHS, factors=st.tuples(*[st.integers(1, 4)] * 3))
def test_whole_factors_give_the_local_mean_of_scikit_image(data, new, factors):
    old = tuple(n * f for n, f in zip(new, factors, strict=True))
    array = data.draw(hnp.arrays("float64", old, elements=st.floats(-1e6, 1e6)))
    expected = downscale_local_mean(array, factors)
    assert whole(resample_image, array, new) == pytest.approx(expected, rel=1e-12, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(old=LENGTHS, more=LENGTHS, seed=st.integers(0, 99))
def test_growing_is_the_linear_zoom_of_scipy_on_the_grid_of_cells(old, more, seed):
    array = np.random.default_rng(seed).random(old)
    new = tuple(n + m for n, m in zip(old, more, strict=True))
    factors = tuple(n / m for n, m in zip(new, old, strict=True))
    expected = ndimage.zoom(array, factors, order=1, mode="nearest", grid_mode=True)
    assert whole(resample_image, array, new) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("function", [resample_image, resample_labels])
def test_the_same_size_changes_nothing_nor_does_the_caller_see_his_own_array(function):
    array = np.arange(24, dtype=">u4").reshape(2, 3, 4)
    found = whole(function, array, (2, 3, 4))
    assert np.array_equal(found, array)
    assert found.dtype.isnative
    assert not np.shares_memory(found, array)


def test_voxels_of_another_extent_are_refused():
    with pytest.raises(ValueError, match="made of"):
        resample_image(np.zeros((4, 4, 4)), (0, 0, 0), (1, 2, 2), (4, 4, 4), (2, 2, 2))


@pytest.mark.parametrize(
    ("ends", "old", "new", "image", "labels"),
    [
        ((1, 2), 4, 2, (2, 4), (2, 4)),
        ((1, 2), 5, 3, (1, 4), (1, 4)),
        ((0, 1), 4, 8, (0, 1), (0, 1)),
        ((2, 4), 4, 8, (0, 3), (1, 2)),
        ((1, 2), 2, 3, (0, 2), (0, 2)),
        ((0, 100), 10**6, 10**6 - 1, (0, 101), (0, 101)),
    ],
)
def test_the_voxels_that_a_block_is_made_of_follow_the_table(ends, old, new, image, labels):
    assert source_extent(*ends, old, new, labels=False) == image
    assert source_extent(*ends, old, new, labels=True) == labels
