"""Pictures of slices."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mitotools.view.slices import Slice, colours, draw_slices, grey_limits, outlined, outlines


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
    picture = outlined(Slice(image, labels, ""), (0, 100), enlarge=1)
    assert picture[0, 0].tolist() == [0, 0, 0]
    assert picture[0, 1].tolist() == [127, 127, 127]
    assert picture[1, 1].tolist() == colours(np.array([3]))[0].tolist()


def test_limits_of_a_constant_image_leave_a_span():
    low, high = grey_limits([np.full((3, 3), 7)])
    assert low < high


@pytest.mark.parametrize("pixel_nm", [None, (8.0, 8.0), (30.0, 8.0)])
def test_a_montage_has_the_proportions_of_the_voxels(tmp_path, pixel_nm):
    image = np.zeros((20, 40), np.uint8)
    draw_slices(tmp_path / "a.png", [[Slice(image, None, "z 0")]], pixel_nm, columns=3)
    with Image.open(tmp_path / "a.png") as picture:
        width, height = picture.size
    stretch = 1 if pixel_nm is None else pixel_nm[0] / pixel_nm[1]
    assert (width - 8) / (height - 34) == pytest.approx(40 / (20 * stretch), rel=0.02)


def test_slices_wrap_after_the_columns(tmp_path):
    row = [Slice(np.zeros((500, 500), np.uint8), None, f"z {z}") for z in range(5)]
    draw_slices(tmp_path / "a.png", [row], None, columns=2)
    with Image.open(tmp_path / "a.png") as picture:
        width, height = picture.size
    assert (round(width / 508), round(height / 534)) == (2, 3)
