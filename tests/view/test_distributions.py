"""Plots of sizes: what they show, and that names of tables do no harm."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from mitotools.segment.measures.size_distribution import size_distribution
from mitotools.view.distribution_table import HEADER, numbers_table, words
from mitotools.view.distributions import (
    MOST_VECTOR_POINTS,
    draw_distributions,
    volume_edges,
    write_distributions,
)


def table(name="a.tsv", count=200, with_lengths=True):
    rng = np.random.default_rng(count)
    columns = {"volume_um3": 0.1 + rng.exponential(0.5, count), "touches_border": rng.random(count) < 0.1}
    if with_lengths:
        columns["skeleton_length_um"] = columns["volume_um3"] * 10
    return size_distribution(name, columns)


def texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


class Cells(HTMLParser):
    """The text of a page's cells, and every address in it."""

    def __init__(self, page):
        super().__init__()
        self.cells, self.addresses, self.tags = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_data(self, data):
        if self.tags and self.tags[-1] in ("td", "th") and data.strip():
            self.cells.append(data)


def test_lengths_have_a_side_of_their_own_where_there_are_any():
    assert len(draw_distributions([table(), table("b", with_lengths=False)]).axes) == 2
    assert len(draw_distributions([table(with_lengths=False)]).axes) == 1


def test_axes_name_their_units():
    volumes, lengths = draw_distributions([table()]).axes
    assert (volumes.get_xlabel(), volumes.get_xscale()) == ("Volume (µm³)", "log")
    assert (lengths.get_xlabel(), lengths.get_ylabel()) == ("Length of the skeleton (µm)", "Volume (µm³)")
    assert (lengths.get_xscale(), lengths.get_yscale()) == ("log", "log")


def test_bars_of_a_table_add_up_to_all_of_its_instances():
    volumes = draw_distributions([table(count=300, with_lengths=False)]).axes[0]
    shares, edges, _ = volumes.patches[0].get_data()
    assert (shares * np.diff(np.log10(edges))).sum() == pytest.approx(1)


def test_the_fits_that_are_drawn_are_those_of_the_table():
    drawn = table()
    volumes, lengths = draw_distributions([drawn]).axes
    x, y = volumes.lines[0].get_data()
    assert x[0] == drawn.exponential.smallest_um3
    assert np.array_equal(y, drawn.exponential.density_per_decade(x))
    x, y = lengths.lines[0].get_data()
    assert y == pytest.approx(drawn.line.volumes_um3(np.array(x)))


def test_no_two_of_seven_tables_look_alike_even_in_grey():
    figure = draw_distributions([table(f"{n}.tsv", 20) for n in range(7)])
    handles = figure.legends[0].legend_handles
    assert len({handle.get_color() for handle in handles}) == 7
    assert len({(handle.get_marker(), str(handle._dash_pattern)) for handle in handles}) == 7


def test_the_legend_says_the_fitted_numbers():
    volumes = np.array([1.0, 10, 10, 10, 10, 10, 10, 10, 10, 100])
    found = size_distribution("a.tsv", {"volume_um3": volumes, "skeleton_length_um": volumes})
    # 8 * 9 + 99 um3 above the smallest, 9 events; quantiles of 18 degrees of freedom: 31.526 and 8.2307.
    assert words(found) == "a.tsv: n = 10, mean 19 µm³ (10.8 to 41.6), slope 1.00 (r = 1.00)"
    row = dict(zip(HEADER, numbers_table([found])[0], strict=False))
    assert (row["Instances"], row["Mean above it (µm³)"], row["r"]) == ("10", "19", "1.000")


def test_nothing_is_fitted_to_few_instances_and_the_legend_says_so(tmp_path):
    few = table(count=9)
    assert words(few) == "a.tsv: n = 9, too few to fit"
    volumes, lengths = draw_distributions([few]).axes
    assert len(volumes.lines) == len(lengths.lines) == 0
    write_distributions(tmp_path / "a", ".html", [few])
    page = (tmp_path / "a").read_text("utf-8")
    assert "Mean above it (µm³)" not in Cells(page).cells
    assert "maximum likelihood" not in page
    assert "too few" not in words(table(count=10))


def test_numbers_between_the_powers_of_ten_are_written_as_these_are():
    volumes = np.linspace(0.15, 0.45, 20)
    figure = draw_distributions([size_distribution("a", {"volume_um3": volumes})])
    figure.draw_without_rendering()
    axis = figure.axes[0].xaxis
    written = {tick.label1.get_text() for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())}
    assert {"0.2", "0.3", "0.4"} <= written <= {"", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "1"}


@pytest.mark.parametrize(
    "name", ["_hidden", "$x^2$", "$unbalanced", "<b>&\"'.tsv", "日本.tsv", "a\nb\x01", "\udcff", ""]
)
@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_any_name_of_a_table_is_shown_as_it_is(tmp_path, name, suffix):
    drawn = [table(name, 12)]
    write_distributions(tmp_path / "a", suffix, drawn)
    shown = {"a\nb\x01": "a\\nb\\x01", "\udcff": "\\udcff"}.get(name, name)
    figure = draw_distributions(drawn)
    assert texts(figure)[0].startswith(f"{shown}: n = 12")
    assert not figure.legends[0].get_texts()[0].get_parse_math()
    if suffix == ".html":
        found = Cells((tmp_path / "a").read_text("utf-8"))
        assert "b" not in found.tags
        assert "".join(found.cells[len(HEADER) :]).startswith(shown)


@pytest.mark.parametrize("with_lengths", [True, False])
def test_a_page_has_columns_of_a_regression_where_there_is_one(tmp_path, with_lengths):
    write_distributions(tmp_path / "a", ".html", [table(with_lengths=with_lengths)])
    page = (tmp_path / "a").read_text("utf-8")
    assert ("Slope" in Cells(page).cells) is with_lengths
    assert ("The regression is" in page) is with_lengths


def test_a_long_name_loses_its_middle_in_the_figure_only():
    name = "a" * 100 + "z" * 100
    assert words(table(name, 5)).startswith("a" * 19 + "…" + "z" * 19 + ": n = 5")
    assert numbers_table([table(name, 5)])[0][0] == name


@pytest.mark.parametrize("suffix", [".png", ".html"])
@pytest.mark.parametrize("volumes", [[], [0.3], [0.3, 0.5], [0.3] * 50], ids=str)
def test_tables_with_little_in_them_are_drawn(tmp_path, volumes, suffix):
    few = size_distribution(
        "few", {"volume_um3": np.array(volumes), "skeleton_length_um": np.ones(len(volumes))}
    )
    write_distributions(tmp_path / "alone", suffix, [few])
    write_distributions(tmp_path / "among", suffix, [few, table(), few])
    assert (tmp_path / "alone").stat().st_size > 1000


def test_a_page_loads_nothing(tmp_path):
    write_distributions(tmp_path / "a.html", ".html", [table(count=MOST_VECTOR_POINTS + 1)])
    page = (tmp_path / "a.html").read_text("utf-8")
    assert not re.search(r"<script|@import|url\((?!#)", page)
    assert page.count("<!DOCTYPE") == 1
    addresses = Cells(page).addresses
    assert any(address.startswith("data:image/png") for address in addresses)
    assert all(address.startswith(("#", "data:")) for address in addresses)


@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_the_same_tables_give_the_same_bytes(tmp_path, suffix):
    before = dict(mpl.rcParams)
    for name in "ab":
        write_distributions(tmp_path / name, suffix, [table(), table("b", 50)])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert dict(mpl.rcParams) == before


def test_a_picture_is_a_png(tmp_path):
    write_distributions(tmp_path / "a", ".png", [table()])
    with Image.open(tmp_path / "a") as picture:
        assert picture.format == "PNG"
        assert picture.width > picture.height > 500


def test_bins_are_even_on_a_logarithmic_axis_and_more_for_more_instances():
    edges = volume_edges(np.array([0.01, 1.0]), 100)
    assert len(edges) == 11
    assert np.allclose(np.diff(np.log10(edges)), 2.1 / 10)  # a twentieth of a decade beyond both ends
    assert len(volume_edges(np.array([1.0]), 1)) == 5
    assert len(volume_edges(np.array([1.0]), 10**6)) == 41


def test_no_line_stands_for_a_table_without_a_fit_and_the_reason_is_given():
    cut = {"volume_um3": np.linspace(1, 2, 20), "touches_border": np.arange(20) > 0}  # but one is cut
    figure = draw_distributions([size_distribution("cut", cut), table("b")])
    assert [handle.get_linestyle() == "None" for handle in figure.legends[0].get_lines()] == [True, False]
    reason = "no fit: it needs two instances of different volumes that the border does not cut"
    assert texts(figure)[0] == f"cut: n = 20, {reason}"


@pytest.mark.parametrize(("low", "high"), [(0.0003, 0.0005), (0.0003, 0.002), (0.0003, 0.02), (0.0003, 30)])
def test_numbers_on_an_axis_do_not_touch(low, high):
    columns = {"volume_um3": np.geomspace(low, high, 30), "skeleton_length_um": np.geomspace(low, high, 30)}
    figure = draw_distributions([size_distribution("a", columns)])
    figure.draw_without_rendering()
    for axes in figure.axes:
        left, right = axes.bbox.intervalx
        labels = [label for label in axes.get_xticklabels(which="both") if label.get_text()]
        ends = sorted(tuple(label.get_window_extent().intervalx) for label in labels)
        ends = [(first, last) for first, last in ends if left <= (first + last) / 2 <= right]
        assert len(ends) >= 2
        assert all(one[1] < other[0] for one, other in itertools.pairwise(ends))
