"""Percentiles by blocks, grey values to uint8, and ids from colours."""

from __future__ import annotations

import functools
import operator
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mitotools.errors import InputError
from mitotools.segment.images.grey_values import PercentileSearch, clip_to_uint8, ids_of_rgb

TYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16",
         "float32", "float64"]  # fmt: skip


def percentiles(blocks, wanted):
    search, times = PercentileSearch.of(blocks[0].dtype, wanted), 0
    while not search.is_done:
        search, times = (
            search.narrowed(functools.reduce(operator.add, map(search.histogram, blocks))),
            times + 1,
        )
    return search.values, times


@settings(max_examples=200, deadline=None)
@given(
    data=st.data(),
    dtype=st.sampled_from(TYPES),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    wanted=st.tuples(*[st.sampled_from([0, 0.1, 1, 33.3, 50, 75, 99.9, 100])] * 2),
    cut=st.integers(0, 4),
)
def test_percentiles_are_those_of_numpy_in_any_blocks(data, dtype, shape, wanted, cut):
    not_nan = {"allow_nan": False} if dtype.startswith("float") else {}
    array = data.draw(hnp.arrays(dtype, shape, elements=not_nan))
    blocks = [part for part in (array[cut:], array[:cut]) if part.size]
    found, times = percentiles(blocks, wanted)
    ordered = np.sort(array, axis=None)
    # numpy.percentile multiplies in floating point, and may miss a rank by one.
    ranks = [max(1, -(-round(p * 10) * array.size // 1000)) for p in wanted]
    assert list(found) == [ordered[rank - 1].item() for rank in ranks]
    assert times == max(1, array.dtype.itemsize // 2)


def test_percentiles_follow_the_table():
    ten = np.arange(10, 110, 10, dtype="uint16").reshape(1, 2, 5)
    for wanted, value in [(0, 10), (10, 10), (10.5, 20), (50, 50), (51, 60), (99, 100), (100, 100)]:
        assert percentiles([ten], (wanted,))[0] == (value,)


def test_infinities_are_the_ends_and_both_zeros_are_one():
    array = np.array([-np.inf, -1.5, -0.0, 0.0, 2.5, np.inf], "float32").reshape(1, 1, 6)
    assert str(percentiles([array], (0, 20, 50, 100))[0]) == "(-inf, -1.5, 0.0, inf)"


def test_a_search_travels_between_processes():
    search = PercentileSearch.of(np.dtype("float32"), (1, 99))
    assert pickle.loads(pickle.dumps(search)) == search  # noqa: S301


@pytest.mark.parametrize("wanted", [(-1, 50), (50, 101), (float("nan"), 1)])
def test_percentiles_beyond_0_to_100_are_refused(wanted):
    with pytest.raises(ValueError, match="0 to 100"):
        PercentileSearch.of(np.dtype("uint8"), wanted)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_is_not_a_number_is_an_error_that_names_the_volume(dtype):
    array = np.ones((2, 2, 2), dtype)
    array[1, 1, 0] = np.nan
    with pytest.raises(InputError, match=r"raw\.tif: has values that are not a number"):
        PercentileSearch.of(array.dtype, (1, 99)).histogram(array, "raw.tif")
    with pytest.raises(InputError, match=r"raw\.tif: has values that are not a number"):
        clip_to_uint8(array, 0, 1, "raw.tif")


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "float16", "float32", "float64"])
def test_grey_values_are_stretched_and_rounded_half_to_even(dtype):
    array = np.array([-128, -20, -19, 0, 31, 82, 126, 127], dtype).reshape(2, 1, 4)
    # From -20 to 82: 2.5 a grey value.
    assert clip_to_uint8(array, -20, 82).ravel().tolist() == [0, 0, 2, 50, 128, 255, 255, 255]


def test_one_grey_value_is_black_and_what_is_above_white():
    array = np.array([3, 4, 5], "uint16").reshape(1, 1, 3)
    assert clip_to_uint8(array, 4, 4).ravel().tolist() == [0, 0, 255]
    assert clip_to_uint8(array.astype("float32"), 4, 4).ravel().tolist() == [0, 0, 255]


def test_infinities_become_black_and_white_and_extremes_do_not_overflow():
    array = np.array([-np.inf, -1e300, 5e299, 1e300, np.inf]).reshape(1, 1, 5)
    assert clip_to_uint8(array, -1e300, 1e300).ravel().tolist() == [0, 0, 191, 255, 255]


@pytest.mark.parametrize("limits", [(2, 1), (float("-inf"), 1), (0, float("nan")), (0, 1e301)])
def test_limits_that_cannot_be_are_an_error(limits):
    with pytest.raises(InputError, match="cannot be clipped from"):
        clip_to_uint8(np.ones((1, 1, 1)), *limits)


@given(
    array=st.sampled_from(["uint8", "int8", "uint16", "int16"]).flatmap(lambda t: hnp.arrays(t, (2, 3, 4))),
    limits=st.tuples(st.integers(-300, 300), st.integers(-300, 300)),
)
def test_tables_of_small_types_are_the_formula(array, limits):
    low, high = sorted(limits)
    assert np.array_equal(clip_to_uint8(array, low, high), clip_to_uint8(array.astype("int32"), low, high))


def test_colours_become_ids():
    colours = np.array([[0, 1, 255, 0], [0, 2, 255, 1], [1, 3, 255, 0]], "uint8").reshape(3, 1, 2, 2)
    found = ids_of_rgb(colours)
    assert found.dtype == np.uint32
    assert found.tolist() == [[[1, 66051], [16777215, 256]]]


@pytest.mark.parametrize("wrong", [np.zeros((4, 1, 2, 2), "uint8"), np.zeros((3, 1, 2, 2), "uint16")])
def test_other_colours_are_refused(wrong):
    with pytest.raises(ValueError, match="three channels of uint8"):
        ids_of_rgb(wrong)
