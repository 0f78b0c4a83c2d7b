"""Plots of trainings: what they show of the rows, and that these do no harm."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mitotools.view.curves import MOST_VECTOR_POINTS, draw_curves, smoothed, write_curves

SCORES = [
    {"iteration": 50, "ap75": 0.25, "jaccard": 0.5, "method": "mw", "foreground": 0.8},
    {"iteration": 100, "ap75": 0.75, "jaccard": 0.875, "method": "mw", "foreground": 0.65},
]


def steps(losses):
    return [
        {"iteration": number, "loss": loss, "learning_rate": number / 1000}
        for number, loss in enumerate(losses, start=1)
    ]


FALLING = steps(np.linspace(2, 1, 100))


def lines(panel):
    return {line.get_label(): [list(values) for values in line.get_data()] for line in panel.lines}


def test_every_number_is_drawn_at_its_iteration():
    loss, rate, scores = draw_curves(steps([3.0, 2.0, 2.5]), SCORES).axes
    assert lines(loss)["each iteration"] == [[1, 2, 3], [3.0, 2.0, 2.5]]
    assert [line.get_ydata().tolist() for line in rate.lines] == [[0.001, 0.002, 0.003]]
    assert lines(scores) == {"AP-75": [[50, 100], [0.25, 0.75]], "Jaccard": [[50, 100], [0.5, 0.875]]}
    assert (scores.get_ylim(), scores.get_xlabel()) == ((0, 1), "Iteration")


def test_without_a_validation_there_are_no_scores():
    assert [axes.get_ylabel() for axes in draw_curves(FALLING, []).axes] == ["Loss", "Learning rate"]


@pytest.mark.parametrize(
    ("losses", "scale"),
    [([1.0, 10.0], "linear"), ([1.0, 10.5], "log"), ([0.0, 50.0], "linear"), ([-1.0, 50.0], "linear")],
)
def test_a_loss_that_spans_more_than_a_decade_has_a_logarithmic_axis(losses, scale):
    assert draw_curves(steps(losses), []).axes[0].get_yscale() == scale


def test_the_smoothed_loss_takes_in_a_twentieth_of_the_iterations():
    loss = draw_curves(FALLING, []).axes[0]
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["each iteration", "mean of 5"]
    first = (2 + (2 - 1 / 99) + (2 - 2 / 99)) / 3  # of the first three, as there are no two before them
    assert lines(loss)["mean of 5"][1][0] == pytest.approx(first)


def test_running_means_take_in_what_there_is_at_the_ends():
    found = smoothed(np.array([1.0, 2.0, 6.0, 4.0]), 3)
    assert found.tolist() == [(1 + 2) / 2, (1 + 2 + 6) / 3, (2 + 6 + 4) / 3, (6 + 4) / 2]
    assert smoothed(np.array([1.0, 2.0]), 1).tolist() == [1.0, 2.0]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30), st.integers(0, 20))
def test_running_means_are_the_means_of_windows(values, half):
    expected = [np.mean(values[max(i - half, 0) : i + half + 1]) for i in range(len(values))]
    assert smoothed(np.array(values), 2 * half + 1) == pytest.approx(np.array(expected), abs=1e-9)


def test_no_two_curves_of_a_panel_look_alike_even_in_grey():
    for panel in draw_curves(FALLING, SCORES).axes:
        styles = [(line.get_color(), line.get_linestyle(), line.get_linewidth()) for line in panel.lines]
        assert len({style[0] for style in styles}) == len(styles)
        assert len({style[1:] for style in styles}) == len(styles)


def test_a_single_iteration_is_a_point_since_a_line_would_not_show():
    assert [line.get_marker() for line in draw_curves(steps([1.0]), []).axes[0].lines] == ["o", "o"]
    assert {line.get_marker() for line in draw_curves(FALLING, []).axes[0].lines} == {""}


def test_a_training_without_iterations_says_so():
    loss = draw_curves([], []).axes[0]
    assert [text.get_text() for text in loss.texts] == ["no iterations"]


@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_the_same_rows_give_the_same_bytes(tmp_path, suffix):
    for name in ("one", "other"):
        write_curves(tmp_path / name, suffix, FALLING, SCORES)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_picture_is_one(tmp_path):
    write_curves(tmp_path / "curves", ".png", FALLING, SCORES)
    with Image.open(tmp_path / "curves") as image:
        assert image.format == "PNG"
        assert min(image.size) > 800


def test_a_page_has_a_table_of_the_validations_and_loads_nothing(tmp_path):
    write_curves(tmp_path / "page", ".html", FALLING, SCORES)
    page = (tmp_path / "page").read_text("utf-8")
    assert re.findall("<th>(.*?)</th>", page) == ["iteration", "AP-75", "Jaccard", "method", "foreground"]
    assert re.findall("<td>(.*?)</td>", page)[5:] == ["100", "0.75", "0.875", "mw", "0.65"]
    assert "<script" not in page
    assert re.findall(r'(?:src|href)="(?!#)(.*?)"', page) == []


def test_a_page_without_validations_has_no_table(tmp_path):
    write_curves(tmp_path / "page", ".html", FALLING, [])
    assert "<table" not in (tmp_path / "page").read_text("utf-8")


def test_texts_in_a_page_are_no_markup(tmp_path):
    write_curves(tmp_path / "page", ".html", FALLING, [{**SCORES[0], "<b>": "<script>"}])
    page = (tmp_path / "page").read_text("utf-8")
    assert "<th>&lt;b&gt;</th>" in page
    assert "<td>&lt;script&gt;</td>" in page


def test_very_long_curves_are_pixels_in_a_page(tmp_path):
    write_curves(tmp_path / "page", ".html", steps(np.full(MOST_VECTOR_POINTS + 1, 0.5)), [])
    page = (tmp_path / "page").read_text("utf-8")
    assert "<image" in page
    assert len(page) < 200_000
