import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from skimage.measure import label as components_26
from skimage.segmentation import watershed

from mitotools.errors import InputError, UsageError
from mitotools.parameters import DecodeParameters
from mitotools.segment.decoders import DECODERS, decoder
from mitotools.segment.decoders.watershed import decode

GOLDEN = Path(__file__).parent / "golden" / "decode"
RUNS = [
    (volume, run)
    for volume, entry in json.loads((GOLDEN / "expected.json").read_text()).items()
    for run in entry["runs"]
]

# Seeds are above 242, the foreground is above 127, nothing is too small.
EASY = DecodeParameters(seed_foreground=0.95, foreground=0.5, min_size_voxels=1, min_seed_voxels=0)


def plane(*rows):
    """A mask of one slice, (1, 1, Y, X)."""
    return np.array(rows, np.uint8)[None, None]


def decoded(maps, **parameters):
    """The only slice of the labels, as lists."""
    return decode(maps, replace(EASY, **parameters))[0].tolist()


def golden(volume, run):
    """Maps, parameters and labels of a golden run."""
    with h5py.File(GOLDEN / f"{volume}.h5") as file:
        maps, labels = file["maps"][...], file[run["dataset"]][...]
    parameters = DecodeParameters(
        seed_foreground=run["seed_foreground"],
        seed_contour=run["seed_contour"],
        foreground=run["foreground"],
        min_size_voxels=run["min_size"],
        min_seed_voxels=run["min_seed"],
    )
    return maps, parameters, labels


def test_the_highest_value_is_flooded_first():
    # The left front waits at 200 and the right one at 180: the left one takes the saddle.
    assert decoded(plane([250, 200, 150, 180, 250])) == [[1, 1, 1, 2, 2]]
    assert decoded(plane([250, 180, 150, 200, 250])) == [[1, 1, 2, 2, 2]]


def test_among_equal_values_the_one_that_entered_first_is_taken_first():
    # The fronts advance by turns, the left one first. Last in, first out would give the left one four voxels.
    assert decoded(plane([250, 150, 150, 150, 150, 250])) == [[1, 1, 1, 2, 2, 2]]
    assert decoded(plane([250, 150, 150, 150, 250])) == [[1, 1, 1, 2, 2]]


def test_a_voxel_above_the_current_level_is_taken_next():
    # From 140 the left front climbs to the plateau of 200, and floods it before the right 140 has its turn.
    assert decoded(plane([250, 140, 200, 200, 140, 250])) == [[1, 1, 1, 1, 2, 2]]


def test_marker_voxels_enter_in_raster_order_not_marker_by_marker():
    # Marker 1 is the diagonal pair at the right. Marker 2 enters between its voxels, so it reaches 150 first.
    mask = plane([0, 0, 0, 250], [250, 150, 250, 0])
    assert decoded(mask) == [[0, 0, 0, 1], [2, 2, 1, 0]]


def test_markers_connect_by_corners_and_floods_only_by_faces():
    assert decoded(plane([250, 0], [0, 250])) == [[1, 0], [0, 1]]
    assert decoded(plane([250, 0], [0, 150])) == [[1, 0], [0, 0]]


def test_the_flood_crosses_slices_both_ways():
    mask = np.array([150, 250, 150], np.uint8).reshape(1, 3, 1, 1)
    assert decode(mask, EASY).ravel().tolist() == [1, 1, 1]


def test_foreground_that_no_marker_reaches_becomes_background():
    assert decoded(plane([150, 250, 150, 0, 150])) == [[1, 1, 1, 0, 0]]


def test_the_flood_does_not_wrap_around_the_end_of_a_row_or_a_slice():
    mask = np.zeros((1, 2, 2, 3), np.uint8)
    mask[0, 0, 0, 2] = 250
    mask[0, 0, 1, 0] = mask[0, 1, 0, 0] = mask[0, 1, 1, 2] = 150
    expected = np.zeros((2, 2, 3), int)
    expected[0, 0, 2] = 1
    assert decode(mask, EASY).tolist() == expected.tolist()


def test_every_threshold_is_strict():
    mask = [204, 205, 216, 217, 217, 217, 205, 204]
    contour = [0, 0, 0, 153, 152, 153, 0, 0]
    parameters = replace(DecodeParameters(), min_size_voxels=1, min_seed_voxels=1)
    maps = np.array([mask, contour], np.uint8).reshape(2, 1, 1, 8)
    assert decode(maps, parameters).ravel().tolist() == [0, 1, 1, 1, 1, 1, 1, 0]
    maps[1, 0, 0, 4] = 153
    assert not decode(maps, parameters).any()
    maps[:, 0, 0, 4] = 216, 152
    assert not decode(maps, parameters).any()


def test_a_contour_splits_the_marker_and_does_not_slow_the_flood():
    maps = np.array([[250, 250, 250, 250, 250], [0, 255, 255, 0, 0]], np.uint8).reshape(2, 1, 1, 5)
    assert decoded(maps) == [[1, 1, 2, 2, 2]]
    assert decoded(maps[:1]) == [[1, 1, 1, 1, 1]]


def test_marker_voxels_below_the_foreground_are_dropped_and_still_give_the_number():
    # The marker at the left begins with a voxel outside the foreground, the earliest of all.
    mask = plane([150, 0, 0, 250], [250, 0, 0, 0])
    assert decoded(mask, seed_foreground=0.5, foreground=0.9) == [[0, 0, 0, 2], [1, 0, 0, 0]]


def test_marker_voxels_below_the_foreground_count_for_the_size_of_the_marker_only():
    mask = plane([150, 0, 0, 250], [250, 0, 0, 0])
    low_seeds = {"seed_foreground": 0.5, "foreground": 0.9}
    assert decoded(mask, **low_seeds, min_seed_voxels=2) == [[0, 0, 0, 0], [1, 0, 0, 0]]
    assert decoded(mask, **low_seeds, min_size_voxels=2) == [[0, 0, 0, 0], [0, 0, 0, 0]]


def test_a_marker_without_any_foreground_leaves_no_gap_in_the_numbers():
    assert decoded(plane([150, 0, 250]), seed_foreground=0.5, foreground=0.9, min_size_voxels=0) == [
        [0, 0, 1]
    ]


def test_a_marker_dropped_as_too_small_leaves_its_foreground_to_the_others():
    mask = plane([250, 150, 150, 250, 250, 0, 250])
    assert decoded(mask, min_seed_voxels=2) == [[1, 1, 1, 1, 1, 0, 0]]


def test_instances_of_exactly_the_minimum_size_stay():
    mask = plane([250, 0, 250, 150, 0, 250, 150, 150])
    assert decoded(mask, min_size_voxels=2) == [[0, 0, 1, 1, 0, 2, 2, 2]]


@pytest.mark.parametrize("value", [0, 150])
def test_maps_without_a_seed_give_no_instance(value):
    labels = decode(np.full((2, 2, 3, 4), value, np.uint8), EASY)
    assert labels.shape == (2, 3, 4)
    assert labels.dtype == np.uint8
    assert not labels.any()


def test_maps_that_are_read_only_or_not_contiguous_decode_alike():
    maps = np.random.default_rng(3).choice(np.array([0, 130, 200, 250], np.uint8), (2, 4, 9, 11))
    expected = decode(maps, EASY)
    reversed_axes = np.asfortranarray(maps)
    reversed_axes.flags.writeable = False
    maps.flags.writeable = False
    assert expected.max() > 1
    assert np.array_equal(decode(maps, EASY), expected)
    assert np.array_equal(decode(reversed_axes, EASY), expected)


@pytest.mark.parametrize(
    ("volume", "run"), RUNS, ids=lambda value: value if isinstance(value, str) else value["dataset"]
)
def test_golden_labels_are_met_bit_for_bit(volume, run):
    maps, parameters, expected = golden(volume, run)
    labels = decode(maps, parameters)
    assert np.array_equal(labels, expected)
    assert labels.max() == run["instances"]
    assert np.count_nonzero(labels) == run["labelled"]


@pytest.mark.parametrize(
    "run", [run for volume, run in RUNS if volume == "phantom"], ids=lambda run: run["dataset"]
)
def test_scikit_image_floods_the_phantom_nearly_alike(run):
    maps, parameters, _ = golden("phantom", run)
    parameters = replace(parameters, min_size_voxels=1, min_seed_voxels=0)
    mask, contour = maps
    markers = components_26(
        (mask > int(255 * run["seed_foreground"])) & (contour < int(255 * run["seed_contour"]))
    )
    foreground = mask > int(255 * run["foreground"])
    theirs = watershed(-mask.astype(float), markers, mask=foreground)
    ours = decode(maps, parameters)
    assert abs(int(ours.max()) - theirs.max()) <= 0.02 * theirs.max()
    assert np.mean((ours == theirs)[foreground]) >= 0.98


def test_every_decoder_of_the_table_is_found_by_its_name():
    for entry in DECODERS:
        assert decoder(entry.name) is entry


@pytest.mark.parametrize(
    ("method", "shape", "needed"),
    [
        ("mw", (0, 2, 2, 2), "1 (mask) or 2 (mask, contour)"),
        ("cc", (3, 2, 2, 2), "1 (mask) or 2 (mask, contour)"),
        ("bcd", (2, 2, 2, 2), "3 (mask, contour, distance)"),
        ("iou", (2, 2, 2, 2), "1 (mask)"),
        ("waterz", (2, 2, 2, 2), "3 (z, y, x)"),
        ("zwatershed", (4, 2, 2, 2), "3 (z, y, x)"),
        ("multicut", (3, 2, 2, 2), "1 (mask) or 2 (mask, contour)"),
    ],
)
def test_a_wrong_number_of_channels_is_refused_with_the_names_of_the_right_ones(method, shape, needed):
    words = f"decoder {method}: reads this many channels: {needed}; the maps have {shape[0]}"
    with pytest.raises(InputError, match=re.escape(words)):
        decoder(method).decode(np.zeros(shape, np.uint8), EASY)


@pytest.mark.parametrize("method", ["mw", "mutex"])
@pytest.mark.parametrize("maps", [np.zeros((2, 2, 2), np.uint8), np.zeros((1, 2, 2, 2), np.float32)])
def test_maps_of_another_type_or_without_channels_are_refused(method, maps):
    with pytest.raises(InputError, match="needs uint8 maps with axes c, z, y, x"):
        decoder(method).decode(maps, EASY)


def test_an_unknown_method_is_refused_with_the_names_of_the_known_ones():
    with pytest.raises(UsageError, match="Choose one of mw, cc"):
        decoder("magic")


def test_the_names_of_the_decoders_are_read_without_any_array_library():
    code = (
        "import sys; from mitotools.segment.decoders import DECODERS; "
        "sys.exit(not DECODERS or any(name in sys.modules for name in ('numpy', 'numba', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
