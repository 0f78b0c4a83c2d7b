"""Maps of probabilities, as decoders take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mitotools.errors import InputError

if TYPE_CHECKING:
    from mitotools.conventions import Array, Maps


def as_uint8(maps: Array, name: str) -> Maps:
    """Return probabilities as floor(255 p).

    Raises
    ------
    InputError
        Where floating-point maps hold NaN, or leave 0..1.
    """
    if maps.dtype == np.uint8:
        return maps
    low, high = maps.min(initial=np.inf), maps.max(initial=-np.inf)
    if not (low >= 0 and high <= 1):
        raise InputError(
            name, f"expected probabilities from 0 to 1, found {low} to {high}", "Scale them first"
        )
    return np.multiply(maps, 255, dtype=np.float64).astype(np.uint8)
