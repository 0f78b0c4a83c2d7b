"""Slices side by side, with a scale bar and a legend."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from mitotools.view.slices import grey_limits, outlined, scale_nm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from mitotools.view.slices import Slice

    Row = tuple[str, Sequence[Slice]]

LEAST_PIXELS = 480
"""Slices smaller than this are enlarged by a whole factor, so that outlines stay thin beside voxels."""

GAP_PIXELS, LINE_PIXELS, LEGEND_PIXELS, LEGEND_LINE_PIXELS, BAR_PIXELS, DPI = 8, 26, 34, 22, 6, 100

UNIT_PIXELS = 640
"""Letters and bars grow with slices that are longer than this."""

LETTER_PIXELS, HANDLE_PIXELS = 8, 45
"""How wide letters of a legend are, about, and what stands before its words and behind them."""

DOTTED = "dotted: truth"
"""What a legend says of dotted outlines."""

BYTES_OF_ONE, BYTES_OF_EACH = 110, 8
"""Of each pixel: of the slice that is outlined and drawn, and of all that are in the picture (measured)."""


def draw_slices(
    path: Path,
    rows: Sequence[Row],
    pixel_nm: tuple[float, float] | None,
    columns: int,
    longest: int,
    legend: Mapping[str, str] | None = None,
) -> None:
    """Write a PNG with all slices, each row wrapped after `columns`.

    Parameters
    ----------
    path : Path
    rows : sequence of (str, sequence of Slice)
        What stands above a row, and its slices, all of one shape.
    pixel_nm : (vertical, horizontal) nanometres, or None
        Pixels are drawn in these proportions; without them there is no scale bar.
    columns : int
    longest : int
        Pixels of the longer side of a slice, at most.
    legend : mapping of str to str, optional
        What colours (``#rrggbb``) mean.
    """
    shape = rows[0][1][0].image.shape
    shown = shown_pixels((shape[0], shape[1]), pixel_nm, longest)
    unit = max(max(shown) / UNIT_PIXELS, 1.0)
    limits = grey_limits([piece.image for _, row in rows for piece in row])
    lines = [
        (name if i == 0 else "", row[i : i + columns])
        for name, row in rows
        for i in range(0, len(row), columns)
    ]
    text, gap = round(LINE_PIXELS * unit), round(GAP_PIXELS * unit)
    heights = [shown[0] + gap + text * (2 if name else 1) for name, _ in lines]
    width = max(len(line) for _, line in lines) * (shown[1] + gap)
    across = max(_legend_columns(legend or {}, width / unit), 1)
    room = (LEGEND_PIXELS + LEGEND_LINE_PIXELS * ((len(legend) - 1) // across)) * unit if legend else 0
    height = sum(heights) + round(room)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    for j, (name, line) in enumerate(lines):
        bottom = height - sum(heights[: j + 1]) + gap // 2
        for i, piece in enumerate(line):
            left = i * (shown[1] + gap) + gap // 2
            axes = figure.add_axes((left / width, bottom / height, shown[1] / width, shown[0] / height))
            axes.set_axis_off()
            axes.imshow(outlined(piece, limits, shown), aspect="auto", interpolation="nearest")
            axes.set_title(piece.caption, fontsize=9 * unit, loc="left", pad=3 * unit, parse_math=False)
            if i == j == 0 and pixel_nm is not None:
                _scale_bar(axes, shape[1] * pixel_nm[1], shown, unit)
        if name:
            figure.text(
                gap / 2 / width, (bottom + shown[0] + text) / height, name, fontsize=9 * unit,
                fontweight="bold", va="bottom", parse_math=False,
            )  # fmt: skip
    if legend:
        _draw_legend(figure, legend, across, unit)
    figure.savefig(path, format="png", dpi=DPI)


def shown_pixels(
    shape: tuple[int, int], pixel_nm: tuple[float, float] | None, longest: int
) -> tuple[int, int]:
    """Return the (vertical, horizontal) pixels of a slice as drawn, in the proportions of its voxels."""
    stretch = 1.0 if pixel_nm is None else pixel_nm[0] / pixel_nm[1]
    height, width = shape[0] * stretch, float(shape[1])
    longer = max(height, width)
    factor = min(max(math.ceil(LEAST_PIXELS / longer), 1), longest / longer)
    return max(round(height * factor), 1), max(round(width * factor), 1)


def picture_bytes(
    shape: tuple[int, int], pixel_nm: tuple[float, float] | None, count: int, longest: int
) -> int:
    """Return what drawing `count` slices takes, the slices themselves not counted."""
    shown = shown_pixels(shape, pixel_nm, longest)
    pixels = max(math.prod(shape), math.prod(shown))
    return pixels * (BYTES_OF_ONE + BYTES_OF_EACH * count)


def _legend_columns(legend: Mapping[str, str], width: float) -> int:
    """Return how many entries stand side by side: in columns that are as wide as the longest."""
    longest = max(map(len, legend), default=0)
    return min(int(width / (longest * LETTER_PIXELS + HANDLE_PIXELS)), len(legend))


def _draw_legend(figure: Figure, legend: Mapping[str, str], columns: int, unit: float) -> None:
    handles = [
        Line2D(
            [], [], color=colour, linewidth=4 * unit, linestyle=":" if words == DOTTED else "-", label=words
        )
        for words, colour in legend.items()
    ]
    figure.legend(
        handles=handles, loc="lower left", ncols=columns, fontsize=10 * unit, facecolor="#404040",
        labelcolor="white", edgecolor="none", borderaxespad=0.2, handlelength=1.5, columnspacing=1.5,
    )  # fmt: skip


def _scale_bar(axes: Axes, width_nm: float, shown: tuple[int, int], unit: float) -> None:
    """Draw a bar at the lower left."""
    length_nm = scale_nm(width_nm)
    if length_nm is None:
        return
    height, width = shown
    thickness = BAR_PIXELS * unit
    left, top = width * 0.03, height - 3 * thickness
    axes.add_patch(
        Rectangle(
            (left, top), width * length_nm / width_nm, thickness, facecolor="white", edgecolor="black",
            linewidth=0.6,
        )
    )  # fmt: skip
    axes.text(
        left, top - thickness, scale_words(length_nm), color="white", fontsize=11 * unit, va="bottom",
        bbox={"facecolor": "black", "alpha": 0.5, "pad": 1.5, "linewidth": 0},
    )  # fmt: skip


def scale_words(length_nm: int) -> str:
    """Return a length as a scale bar says it."""
    return f"{length_nm / 1000:g} \u00b5m" if length_nm >= 1000 else f"{length_nm} nm"
