"""Slices side by side, with outlined instances and a scale bar."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt
    from matplotlib.axes import Axes

    from mitotools.conventions import Array

LEAST_PIXELS = 480
"""Slices smaller than this are enlarged by a whole factor, so that outlines stay one pixel thin."""

GAP_PIXELS, CAPTION_PIXELS, DPI = 8, 26, 100

SCALES_NM = (50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000)


@dataclass(frozen=True)
class Slice:
    """One picture.

    Parameters
    ----------
    image : (H, W) grey values
    labels : (H, W) instance ids, or None
    caption : str
    """

    image: Array
    labels: Array | None
    caption: str


def draw_slices(
    path: Path, rows: Sequence[Sequence[Slice]], pixel_nm: tuple[float, float] | None, columns: int
) -> None:
    """Write a PNG with all slices, each row wrapped after `columns`.

    Parameters
    ----------
    path : Path
    rows : sequence of sequences of Slice
        All of one shape.
    pixel_nm : (vertical, horizontal) nanometres, or None
        Pixels are drawn in these proportions; without them there is no scale bar.
    columns : int
    """
    lines = [row[i : i + columns] for row in rows for i in range(0, len(row), columns)]
    height, width = rows[0][0].image.shape
    stretch = 1.0 if pixel_nm is None else pixel_nm[0] / pixel_nm[1]
    enlarge = max(math.ceil(LEAST_PIXELS / max(width, height * stretch)), 1)
    shown = (round(height * enlarge * stretch), width * enlarge)
    limits = grey_limits([piece.image for line in lines for piece in line])
    count = max(len(line) for line in lines)
    canvas = (len(lines) * (shown[0] + CAPTION_PIXELS + GAP_PIXELS), count * (shown[1] + GAP_PIXELS))
    figure = Figure(figsize=(canvas[1] / DPI, canvas[0] / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    for j, line in enumerate(lines):
        for i, piece in enumerate(line):
            left = i * (shown[1] + GAP_PIXELS) + GAP_PIXELS // 2
            bottom = canvas[0] - (j + 1) * (shown[0] + CAPTION_PIXELS + GAP_PIXELS) + GAP_PIXELS // 2
            axes = figure.add_axes(
                (left / canvas[1], bottom / canvas[0], shown[1] / canvas[1], shown[0] / canvas[0])
            )
            axes.set_axis_off()
            axes.imshow(outlined(piece, limits, enlarge), aspect="auto", interpolation="nearest")
            axes.set_title(piece.caption, fontsize=9, loc="left", pad=3, parse_math=False)
            if i == j == 0 and pixel_nm is not None:
                _scale_bar(axes, width * pixel_nm[1], (height * enlarge, width * enlarge))
    figure.savefig(path, format="png", dpi=DPI)


def grey_limits(images: Sequence[Array]) -> tuple[float, float]:
    """Return the grey values drawn black and white: the same for all slices, so that they compare."""
    low, high = np.percentile(np.concatenate([image.ravel() for image in images]), (0.5, 99.5))
    return float(low), float(max(high, low + 1e-6))


def outlined(piece: Slice, limits: tuple[float, float], enlarge: int) -> npt.NDArray[np.uint8]:
    """Return a slice as (H, W, 3) colours: grey, and each instance outlined from inside in its own colour."""
    low, high = limits
    grey = np.clip((piece.image.astype(np.float64) - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    grey = np.kron(grey, np.ones((enlarge, enlarge), np.uint8))
    picture = np.repeat(grey[..., np.newaxis], 3, axis=2)
    if piece.labels is not None:
        labels = piece.labels.repeat(enlarge, axis=0).repeat(enlarge, axis=1)
        rim = outlines(labels, thickness=max(enlarge // 2, 1) + 1)
        picture[rim] = colours(labels[rim])
    return picture


def outlines(labels: Array, thickness: int) -> npt.NDArray[np.bool_]:
    """Return the pixels of instances that lie within `thickness` of another id, along rows and columns."""
    rim = np.zeros(labels.shape, dtype=bool)
    for step in range(1, thickness + 1):
        for axis in (0, 1):
            ahead = np.take(labels, range(step, labels.shape[axis]), axis)
            behind = np.take(labels, range(labels.shape[axis] - step), axis)
            differ = ahead != behind
            before = [(0, step) if a == axis else (0, 0) for a in (0, 1)]
            after = [(step, 0) if a == axis else (0, 0) for a in (0, 1)]
            rim |= np.pad(differ, before) | np.pad(differ, after)
    inside: npt.NDArray[np.bool_] = rim & (labels > 0)
    return inside


def colours(ids: Array) -> npt.NDArray[np.uint8]:
    """Return a bright colour for each id, (N,) to (N, 3): the same id has the same colour everywhere.

    Hues follow each other by the golden ratio, so that neighbouring ids differ.
    """
    hue = (ids.astype(np.float64) * 0.6180339887498949 + 0.1) % 1.0 * 6
    offsets = np.array([5.0, 3.0, 1.0])
    k = (hue[:, np.newaxis] + offsets) % 6
    value = 1 - np.clip(np.minimum(k, 4 - k), 0, 1)
    return np.asarray(80 + 175 * value, dtype=np.uint8)


def _scale_bar(axes: Axes, width_nm: float, shape: tuple[int, int]) -> None:
    """Draw a bar of a round length, about a fifth of the slice, at the lower left."""
    fitting = [length for length in SCALES_NM if length <= width_nm / 3]
    if not fitting:
        return
    length_nm = fitting[-1]
    height, width = shape
    length = width * length_nm / width_nm
    thickness = max(height / 80, 2)
    left, top = width * 0.03, height * 0.95
    axes.add_patch(
        Rectangle((left, top), length, thickness, facecolor="white", edgecolor="black", linewidth=0.6)
    )
    words = f"{length_nm / 1000:g} \u00b5m" if length_nm >= 1000 else f"{length_nm} nm"
    axes.text(
        left, top - thickness, words, color="white", fontsize=11, va="bottom",
        bbox={"facecolor": "black", "alpha": 0.5, "pad": 1.5, "linewidth": 0},
    )  # fmt: skip
