"""A plot of a training: loss, learning rate and scores over its iterations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from mitotools.view.plot_file import COLOURS, DPI, MOST_VECTOR_POINTS, page, table, write_plot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from mitotools.conventions import Array

    Row = Mapping[str, Any]

SMOOTHED_SHARE = 0.05
"""Part of the iterations that a point of the smoothed loss is the mean of."""

DECADES = 10.0
"""The loss has a logarithmic axis where its largest value is more than this many times its smallest."""

SCORES = {"ap75": "AP-75", "jaccard": "Jaccard"}
"""Columns of a validation that are drawn, and what they are called."""

_STYLE = "body { max-width: 60em; }\n"


def write_curves(path: Path, suffix: str, steps: Sequence[Row], validations: Sequence[Row]) -> None:
    """Draw a training into a file.

    Parameters
    ----------
    path : Path
    suffix : str
        ``.png``, or ``.html`` for a page that needs nothing else, with the validations in a table.
    steps : sequence of mappings
        `iteration`, `loss` and `learning_rate` of each, ascending.
    validations : sequence of mappings
        `iteration`, `ap75` and `jaccard` of each, and the options of decode with which they were reached. The
        same rows give the same bytes.
    """
    figure = draw_curves(steps, validations)
    write_plot(path, suffix, figure, lambda svg: page("Training", _STYLE, svg, _table(validations)))


def draw_curves(steps: Sequence[Row], validations: Sequence[Row]) -> Figure:
    """Return the figure that `write_curves` writes: loss, learning rate and, where there are any, scores."""
    heights = [3.0, 1.3, *([2.2] if validations else [])]
    figure = Figure(figsize=(7.5, sum(heights) + 0.7), dpi=DPI, facecolor="white", layout="constrained")
    panels = figure.subplots(len(heights), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    at = _column(steps, "iteration")
    _draw_loss(panels[0], at, _column(steps, "loss"))
    _draw(panels[1], at, _column(steps, "learning_rate"), color=COLOURS[2], linewidth=1.5)
    panels[1].set_ylabel("Learning rate")
    panels[1].set_ylim(bottom=0)
    if validations:
        _draw_scores(panels[2], validations)
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=9)
    panels[-1].set_xlabel("Iteration")
    return figure


def smoothed(values: Array, width: int) -> Array:
    """Return running means: of `width` values around each, or as many as there are at the ends.

    Parameters
    ----------
    values : (N,) float64
    width : int
        Odd.
    """
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    first = np.maximum(places - width // 2, 0)
    stop = np.minimum(places + width // 2 + 1, len(values))
    means: Array = (sums[stop] - sums[first]) / (stop - first)
    return means


def _column(rows: Sequence[Row], name: str) -> Array:
    return np.array([row[name] for row in rows], float)


def _draw(axes: Axes, x: Array, y: Array, **style: Any) -> None:
    marker = "o" if len(x) == 1 else ""  # a line of one point is none
    axes.plot(x, y, marker=marker, markersize=4, rasterized=len(x) > MOST_VECTOR_POINTS, **style)


def _draw_loss(axes: Axes, at: Array, loss: Array) -> None:
    axes.set_ylabel("Loss")
    if len(loss) == 0:
        axes.text(0.5, 0.5, "no iterations", transform=axes.transAxes, ha="center", color="0.4")
        return
    width = int(SMOOTHED_SHARE * len(loss)) // 2 * 2 + 1
    _draw(axes, at, loss, color=COLOURS[5], linewidth=0.6, label="each iteration")
    _draw(axes, at, smoothed(loss, width), color=COLOURS[0], linewidth=1.8, label=f"mean of {width}")
    if loss.min() > 0 and loss.max() > DECADES * loss.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    axes.legend(frameon=False, fontsize=9, loc="upper right")


def _draw_scores(axes: Axes, validations: Sequence[Row]) -> None:
    at = _column(validations, "iteration")
    for place, (name, title) in enumerate(SCORES.items()):
        values = _column(validations, name)
        style, marker = ("-", "o") if place == 0 else ((0, (5, 2)), "s")
        axes.plot(at, values, color=COLOURS[place], linestyle=style, marker=marker, markersize=4, label=title)
    axes.set_ylim(0, 1)
    axes.set_ylabel("Validation")
    axes.legend(frameon=False, fontsize=9, loc="best")


def _table(validations: Sequence[Row]) -> str:
    if not validations:
        return ""
    names = list(validations[0])
    rows = [[_shown(row.get(name, "")) for name in names] for row in validations]
    return table([SCORES.get(name, name) for name in names], rows)


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
