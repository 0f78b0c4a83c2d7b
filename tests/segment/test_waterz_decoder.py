import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment.affinity_maps import MIN_SIZE_VOXELS, NEAREST, ap75, blurred_phantom, raster_order

from mitotools.errors import MitotoolsError, UsageError
from mitotools.parameters import DecodeParameters
from mitotools.segment.decoders.waterz import QUANTILES, decode
from mitotools.segment.decoders.zwatershed import decode as decode_zwatershed

# Edges above 51 are kept, and those above 204 are sure; nothing is too small, and regions above 127 merge.
EASY = DecodeParameters(min_size_voxels=1, affinity_low=0.2, affinity_high=0.8, merge_affinity=0.5)
SCORINGS = ["mean", *(f"quantile-{q}{end}" for q in QUANTILES for end in ("", "-max"))]


def row(*values, axis=2):
    """A row of voxels along an axis, from the affinities between each voxel and the one before."""
    shape = [1, 1, 1]
    shape[axis] = len(values)
    maps = np.zeros((3, *shape), np.uint8)
    maps[axis] = np.reshape(values, shape)
    return maps


def two_halves(*border):
    """A slice of 4 columns: columns 0, 1 and columns 2, 3 belong together, `border` is between 1 and 2."""
    maps = np.zeros((3, 1, len(border), 4), np.uint8)
    maps[1, 0, 1:] = 255
    maps[2, 0, :, [1, 3]] = 255
    maps[2, 0, :, 2] = border
    return maps


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_affinity_joins_a_voxel_and_the_one_before(axis):
    # The first 255 would leave the volume.
    assert decode(row(255, 255, 0, 255, 255, axis=axis), EASY).ravel().tolist() == [1, 1, 2, 2, 2]


def test_voxels_without_an_affinity_above_the_low_threshold_are_background():
    assert decode(row(0, 51, 52, 51, 51), EASY).ravel().tolist() == [0, 1, 1, 0, 0]


def test_an_affinity_above_the_high_threshold_is_never_cut():
    never = replace(EASY, merge_affinity=1.0)
    assert decode(row(0, 255, 204, 255), never).ravel().tolist() == [1, 1, 2, 2]
    assert decode(row(0, 255, 205, 255), never).ravel().tolist() == [1, 1, 1, 1]


def test_regions_merge_while_the_affinity_of_their_border_is_above_the_threshold():
    assert decode(two_halves(100, 150), replace(EASY, merge_affinity=0.48)).max() == 1
    assert decode(two_halves(100, 150), replace(EASY, merge_affinity=0.5)).max() == 2


@pytest.mark.parametrize(
    ("scoring", "instances"),
    # The mean is 0.38; of four the 50th percentile is the third, 0.2, and the 75th the fourth, 0.9.
    [("mean", 2), ("quantile-50", 2), ("quantile-75", 1), ("quantile-50-max", 1)],
)
def test_the_affinity_of_a_border_is_what_scoring_says(scoring, instances):
    maps = two_halves(52, 52, 52, 230)
    assert decode(maps, replace(EASY, affinity_high=0.95, scoring=scoring)).max() == instances


@pytest.mark.parametrize("level", [51, 102, 127, 204])
@pytest.mark.parametrize("scoring", ["quantile-50", "quantile-25-max"])
def test_a_quantile_on_the_threshold_does_not_merge_and_the_next_one_does(scoring, level):
    parameters = replace(EASY, affinity_low=0.1, affinity_high=0.95, scoring=scoring)
    parameters = replace(parameters, merge_affinity=level / 255)
    assert decode(two_halves(level, level, level), parameters).max() == 2
    assert decode(two_halves(level + 1, level + 1, level + 1), parameters).max() == 1


@pytest.mark.parametrize("scoring", SCORINGS)
def test_no_scoring_has_to_be_compiled(scoring, monkeypatch):
    monkeypatch.setattr("waterz._agglomerate._jit_compile", lambda *_: pytest.fail("it would be compiled"))
    assert decode(row(255, 255, 0, 255, 255), replace(EASY, scoring=scoring)).max() == 2


def test_another_scoring_is_refused_with_the_names_of_those_that_exist():
    with pytest.raises(UsageError, match=r"scoring max: .* Choose mean, quantile-Q .* 10, 15, 20"):
        decode(row(0, 255), replace(EASY, scoring="max"))


def test_small_instances_are_dropped_and_the_others_numbered_in_raster_order():
    maps = row(0, 255, 0, 255, 255, 0, 255)
    assert decode(maps, EASY).ravel().tolist() == [1, 1, 2, 2, 2, 3, 3]
    assert decode(maps, replace(EASY, min_size_voxels=3)).ravel().tolist() == [0, 0, 1, 1, 1, 0, 0]


def test_maps_without_an_edge_have_no_instance():
    labels = decode(np.zeros((3, 2, 3, 4), np.uint8), EASY)
    assert (labels.dtype, labels.shape, labels.any()) == (np.uint8, (2, 3, 4), False)


def test_nothing_is_written_to_standard_output_and_it_works_again_afterwards(capfd):
    decode(np.asfortranarray(two_halves(100, 150)), EASY)
    print("from Python", flush=True)
    os.write(1, b"from below\n")
    assert capfd.readouterr().out == "from Python\nfrom below\n"


def test_threads_give_the_same_labels_and_leave_standard_output_alone(capfd):
    maps = np.random.default_rng(2).integers(0, 256, (3, 6, 20, 20), np.uint8)
    expected = decode(maps, EASY)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: decode(maps, EASY), range(12)))
    os.write(1, b"still here\n")
    assert expected.max() > 10
    assert all(np.array_equal(labels, expected) for labels in results)
    assert capfd.readouterr().out == "still here\n"


def test_maps_that_are_read_only_or_not_contiguous_decode_alike():
    maps = np.random.default_rng(3).integers(0, 256, (3, 4, 9, 8), np.uint8)
    other = np.asfortranarray(maps)
    other.flags.writeable = False
    assert np.array_equal(decode(other, EASY), decode(maps, EASY))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["mean", "quantile-25", "quantile-85-max"]))
def test_labels_are_numbered_by_first_voxels_and_background_has_no_affinity_above_low(seed, scoring):
    maps = np.random.default_rng(seed).integers(0, 256, (3, 3, 8, 9), np.uint8)
    labels = decode(maps, replace(EASY, affinity_low=0.6, scoring=scoring, merge_affinity=0.75))
    kept = maps > 153
    kept[0, 0] = kept[1, :, 0] = kept[2, :, :, 0] = False
    foreground = kept.any(axis=0)
    foreground[:-1] |= kept[0, 1:]
    foreground[:, :-1] |= kept[1, :, 1:]
    foreground[:, :, :-1] |= kept[2, :, :, 1:]
    assert raster_order(labels)
    assert np.array_equal(labels > 0, foreground)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_without_ties_its_watershed_is_that_of_our_own_implementation(seed):
    affinities = np.random.default_rng(seed).permutation(255)[:180].astype(np.uint8).reshape(3, 3, 4, 5)
    unmerged = replace(EASY, affinity_low=0.4, merge_affinity=1.0)
    assert np.array_equal(decode(affinities, unmerged), decode_zwatershed(affinities, unmerged))


def test_a_low_threshold_that_is_not_below_the_high_one_is_refused():
    with pytest.raises(UsageError, match=r"affinity thresholds 0.5 and 0.5: the low one must be below"):
        decode(row(0, 255), replace(EASY, affinity_low=0.5, affinity_high=0.5))


def test_a_merge_affinity_that_is_no_probability_is_refused():
    with pytest.raises(UsageError, match=r"threshold 60: not a probability"):
        decode(row(0, 255), replace(EASY, merge_affinity=60))


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "waterz", None)
    with pytest.raises(MitotoolsError, match=r"method waterz: .* pip install 'mitotools\[affinities\]'"):
        decode(row(0, 255), EASY)


def test_most_instances_of_a_noisy_phantom_are_found():
    # Borders one voxel wide blur to 0.6 and vary by 0.1, so single edges of a border are as high as those
    # within: its mean still tells.
    maps, truth = blurred_phantom(NEAREST)
    labels = decode(maps, DecodeParameters(min_size_voxels=MIN_SIZE_VOXELS))
    assert ap75(labels, truth) > 0.9
