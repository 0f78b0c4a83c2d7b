"""Slices side by side."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mitotools.view.montage import draw_slices, shown_pixels
from mitotools.view.slices import Slice


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


def slices(height, width, count=1):
    return [Slice(np.zeros((height, width), np.uint8), (), f"z {z}") for z in range(count)]


@pytest.mark.parametrize("pixel_nm", [None, (8.0, 8.0), (30.0, 8.0)])
def test_a_montage_has_the_proportions_of_the_voxels(tmp_path, pixel_nm):
    draw_slices(tmp_path / "a.png", [("", slices(20, 40))], pixel_nm, 3, 1024)
    width, height = size_of(tmp_path / "a.png")
    stretch = 1 if pixel_nm is None else pixel_nm[0] / pixel_nm[1]
    assert (width - 8) / (height - 34) == pytest.approx(40 / (20 * stretch), rel=0.02)


def test_slices_wrap_after_the_columns_and_the_name_of_a_row_stands_above_it_once(tmp_path):
    for name, more in (("", 0), ("labels.h5", 26)):
        draw_slices(tmp_path / "a.png", [(name, slices(500, 500, 5))], None, 2, 1024)
        assert size_of(tmp_path / "a.png") == (2 * 508, 3 * 534 + more)


def test_no_slice_is_longer_than_asked_for():
    assert shown_pixels((4096, 2048), None, 1024) == (1024, 512)
    assert shown_pixels((100, 300), (30.0, 10.0), 1024) == (600, 600)
    assert shown_pixels((100, 100), None, 16) == (16, 16)


def test_letters_and_bar_grow_with_the_slices(tmp_path):
    """Of slices of 1280 pixels, twice UNIT_PIXELS: what stands around is twice as large, the bar 12 thick."""
    draw_slices(tmp_path / "a.png", [("", slices(1280, 1280))], (10.0, 10.0), 1, 2000, {"hit": "#00FF00"})
    assert size_of(tmp_path / "a.png") == (1280 + 16, 1280 + 2 * 34 + 2 * 34)
    with Image.open(tmp_path / "a.png") as picture:
        column = np.asarray(picture.convert("L"))[52 : 52 + 1280, 8 + 60]
    assert np.count_nonzero(column[-40:] == 255) in (11, 12)


def test_a_legend_stands_below_the_slices_and_wraps_where_they_are_narrow(tmp_path):
    heights = []
    legends = (None, {"hit": "#00FF00"}, {f"false positive {i}": f"#00FF0{i}" for i in range(6)})
    for legend in legends:
        draw_slices(tmp_path / "a.png", [("", slices(480, 480))], None, 1, 1024, legend)
        with Image.open(tmp_path / "a.png") as picture:
            heights.append(picture.size[1])
            bottom = np.asarray(picture.convert("RGB"))[514:]
        if legend is not None:
            assert (bottom == (0, 255, 0)).all(axis=2).any()
            assert (bottom[:, -4:] == 255).all()  # nothing is cut
    # Two entries of 16 letters stand in 488 pixels: three lines.
    assert np.diff(heights).tolist() == [34, 2 * 22]
