"""Slices side by side, with outlined instances and a scale bar."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt
    from matplotlib.axes import Axes

    from mitotools.conventions import Array

LEAST_PIXELS = 480
"""Slices smaller than this are enlarged by a whole factor, so that outlines stay one pixel thin."""

GAP_PIXELS, CAPTION_PIXELS, LEGEND_PIXELS, DPI = 8, 26, 34, 100

DASH_PIXELS = 4
"""Of dotted outlines, before they are enlarged."""

DOTTED = "dotted: truth"
"""What a legend says of dotted outlines."""

UNNAMED = (190, 190, 190)
"""The colour of instances that a palette does not have."""

BYTES_OF_ONE, BYTES_OF_EACH = 110, 8
"""Of each pixel: of the slice that is outlined and drawn, and of all that are in the picture (measured)."""

SCALES_NM = (50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000)


@dataclass(frozen=True, eq=False)
class Palette:
    """Colours of instances.

    Parameters
    ----------
    ids : (K,) unsigned integer
        Ascending.
    colours : (K, 3) uint8
    """

    ids: Array
    colours: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, kinds: Mapping[int, str], legend: Mapping[str, str]) -> Palette:
        """Return the palette of instances whose kinds have a colour each, as ``#rrggbb``."""
        ids = np.array(sorted(kinds), np.uint64)
        chosen = [np.round(np.multiply(to_rgb(legend[kinds[int(number)]]), 255)) for number in ids]
        return cls(ids, np.array(chosen, np.uint8).reshape(-1, 3))

    def __getitem__(self, ids: Array) -> npt.NDArray[np.uint8]:
        """Return the (N, 3) colours of (N,) ids."""
        found = np.full((len(ids), 3), UNNAMED, np.uint8)
        if len(self.ids):
            place = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
            known = self.ids[place] == ids
            found[known] = self.colours[place[known]]
        return found


@dataclass(frozen=True, eq=False)
class Layer:
    """Instances outlined on a slice.

    Parameters
    ----------
    labels : (H, W) instance ids
    palette : Palette, optional
        By default, a bright colour for each id.
    dotted : bool
    """

    labels: Array
    palette: Palette | None = None
    dotted: bool = False


@dataclass(frozen=True, eq=False)
class Slice:
    """One picture.

    Parameters
    ----------
    image : (H, W) grey values
    layers : sequence of Layer
        Later ones are drawn above the others.
    caption : str
    """

    image: Array
    layers: Sequence[Layer]
    caption: str


def draw_slices(
    path: Path,
    rows: Sequence[Sequence[Slice]],
    pixel_nm: tuple[float, float] | None,
    columns: int,
    legend: Mapping[str, str] | None = None,
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
    legend : mapping of str to str, optional
        What colours (``#rrggbb``) mean.
    """
    lines = [row[i : i + columns] for row in rows for i in range(0, len(row), columns)]
    height, width = rows[0][0].image.shape
    enlarge, shown = shown_pixels((height, width), pixel_nm)
    limits = grey_limits([piece.image for line in lines for piece in line])
    count = max(len(line) for line in lines)
    room = LEGEND_PIXELS if legend else 0
    canvas = (len(lines) * (shown[0] + CAPTION_PIXELS + GAP_PIXELS) + room, count * (shown[1] + GAP_PIXELS))
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
    if legend:
        _draw_legend(figure, legend)
    figure.savefig(path, format="png", dpi=DPI)


def shown_pixels(shape: tuple[int, int], pixel_nm: tuple[float, float] | None) -> tuple[int, tuple[int, int]]:
    """Return the whole factor by which a slice is enlarged, and its (vertical, horizontal) pixels then."""
    height, width = shape
    stretch = 1.0 if pixel_nm is None else pixel_nm[0] / pixel_nm[1]
    enlarge = max(math.ceil(LEAST_PIXELS / max(width, height * stretch)), 1)
    return enlarge, (round(height * enlarge * stretch), width * enlarge)


def picture_bytes(shape: tuple[int, int], pixel_nm: tuple[float, float] | None, count: int) -> int:
    """Return what drawing `count` slices takes, the slices themselves not counted."""
    enlarge, shown = shown_pixels(shape, pixel_nm)
    pixels = max(math.prod(shape) * enlarge**2, math.prod(shown))
    return pixels * (BYTES_OF_ONE + BYTES_OF_EACH * count)


def grey_limits(images: Sequence[Array]) -> tuple[float, float]:
    """Return the grey values drawn black and white: the same for all slices, so that they compare.

    NaN and infinities do not count.
    """
    values = np.concatenate([image[np.isfinite(image)] for image in images])
    if values.dtype.kind == "b":
        values = values.view(np.uint8)
    low, high = map(float, np.percentile(values, (0.5, 99.5))) if values.size else (0.0, 1.0)
    return low, max(high, low + 1e-6, math.nextafter(low, math.inf))


def as_greys(image: Array, limits: tuple[float, float]) -> npt.NDArray[np.uint8]:
    """Return an image with the limits black and white; NaN is black."""
    low, high = limits
    shades = np.clip((image.astype(np.float64) - low) / (high - low) * 255, 0, 255)
    return np.nan_to_num(shades, copy=False).astype(np.uint8)


def outlined(piece: Slice, limits: tuple[float, float], enlarge: int) -> npt.NDArray[np.uint8]:
    """Return a slice as (H, W, 3) colours: grey, and each instance outlined from inside in its own colour."""
    grey = np.kron(as_greys(piece.image, limits), np.ones((enlarge, enlarge), np.uint8))
    picture = np.repeat(grey[..., np.newaxis], 3, axis=2)
    for layer in piece.layers:
        labels = layer.labels.repeat(enlarge, axis=0).repeat(enlarge, axis=1)
        rim = outlines(labels, thickness=max(enlarge // 2, 1) + 1)
        if layer.dotted:
            rim &= _dashes(rim.shape, DASH_PIXELS * enlarge)
        picture[rim] = colours(labels[rim]) if layer.palette is None else layer.palette[labels[rim]]
    return picture


def _dashes(shape: tuple[int, ...], length: int) -> npt.NDArray[np.bool_]:
    """Return diagonal stripes, which cut lines of all directions but one into dashes."""
    stripes: npt.NDArray[np.bool_] = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) // length % 2 == 0
    return stripes


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


def _draw_legend(figure: Figure, legend: Mapping[str, str]) -> None:
    handles = [
        Line2D([], [], color=colour, linewidth=4, linestyle=":" if words == DOTTED else "-", label=words)
        for words, colour in legend.items()
    ]
    figure.legend(
        handles=handles, loc="lower left", ncols=len(handles), fontsize=10, facecolor="#404040",
        labelcolor="white", edgecolor="none", borderaxespad=0.2, handlelength=1.5, columnspacing=1.5,
    )  # fmt: skip


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
