"""Slices with outlined instances, as pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import to_rgb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from mitotools.conventions import Array

OUTLINES_ACROSS, LEAST_OUTLINE_PIXELS, DASH_OUTLINES = 350, 2, 4
"""How many outlines would fill a slice, how thick they are at least, and how many times longer dashes."""

GOLDEN = 0x9E3779B97F4A7C15
"""The golden ratio's fraction, of 2^64."""

UNNAMED = (190, 190, 190)
"""The colour of instances that a palette does not have."""

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
    meant : int, optional
        The instance that is outlined twice as thick.
    """

    labels: Array
    palette: Palette | None = None
    dotted: bool = False
    meant: int | None = None


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


def scale_nm(width_nm: float) -> int | None:
    """Return a round length, about a fifth of a slice; None where it is too narrow."""
    return max((length for length in SCALES_NM if length <= width_nm / 3), default=None)


def outlined(piece: Slice, limits: tuple[float, float], shown: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return a slice as colours: grey, and each instance outlined from inside in its own colour.

    Parameters
    ----------
    piece : Slice
    limits : (low, high)
        The grey values that are black and white.
    shown : (vertical, horizontal) pixels
        Labels are brought to this size before they are outlined, so that all lines are as thick.

    Returns
    -------
    (vertical, horizontal, 3) uint8
    """
    picture = np.repeat(_means(as_greys(piece.image, limits), shown)[..., np.newaxis], 3, axis=2)
    thickness = max(round(max(shown) / OUTLINES_ACROSS), LEAST_OUTLINE_PIXELS)
    rows, columns = (np.arange(n) * size // n for n, size in zip(shown, piece.image.shape, strict=True))
    for layer in piece.layers:
        labels = layer.labels[np.ix_(rows, columns)]
        rim = outlines(labels, thickness)
        if layer.meant is not None:
            rim |= outlines(labels, 2 * thickness) & (labels == layer.meant)
        if layer.dotted:
            rim &= _dashes(labels, thickness)
        picture[rim] = colours(labels[rim]) if layer.palette is None else layer.palette[labels[rim]]
    return picture


def _means(grey: npt.NDArray[np.uint8], shown: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return an image of another size: means where it is smaller, the same pixels where it is larger."""
    means: Array = grey
    for axis, length in enumerate(shown):
        starts = np.arange(length) * grey.shape[axis] // length
        counts = np.maximum(np.diff(starts, append=grey.shape[axis]), 1)
        sums = np.add.reduceat(means, starts, axis, dtype=np.float32)
        means = sums / np.expand_dims(counts.astype(np.float32), 1 - axis)
    return means.astype(np.uint8)


def _dashes(labels: Array, thickness: int) -> npt.NDArray[np.bool_]:
    """Return stripes that cut outlines of any direction into dashes: by rows where they are upright."""
    rows, columns = (np.arange(n) // (DASH_OUTLINES * thickness) % 2 == 0 for n in labels.shape)
    dashes: npt.NDArray[np.bool_] = np.where(_edges(labels, thickness, axis=1), rows[:, np.newaxis], columns)
    return dashes


def outlines(labels: Array, thickness: int) -> npt.NDArray[np.bool_]:
    """Return the pixels of instances that lie within `thickness` of another id, along rows and columns."""
    rim = _edges(labels, thickness, axis=0) | _edges(labels, thickness, axis=1)
    inside: npt.NDArray[np.bool_] = rim & (labels > 0)
    return inside


def _edges(labels: Array, thickness: int, axis: int) -> npt.NDArray[np.bool_]:
    """Return the pixels within `thickness` of another id along an axis."""
    rim = np.zeros(labels.shape, dtype=bool)
    for step in range(1, min(thickness, labels.shape[axis] - 1) + 1):
        ahead = np.take(labels, range(step, labels.shape[axis]), axis)
        behind = np.take(labels, range(labels.shape[axis] - step), axis)
        differ = ahead != behind
        before = [(0, step) if a == axis else (0, 0) for a in (0, 1)]
        after = [(step, 0) if a == axis else (0, 0) for a in (0, 1)]
        rim |= np.pad(differ, before) | np.pad(differ, after)
    return rim


def colours(ids: Array) -> npt.NDArray[np.uint8]:
    """Return a bright colour for each id, (N,) to (N, 3): the same id has the same colour everywhere.

    Hues follow each other by the golden ratio, so that neighbouring ids differ: in integers, as floats have
    no digits left for those of ids beyond 2^53.
    """
    turned = (ids.astype(np.uint64) * np.uint64(GOLDEN)) >> np.uint64(11)
    hue = (turned.astype(np.float64) / 2**53 + 0.1) % 1.0 * 6
    offsets = np.array([5.0, 3.0, 1.0])
    k = (hue[:, np.newaxis] + offsets) % 6
    value = 1 - np.clip(np.minimum(k, 4 - k), 0, 1)
    return np.asarray(80 + 175 * value, dtype=np.uint8)
