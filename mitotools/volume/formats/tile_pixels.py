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


def zoomed(array: Array, ratio: float) -> Array:
    """Return a (Y, X) image in another size, of the same type.

    The corners of the image stay its corners, as `scipy.ndimage.zoom` has it, which the tile sets were made
    for. Images are interpolated linearly, ids take their nearest neighbour.
    """
    if ratio == 1:
        return array
    positions = [_positions(length, ratio) for length in array.shape]
    if array.dtype.name not in IMAGE_TYPES:
        y, x = (np.floor(position + 0.5).astype(int) for position in positions)
        nearest: Array = array[np.ix_(y, x)]
        return nearest
    result: Array = array.astype(float)
    for axis, position in enumerate(positions):
        low = np.minimum(np.floor(position).astype(int), array.shape[axis] - 1)
        high = np.minimum(low + 1, array.shape[axis] - 1)
        weight = (position - low).reshape((-1, 1) if axis == 0 else (1, -1))
        result = (1 - weight) * result.take(low, axis) + weight * result.take(high, axis)
    if array.dtype.kind == "u":
        result = np.floor(result + 0.5)
    return result.astype(array.dtype)


def _positions(length: int, ratio: float) -> Array:
    """Return where along the old pixels the new ones lie."""
    count = round(length * ratio)
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
