"""Pictures of slices."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mitotools.view.slices import (
    UNNAMED,
    Layer,
    Palette,
    Slice,
    as_greys,
    colours,
    draw_slices,
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


def test_grey_values_are_stretched_and_instances_coloured():
    image = np.array([[0, 50], [100, 200]], np.uint8)
    labels = np.array([[0, 0], [0, 3]])
    picture = outlined(Slice(image, [Layer(labels)], ""), (0, 100), enlarge=1)
    assert picture[0, 0].tolist() == [0, 0, 0]
    assert picture[0, 1].tolist() == [127, 127, 127]
    assert picture[1, 1].tolist() == colours(np.array([3]))[0].tolist()


def test_limits_of_a_constant_image_leave_a_span():
    low, high = grey_limits([np.full((3, 3), 7)])
    assert low < high


@pytest.mark.parametrize("pixel_nm", [None, (8.0, 8.0), (30.0, 8.0)])
def test_a_montage_has_the_proportions_of_the_voxels(tmp_path, pixel_nm):
    image = np.zeros((20, 40), np.uint8)
    draw_slices(tmp_path / "a.png", [[Slice(image, (), "z 0")]], pixel_nm, columns=3)
    with Image.open(tmp_path / "a.png") as picture:
        width, height = picture.size
    stretch = 1 if pixel_nm is None else pixel_nm[0] / pixel_nm[1]
    assert (width - 8) / (height - 34) == pytest.approx(40 / (20 * stretch), rel=0.02)


def test_slices_wrap_after_the_columns(tmp_path):
    row = [Slice(np.zeros((500, 500), np.uint8), (), f"z {z}") for z in range(5)]
    draw_slices(tmp_path / "a.png", [row], None, columns=2)
    with Image.open(tmp_path / "a.png") as picture:
        width, height = picture.size
    assert (round(width / 508), round(height / 534)) == (2, 3)


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
    picture = outlined(piece, (0, 1), enlarge=1)
    rim = picture[outlines(labels, thickness=2)]
    red, blue = ((rim == colour).all(axis=1).mean() for colour in ((255, 0, 0), (0, 0, 255)))
    assert red + blue == 1
    assert 0.4 < red < 0.6


def test_a_legend_stands_below_the_slices(tmp_path):
    heights = []
    for legend in (None, {"hit": "#00FF00", "missed": "#FFFF00"}):
        draw_slices(tmp_path / "a.png", [[Slice(np.zeros((500, 500), np.uint8), (), "")]], None, 1, legend)
        with Image.open(tmp_path / "a.png") as picture:
            heights.append(picture.size[1])
            bottom = np.asarray(picture.convert("RGB"))[-30:].reshape(-1, 3)
    assert heights[1] - heights[0] == 34
    assert (bottom == (0, 255, 0)).all(axis=1).any()


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
