"""The pixels of one tile: colours to ids, zoomed, and in the type of the volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from mitotools.conventions import Array

IMAGE_TYPES = ("uint8", "float16", "float32", "float64")
"""Others are taken for ids, which are never mixed where tiles are zoomed."""


STRIP_PIXELS = 2**20
"""That are interpolated at once, in double precision."""


def zoomed_size(size: tuple[int, ...], ratio: float) -> tuple[int, ...]:
    """Return the (y, x) pixels that an image of (y, x) pixels has when it is zoomed."""
    return tuple(round(length * ratio) for length in size)


def zoomed(array: Array, ratio: float) -> Array:
    """Return a (Y, X) image in another size, of the same type.

    The corners of the image stay its corners, as `scipy.ndimage.zoom` has it, which the tile sets were made
    for. Images are interpolated linearly, ids take their nearest neighbour.
    """
    if ratio == 1:
        return array
    size = zoomed_size(array.shape, ratio)
    y, x = (_positions(length, count) for length, count in zip(array.shape, size, strict=True))
    if array.dtype.name not in IMAGE_TYPES:
        nearest: Array = array[np.ix_(*(np.floor(position + 0.5).astype(int) for position in (y, x)))]
        return nearest
    result = np.empty(size, array.dtype)
    rows = max(STRIP_PIXELS // max(array.shape[1], len(x), 1), 1)
    for start in range(0, len(y), rows):
        strip = _mixed(_mixed(array, y[start : start + rows], 0), x, 1)
        result[start : start + rows] = np.floor(strip + 0.5) if array.dtype.kind == "u" else strip
    return result


def _mixed(array: Array, position: Array, axis: int) -> Array:
    """Return an image interpolated at positions along an axis, in double precision."""
    low = np.minimum(np.floor(position).astype(int), array.shape[axis] - 1)
    high = np.minimum(low + 1, array.shape[axis] - 1)
    weight = (position - low).reshape((-1, 1) if axis == 0 else (1, -1))
    result: Array = (1 - weight) * array.take(low, axis) + weight * array.take(high, axis)
    return result


def _positions(length: int, count: int) -> Array:
    """Return where along the old pixels the new ones lie."""
    step = (length - 1) / (count - 1) if count > 1 else 0.0
    positions: Array = np.minimum(np.arange(count) * step, length - 1)
    return positions


def ids_or_greys(file: Path, array: Array, dtype: np.dtype[Any] | None) -> Array:
    """Return a tile as (Y, X): colours are ids, as VAST exports them, or the greys of an image."""
    if array.ndim == 2:
        return array
    if array.ndim != 3 or array.shape[2] not in (3, 4) or array.dtype != np.uint8:
        raise InputError(str(file), f"expected grey values, ids or colours, found shape {array.shape}")
    red, green, blue = (array[..., index] for index in range(3))
    if dtype == np.uint8 and np.array_equal(red, green) and np.array_equal(red, blue):
        return red
    ids: Array = red.astype(np.uint32) << 16 | green.astype(np.uint32) << 8 | blue
    return ids


def cast_to(file: Path, array: Array, dtype: np.dtype[Any]) -> Array:
    """Return the tile in the type of the volume, which must hold all its values."""
    if array.dtype == dtype:
        return array
    with np.errstate(invalid="ignore", over="ignore"):
        cast: Array = array.astype(dtype)
        same = np.array_equal(cast.astype(array.dtype), array)
    if not same and (dtype.kind != "f" or array.dtype.kind != "f"):
        raise InputError(str(file), f"holds values that are no {dtype}, which the tile set says it is")
    return cast
