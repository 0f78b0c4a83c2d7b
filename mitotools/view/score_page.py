"""A page that reports on a comparison of two labelings: scores, curves, sizes, and the worst instances."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mitotools.view.distributions import DASHES
from mitotools.view.plot_file import COLOURS, DPI, page, svg_of, table
from mitotools.view.thumbnails import STYLE, gallery

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from mitotools.conventions import Array
    from mitotools.view.thumbnails import Thumbnail

BINS = (6, 24)
"""Of sizes, evenly on a logarithmic axis, at least and at most; between, the root of how many instances."""

Curve = tuple["Array", "Array"]
"""x and y."""

Band = tuple["Array", "Array", "Array"]
"""x, and the lower and the upper y."""

_STYLE = """body { max-width: 64em; }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; }
td:nth-child(2):last-child { text-align: left; }
"""


@dataclass(frozen=True, eq=False)
class Curves:
    """What the figure shows.

    Parameters
    ----------
    ap : mapping of str to Curve
        AP over the IoU threshold, by size class.
    band : Band, optional
        The interval of AP of all sizes.
    precision : mapping of str to Curve
        Precision over recall, by what the curve is called.
    sizes : mapping of str to (N,) array
        Voxels of instances, by what became of them; instances of each kind are stacked.
    """

    ap: Mapping[str, Curve]
    band: Band | None
    precision: Mapping[str, Curve]
    sizes: Mapping[str, Array]


def score_page(
    title: str,
    facts: Sequence[Sequence[str]],
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    curves: Curves,
    worst: Sequence[Thumbnail],
    legend: Mapping[str, str],
    notes: Sequence[str],
    below: str = "",
) -> str:
    """Return a page of HTML that loads nothing.

    Parameters
    ----------
    title : str
    facts : sequence of (str, str)
        What was compared, and how.
    header, rows : sequences of str
        The table of scores.
    curves : Curves
    worst : sequence of Thumbnail
    legend : mapping of str to str
        Colours of the thumbnails, and of the sizes.
    notes : sequence of str
        What explains the scores, a paragraph each.
    below : str
        HTML in whole lines.

    All other texts are plain, and escaped.
    """
    explained = "".join(f"<p>{escape(note)}</p>\n" for note in notes)
    scores = f"{table(('', ''), facts)}<h2>Scores</h2>\n{table(header, rows)}{explained}"
    pictures = gallery("The worst instances", worst, legend)
    svg = svg_of(draw_score_curves(curves, legend))
    return page(title, _STYLE + STYLE, svg, scores + pictures + below)


def draw_score_curves(curves: Curves, legend: Mapping[str, str]) -> Figure:
    """Return the figure of a report: AP over IoU, precision over recall, and sizes by kind."""
    figure = Figure(figsize=(11, 3.6), dpi=DPI, facecolor="white", layout="constrained")
    panels = figure.subplots(1, 3)
    _draw_lines(panels[0], curves.ap, "IoU threshold", "AP")
    if curves.band is not None:
        panels[0].fill_between(*curves.band, color=COLOURS[0], alpha=0.15, linewidth=0)
    _draw_lines(panels[1], curves.precision, "Recall", "Precision")
    panels[1].set_xlim(0, 1)
    _draw_sizes(panels[2], curves.sizes, legend)
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=9)
    return figure


def _draw_lines(axes: Axes, lines: Mapping[str, Curve], x: str, y: str) -> None:
    for place, (name, (across, up)) in enumerate(lines.items()):
        colour, dashes = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
        axes.plot(across, up, color=colour, linestyle=dashes, linewidth=1.8, label=name, clip_on=False)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_ylim(0, 1)
    if lines:
        axes.legend(frameon=False, fontsize=9, loc="best")
    else:
        axes.text(0.5, 0.5, "no truth", transform=axes.transAxes, ha="center", color="0.4")


def _draw_sizes(axes: Axes, sizes: Mapping[str, Array], legend: Mapping[str, str]) -> None:
    axes.set_xlabel("Voxels (false positive, merged: of predictions)")
    axes.set_ylabel("Instances")
    every = np.concatenate([np.zeros(0), *sizes.values()])
    if len(every) == 0:
        return
    bins = min(max(round(len(every) ** 0.5), BINS[0]), BINS[1])
    edges = np.geomspace(every.min() * 0.95, every.max() * 1.05, bins + 1)
    below = np.zeros(bins)
    for name, values in sizes.items():
        if len(values):
            counts = np.histogram(values, edges)[0]
            axes.bar(
                edges[:-1], counts, np.diff(edges), below, align="edge", color=legend[name],
                edgecolor="#404040", linewidth=0.6, label=f"{name} ({len(values)})",
            )  # fmt: skip
            below = below + counts
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))  # not on bars
