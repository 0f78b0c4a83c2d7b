"""Half the resolution: as resampling does it, and faster."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mitotools.segment.images.halve import halve_image, halve_labels, halved_size
from mitotools.segment.images.resample import resample_image, resample_labels

FACTORS = st.tuples(*[st.integers(1, 2)] * 3)
SHAPES = st.tuples(*[st.integers(1, 7)] * 3)
IMAGE_TYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16",
               "float32", "float64"]  # fmt: skip


def resampled(function, array, factors):
    """The general way, where the last voxel of an odd length comes twice."""
    odd = [(0, n % f) for n, f in zip(array.shape[-3:], factors, strict=True)]
    even = np.pad(array, [(0, 0)] * (array.ndim - 3) + odd, mode="edge")
    old = even.shape[-3:]
    new = tuple(n // f for n, f in zip(old, factors, strict=True))
    return function(even, (0, 0, 0), new, old, new)


@settings(max_examples=300, deadline=None)
@given(
    data=st.data(),
    dtype=st.sampled_from(IMAGE_TYPES),
    shape=SHAPES,
    channels=st.sampled_from([(), (2,)]),
    factors=FACTORS,
)
def test_halving_an_image_is_resampling_it(data, dtype, shape, channels, factors):
    finite = {"allow_nan": False, "allow_infinity": False} if dtype.startswith("float") else {}
    # Sums of the largest float64 overflow twice as early where a voxel comes twice.
    limits = {"min_value": -1e300, "max_value": 1e300} if dtype == "float64" else {}
    array = data.draw(hnp.arrays(dtype, (*channels, *shape), elements=finite | limits))
    found = halve_image(array, factors)
    assert found.dtype == array.dtype
    assert found.shape == (*channels, *halved_size(shape, factors))
    assert found.tobytes() == resampled(resample_image, array, factors).tobytes()


@settings(max_examples=200, deadline=None)
@given(
    data=st.data(), dtype=st.sampled_from(["bool", "uint8", "int32", "uint64"]), shape=SHAPES, factors=FACTORS
)
def test_halving_labels_is_resampling_them(data, dtype, shape, factors):
    array = data.draw(hnp.arrays(dtype, shape, elements=st.integers(0, 1 if dtype == "bool" else 3)))
    assert np.array_equal(halve_labels(array, factors), resampled(resample_labels, array, factors))


def test_halving_follows_the_table():
    image = np.array([[[0, 1, 5], [0, 1, 8]], [[4, 4, 5], [4, 4, 7]]], "uint8")
    assert halve_image(image, (1, 2, 2)).tolist() == [[[0, 6]], [[4, 6]]]  # 0.5, 6.5; 4, 6
    assert halve_image(image, (2, 2, 2)).tolist() == [[[2, 6]]]  # 18 / 8, 25 / 4
    assert halve_image(image, (1, 1, 2)).tolist() == [[[0, 5], [0, 8]], [[4, 5], [4, 7]]]
    assert halve_image(image, (2, 1, 1)).tolist() == [[[2, 2, 5], [2, 2, 8]]]  # 2, 2.5, 5; 2, 2.5, 7.5
    labels = np.array([[[9, 0, 5], [9, 0, 8]], [[9, 4, 8], [4, 4, 5]]], "uint64")
    assert halve_labels(labels, (2, 2, 2)).tolist() == [[[4, 5]]]  # 3 of 9, 3 of 4
    assert halve_labels(labels, (1, 2, 2)).tolist() == [[[0, 5]], [[4, 5]]]


def test_ids_of_64_bits_stay_as_they_are():
    top = 2**64 - 1
    labels = np.array([top, top - 1, top, top], "uint64").reshape(1, 1, 4)
    assert halve_labels(labels, (2, 2, 2)).ravel().tolist() == [top - 1, top]


def test_other_factors_are_refused():
    for halve in (halve_image, halve_labels):
        with pytest.raises(ValueError, match="1 or 2"):
            halve(np.zeros((4, 4, 4), "uint8"), (1, 2, 4))
