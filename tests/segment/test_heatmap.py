"""Means of a heatmap over instances: exact, whatever the blocks."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from segment.labelings import cuts, volumes

from mitotools.errors import InputError
from mitotools.segment.scores.heatmap import HeatSums, heat_of_block, merge_heat


def row(*values, dtype=np.uint8):
    return np.array([[values]], dtype)


def scores(labels, heatmap, valid=None):
    """Return the score of each id."""
    ids, found = heat_of_block(labels, heatmap, valid).scores()
    return dict(zip(ids.tolist(), found.tolist(), strict=True))


def naive(labels, heatmap, step=0):
    """The definition, voxel by voxel, in fractions; values in multiples of 1 / `step`, if given."""
    values = defaultdict(list)
    for index in np.ndindex(labels.shape):
        for value in np.atleast_1d(heatmap[(..., *index)]).tolist():
            rounded = Fraction(round(Fraction(value) * step), step) if step else Fraction(value)
            values[int(labels[index])].append(rounded)
    means = {number: float(sum(found) / len(found)) for number, found in values.items()}
    divisor = 255.0 if max(means.values()) > 1 else 1.0
    return {number: mean / divisor for number, mean in sorted(means.items()) if number}


def test_the_score_is_the_mean_over_the_instance_divided_by_255_where_values_are_no_probabilities():
    labels = row(0, 7, 7, 7, 2, 2)
    assert scores(labels, row(0, 255, 0, 30, 10, 20)) == {2: 15 / 255, 7: 95 / 255}
    assert scores(labels, row(0, 1, 0.5, 0, 0.25, 0.5, dtype=np.float32)) == {2: 0.375, 7: 0.5}


@pytest.mark.parametrize(("background", "divisor"), [(0, 1), (1, 1), (1.25, 255), (200, 255)])
def test_the_background_decides_as_well_whether_all_are_divided(background, divisor):
    heatmap = row(background, background, 1, 0.5, dtype=np.float32)
    assert scores(row(0, 0, 1, 2), heatmap) == {1: 1 / divisor, 2: 0.5 / divisor}


def test_single_voxels_above_1_divide_nothing_while_every_mean_is_at_most_1():
    assert scores(row(1, 1, 1, 2), row(3, 0, 0, 1)) == {1: 1, 2: 1}


def test_several_channels_count_as_their_mean():
    labels = row(4, 4, 9)
    heatmap = np.stack([row(10, 20, 30), row(0, 0, 60), row(0, 30, 0)])
    assert scores(labels, heatmap) == {4: 10 / 255, 9: 30 / 255}
    assert scores(labels, heatmap[:1]) == scores(labels, heatmap[0]) == {4: 15 / 255, 9: 30 / 255}


def test_voxels_that_do_not_count_are_not_in_the_mean_nor_in_the_largest():
    labels, heatmap = row(0, 1, 1, 2), row(200, 1, 200, 1)
    valid = np.array([[[False, True, False, True]]])
    assert scores(labels, heatmap, valid) == {1: 1, 2: 1}


def test_equal_means_are_equal_scores_however_many_voxels_they_are_of():
    found = scores(row(1, 1, 1, 2, 2, 2, 2, 2, 2), row(1, 1, 2, 1, 1, 2, 1, 1, 2))
    assert found[1] == found[2] == 4 / 3 / 255


def test_ids_of_64_bits_keep_their_digits():
    labels = row(2**64 - 1, 2**63, 2**63 + 1, dtype=np.uint64)
    assert scores(labels, row(1, 0, 1)) == {2**63: 0, 2**63 + 1: 1, 2**64 - 1: 1}


def test_volumes_of_which_nothing_counts_have_no_scores():
    labels = row(1, 2)
    assert scores(labels, labels, np.zeros(labels.shape, bool)) == {}
    assert merge_heat([]).scores()[0].tolist() == []


def test_fractions_of_many_blocks_are_carried():
    most = 2**26 - 1
    part = HeatSums(np.array([3], np.uint64), np.array([[1, 0, most]]))
    merged = merge_heat([part, part, part])
    assert merged.sums.tolist() == [[3, 2, 3 * most - 2 * 2**26]]
    assert merged.scores()[1].tolist() == [most / 2**26]


def test_sums_beyond_64_bits_of_fractions_are_exact():
    # As many voxels of 65535 as the largest volumes have.
    part = HeatSums(np.array([3], np.uint64), np.array([[2**33, 2**33 * 65535, 2**25]]))
    assert merge_heat([part] * 8).scores()[1].tolist() == [(65535 + 2**-34) / 255]
    assert merge_heat([part] * 8).sums[0].tolist() == [2**36, 2**36 * 65535 + 4, 0]


def test_planes_of_bright_fractions_do_not_overflow():
    labels = np.ones((2, 2**10, 2**10), np.uint8)
    heatmap = np.full((5, *labels.shape), 65535.5, np.float32)
    assert scores(labels, heatmap) == {1: 65535.5 / 255}


TYPES = {
    np.uint8: st.integers(0, 255),
    np.uint16: st.integers(0, 2**16 - 1),
    np.int8: st.integers(-128, 127),
    np.uint64: st.integers(0, 2**16),
    bool: st.booleans(),
    np.float16: st.floats(-65504, 65504, width=16),
    np.float32: st.floats(0, 1, width=32) | st.floats(-(2**16), 2**16, width=32),
    np.float64: st.floats(0, 1) | st.floats(-(2**16), 2**16),
}


@given(data=st.data(), dtype=st.sampled_from(list(TYPES)))
@settings(deadline=None, max_examples=150)
def test_scores_equal_the_definition_in_fractions_for_any_blocks(data, dtype):
    labels = data.draw(volumes())
    shape = data.draw(st.sampled_from([(), (1,), (3,)])) + labels.shape
    heatmap = data.draw(npst.arrays(dtype, shape, elements=TYPES[dtype]))
    # Every digit of whole numbers and of float16 counts.
    step = 2**26 if dtype in (np.float32, np.float64) else 0

    blocks = [
        heat_of_block(labels[region], heatmap[(..., *region)]) for region in data.draw(cuts(labels.shape))
    ]
    ids, found = merge_heat(blocks).scores()

    assert dict(zip(ids.tolist(), found.tolist(), strict=True)) == naive(labels, heatmap, step)


@given(heatmap=npst.arrays(np.float32, (2, 3, 4), elements=st.floats(0, 1, width=32)))
def test_fractions_are_off_by_little(heatmap):
    exact = naive(np.ones(heatmap.shape, np.uint8), heatmap)[1]
    assert scores(np.ones(heatmap.shape, np.uint8), heatmap)[1] == pytest.approx(exact, abs=2**-27)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([0.5, np.nan], "nan to nan"),
        ([0, np.inf], "0.0 to inf"),
        ([-np.inf, 0], "-inf to 0.0"),
        ([0, 65537], "0.0 to 65537.0"),
        ([-65537, 0], "-65537.0 to 0.0"),
    ],
)
def test_what_is_no_number_or_too_large_is_refused(values, found):
    with pytest.raises(InputError) as error:
        scores(row(1, 2), row(*values, dtype=np.float32))
    assert str(error.value) == (
        f"heatmap: expected values from -65536 to 65536, found {found}. Scale it first."
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_float16_that_is_no_number_is_refused_without_a_warning(value):
    with pytest.raises(InputError, match="expected values from -65536 to 65536"):
        scores(row(1), row(value, dtype=np.float16))


def test_a_heatmap_of_another_shape_is_refused():
    with pytest.raises(InputError, match=r"heatmap: has shape \(1, 1, 3\), the prediction \(1, 1, 2\)"):
        scores(row(1, 2), row(1, 2, 3))
