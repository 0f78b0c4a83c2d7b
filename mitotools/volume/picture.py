"""Slices as compressed images, for pages."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import numpy.typing as npt

GREY_KIND, NUMBERS_KIND = "image/webp", "image/png"
QUALITY = 80

MOST_NUMBERS = 2**24
"""Numbers below this are the three bytes of a pixel."""


def encoded_greys(greys: npt.NDArray[np.uint8]) -> bytes:
    """Return (H, W) grey values as a WebP image, with losses that are hardly seen."""
    target = io.BytesIO()
    Image.fromarray(greys).save(target, "WEBP", quality=QUALITY)
    return target.getvalue()


def encoded_numbers(numbers: npt.NDArray[np.uint32]) -> bytes:
    """Return (H, W) numbers below `MOST_NUMBERS` as a PNG: red is the lowest byte."""
    pixels = np.ascontiguousarray(numbers, "<u4").view(np.uint8).reshape(*numbers.shape, 4)[..., :3]
    target = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(target, "PNG")
    return target.getvalue()


def encoded_colours(picture: npt.NDArray[np.uint8]) -> bytes:
    """Return (H, W, 3) colours as a PNG."""
    target = io.BytesIO()
    Image.fromarray(picture).save(target, "PNG", optimize=True)
    return target.getvalue()
