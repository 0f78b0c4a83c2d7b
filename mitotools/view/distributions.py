"""Plots of how large instances are: the distribution of their volumes, and volume over length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

from mitotools.view.distribution_table import numbers_page, numbers_table, words
from mitotools.view.plot_file import COLOURS, DPI, MOST_VECTOR_POINTS, write_plot

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from mitotools.conventions import Array
    from mitotools.view.distribution_table import Distribution

DASHES: tuple[Literal["-"] | tuple[float, Sequence[float]], ...] = (
    "-",
    (0, (5, 2)),
    (0, (1, 1.5)),
    (0, (7, 2, 1, 2)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Both tell tables apart in grey."""

BINS = (4, 40)
"""At least and at most; between, the root of the number of instances."""


EVEN_DECADES, LABELLED_DECADES = 0.7, 2.5
"""Logarithmic axes shorter than this have evenly spaced ticks, or numbers at 2 and 5 beside those at 1."""


class _Style:
    """How a table is drawn, by its place in the list."""

    def __init__(self, place: int) -> None:
        self.colour = COLOURS[place % len(COLOURS)]
        self.dashes = DASHES[place % len(DASHES)]
        self.marker = MARKERS[place % len(MARKERS)]


def write_distributions(path: Path, suffix: str, distributions: Sequence[Distribution]) -> None:
    """Draw tables into one figure: at the left volumes with their fits, at the right volume over length.

    Parameters
    ----------
    path : Path
    suffix : str
        ``.png``, or ``.html`` for a page that needs nothing else, with the fitted numbers in a table.
    distributions : sequence of Distribution
        One a table. There is a right side where one has lengths. The same tables give the same bytes.
    """
    figure = draw_distributions(distributions)
    write_plot(path, suffix, figure, lambda svg: numbers_page(svg, numbers_table(distributions)))


def draw_distributions(distributions: Sequence[Distribution]) -> Figure:
    """Return the figure that `write_distributions` writes."""
    sides = 2 if any(table.lengths_um is not None for table in distributions) else 1
    size = (5.2 * sides + 0.8, 4.4 + 0.24 * len(distributions))
    figure = Figure(figsize=size, dpi=DPI, facecolor="white", layout="constrained")
    axes = figure.subplots(1, sides, squeeze=False)[0]
    _draw_volumes(axes[0], distributions)
    if sides == 2:
        _draw_lengths(axes[1], distributions)
        _write_plainly(axes[1].yaxis)
    for side in axes:
        side.spines[["top", "right"]].set_visible(False)
        side.tick_params(labelsize=9, which="both")
        _write_plainly(side.xaxis)
    _draw_legend(figure, distributions)
    return figure


def _write_plainly(axis: Axis) -> None:
    """Write numbers on a logarithmic axis without powers: 0.2, not 2 x 10^-1; and few, so that none touch."""
    low, high = np.log10(axis.get_view_interval())
    if high - low < EVEN_DECADES:
        axis.set_major_locator(MaxNLocator(4))
        axis.set_minor_locator(NullLocator())
    elif high - low < LABELLED_DECADES:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _draw_volumes(axes: Axes, distributions: Sequence[Distribution]) -> None:
    axes.set_title("Distribution of volumes", fontsize=11, loc="left")
    axes.set_xlabel("Volume (µm³)")
    axes.set_ylabel("Share of instances per factor of ten")
    axes.set_xscale("log")
    volumes = np.concatenate([table.volumes_um3 for table in distributions])
    if len(volumes) == 0:
        _say_nothing(axes)
        return
    for place, table in enumerate(distributions):
        style, count = _Style(place), len(table.volumes_um3)
        if count == 0:
            continue
        edges = volume_edges(volumes, count)
        shares = np.histogram(table.volumes_um3, edges)[0] / count / np.diff(np.log10(edges))
        axes.stairs(shares, edges, fill=True, color=style.colour, alpha=0.15)
        axes.stairs(shares, edges, color=style.colour, alpha=0.55, linewidth=0.8)
        if table.exponential is not None:
            at = np.geomspace(table.exponential.smallest_um3, edges[-1], 400)
            heights = table.exponential.density_per_decade(at)
            axes.plot(at, heights, color=style.colour, linestyle=style.dashes, linewidth=1.8)
    axes.set_xlim(*volume_edges(volumes, 1)[[0, -1]])
    axes.set_ylim(bottom=0)


def volume_edges(volumes_um3: Array, count: int) -> Array:
    """Return where bins begin and end, evenly on a logarithmic axis: (B + 1,) um^3.

    Parameters
    ----------
    volumes_um3 : (N,) float64
        Of all tables, at least one.
    count : int
        Instances of the table that is drawn: few in narrow bins would be towers beside those of the others.
    """
    low, high = np.log10(volumes_um3.min()), np.log10(volumes_um3.max())
    margin = max(0.02 * (high - low), 0.05)  # also where all are the same
    bins = min(max(round(count**0.5), BINS[0]), BINS[1])
    edges: Array = np.logspace(low - margin, high + margin, bins + 1)
    return edges


def _draw_lengths(axes: Axes, distributions: Sequence[Distribution]) -> None:
    axes.set_title("Volume and length of the skeleton", fontsize=11, loc="left")
    axes.set_xlabel("Length of the skeleton (µm)")
    axes.set_ylabel("Volume (µm³)")
    axes.set_xscale("log")
    axes.set_yscale("log")
    is_empty = True
    for place, table in enumerate(distributions):
        if table.lengths_um is None:
            continue
        style, used = _Style(place), table.lengths_um > 0
        x, y = table.lengths_um[used], table.volumes_um3[used]
        is_empty = is_empty and len(x) == 0
        size = 14 if len(x) < 300 else 5
        axes.scatter(
            x, y, s=size, color=style.colour, marker=style.marker, alpha=0.45, linewidths=0,
            rasterized=len(x) > MOST_VECTOR_POINTS,
        )  # fmt: skip
        if table.line is not None:
            ends = np.array([x.min(), x.max()])
            heights = table.line.volumes_um3(ends)
            axes.plot(ends, heights, color=style.colour, linestyle=style.dashes, linewidth=1.8)
    if is_empty:
        _say_nothing(axes)


def _say_nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "no instances", transform=axes.transAxes, ha="center", color="0.4")
    axes.set_xlim(0.1, 10)


def _draw_legend(figure: Figure, distributions: Sequence[Distribution]) -> None:
    """List the tables below, where a name of any length hides nothing."""
    handles = [
        Line2D(
            [],
            [],
            color=style.colour,
            linestyle="none" if table.exponential is None and table.line is None else style.dashes,
            linewidth=1.8,
            marker=style.marker,
            markersize=5,
        )
        for style, table in zip(map(_Style, range(len(distributions))), distributions, strict=True)
    ]
    # Filled in afterwards: matplotlib takes a name that begins with _ for none, and $ for mathematics.
    legend = figure.legend(
        handles, ["-"] * len(handles), loc="outside lower left", frameon=False,
        fontsize=8.5, handlelength=4, labelspacing=0.35,
    )  # fmt: skip
    for text, table in zip(legend.get_texts(), distributions, strict=True):
        text.set_parse_math(False)
        text.set_text(words(table))
