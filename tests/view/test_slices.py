"""Pictures of slices."""

from __future__ import annotations

import numpy as np
import pytest

from mitotools.view.slices import (
    UNNAMED,
    Layer,
    Palette,
    Slice,
    as_greys,
    colours,
    grey_limits,
    outlined,
    outlines,
)


def test_an_outline_lies_inside_its_instance_and_on_both_sides_of_a_contact():
    labels = np.array(
        [
            [0, 0, 0, 0, 0, 0, 0],
            [0, 1, 1, 1, 2, 2, 2],
            [0, 1, 1, 1, 2, 2, 2],
            [0, 1, 1, 1, 2, 2, 2],
            [0, 0, 0, 0, 0, 0, 0],
        ]
    )
    expected = np.array(
        [
            [0, 0, 0, 0, 0, 0, 0],
            [0, 1, 1, 1, 1, 1, 1],
            [0, 1, 0, 1, 1, 0, 0],
            [0, 1, 1, 1, 1, 1, 1],
            [0, 0, 0, 0, 0, 0, 0],
        ],
        dtype=bool,
    )
    assert np.array_equal(outlines(labels, thickness=1), expected)


def test_a_thicker_outline_grows_inwards():
    labels = np.zeros((9, 9), int)
    labels[1:8, 1:8] = 4
    rim = outlines(labels, thickness=2)
    assert rim.sum() == 49 - 9
    assert not rim[labels == 0].any()


def test_an_instance_at_the_border_is_not_outlined_there():
    assert not outlines(np.ones((4, 4), int), thickness=2).any()


def test_an_id_has_the_same_colour_everywhere_and_neighbouring_ids_differ():
    ids = np.arange(1, 200)
    chosen = colours(ids).astype(int)
    assert np.array_equal(colours(ids[50:60]), chosen[50:60])
    assert np.abs(np.diff(chosen, axis=0)).sum(axis=1).min() > 60


def test_colours_of_huge_ids_are_colours():
    assert colours(np.array([2**64 - 1], np.uint64)).shape == (1, 3)


def test_neighbours_beyond_2_53_differ_and_small_ids_turn_by_the_golden_ratio():
    huge = colours(np.uint64(2**63) + np.arange(200, dtype=np.uint64)).astype(int)
    assert np.abs(np.diff(huge, axis=0)).sum(axis=1).min() > 60
    # Hue .1 is 36 degrees, .718... is 258: in the blue third, with no green.
    assert colours(np.array([0, 1])).tolist() == [[255, 185, 80], [133, 80, 255]]


def test_grey_values_are_stretched_and_instances_coloured():
    image = np.array([[0, 50], [100, 200]], np.uint8)
    labels = np.array([[0, 0], [0, 3]])
    picture = outlined(Slice(image, [Layer(labels)], ""), (0, 100), (2, 2))
    assert picture[0, 0].tolist() == [0, 0, 0]
    assert picture[0, 1].tolist() == [127, 127, 127]
    assert picture[1, 1].tolist() == colours(np.array([3]))[0].tolist()


def test_limits_of_a_constant_image_leave_a_span():
    low, high = grey_limits([np.full((3, 3), 7)])
    assert low < high


def test_a_palette_gives_each_id_the_colour_of_its_kind_and_the_others_grey():
    palette = Palette.of({7: "hit", 2**40: "missed"}, {"hit": "#FF0000", "missed": "#0000FF"})
    chosen = palette[np.array([2**40, 7, 8, 2**41], np.uint64)]
    assert chosen.tolist() == [[0, 0, 255], [255, 0, 0], list(UNNAMED), list(UNNAMED)]
    assert Palette.of({}, {})[np.array([3])].tolist() == [list(UNNAMED)]


def test_a_dotted_layer_leaves_gaps_through_which_the_one_below_is_seen():
    labels = np.zeros((40, 40), int)
    labels[4:36, 4:36] = 1
    below, above = (Palette.of({1: "it"}, {"it": colour}) for colour in ("#FF0000", "#0000FF"))
    piece = Slice(np.zeros((40, 40)), [Layer(labels, below), Layer(labels, above, dotted=True)], "")
    picture = outlined(piece, (0, 1), (40, 40))
    rim = picture[outlines(labels, thickness=2)]
    red, blue = ((rim == colour).all(axis=1).mean() for colour in ((255, 0, 0), (0, 0, 255)))
    assert red + blue == 1
    assert 0.4 < red < 0.6


@pytest.mark.parametrize("steps", [(0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (2, -1)])
def test_a_dotted_edge_of_any_direction_is_drawn_in_part_wherever_it_lies(steps):
    down, right = np.indices((120, 120))
    for shift in range(0, 16, 3):
        labels = (down * steps[0] + right * steps[1] > 60 * sum(steps) + shift).astype(int)
        palette = Palette.of({1: "it"}, {"it": "#FF0000"})
        piece = Slice(np.zeros((120, 120)), [Layer(labels, palette, dotted=True)], "")
        rim = outlines(labels, thickness=2)
        share = (outlined(piece, (0, 1), (120, 120))[rim] == (255, 0, 0)).all(axis=1).mean()
        assert 0.3 < share < 0.7


def test_an_outline_of_slices_that_are_stretched_is_as_thick_in_all_directions():
    labels = np.zeros((20, 80), int)
    labels[5:15, 20:60] = 1
    picture = outlined(Slice(np.zeros((20, 80)), [Layer(labels)], ""), (0, 1), (80, 80))
    rim = picture.any(axis=2)
    assert rim.sum() == 40 * 40 - 36 * 36


def test_the_instance_that_is_meant_is_outlined_twice_as_thick():
    labels = np.zeros((60, 60), int)
    labels[5:25, 5:25], labels[35:55, 35:55] = 1, 2
    picture = outlined(Slice(np.zeros((60, 60)), [Layer(labels, meant=2)], ""), (0, 1), (60, 60))
    rim = picture.any(axis=2)
    assert (rim[:30].sum(), rim[30:].sum()) == (20**2 - 16**2, 20**2 - 12**2)


def test_a_slice_that_is_made_smaller_shows_means():
    image = np.array([[0, 100, 200, 200], [100, 200, 200, 200]], np.uint8)
    assert outlined(Slice(image, (), ""), (0, 255), (1, 2))[0, :, 0].tolist() == [100, 200]


def test_what_is_no_number_counts_for_nothing_and_is_black():
    image = np.array([[0.0, 50.0, 100.0], [np.nan, np.inf, -np.inf]])
    low, high = grey_limits([image])
    assert 0 <= low < high <= 100
    assert as_greys(image, (0, 100)).tolist() == [[0, 127, 255], [0, 255, 0]]


@pytest.mark.parametrize("image", [np.full((2, 2), np.nan), np.full((2, 2), 2.0**60), np.zeros((2, 2), bool)])
def test_an_image_without_contrast_is_black(image):
    assert not as_greys(image, grey_limits([image])).any()


def test_a_mask_is_black_and_white():
    image = np.array([[False, True], [True, False]])
    assert as_greys(image, grey_limits([image])).tolist() == [[0, 255], [255, 0]]
