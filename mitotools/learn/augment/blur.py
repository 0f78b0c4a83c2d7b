"""Defocus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scipy import ndimage

if TYPE_CHECKING:
    import numpy as np

    from mitotools.conventions import Array
    from mitotools.learn.augment.context import Context, Parameters

LOW, HIGH = 0.3, 1.5

TRUNCATE = 3.0
"""Standard deviations at which the Gaussian ends."""


def draw(rng: np.random.Generator, context: Context, *, low: float = LOW, high: float = HIGH) -> Parameters:
    """Draw the standard deviation, in pixels of y and x, and of z unless slices are sections."""
    sigma = float(rng.uniform(low, high))
    return {"sigma": [0.0 if context.is_sectioned() else sigma, sigma, sigma]}


def apply(image: Array, parameters: Parameters) -> None:
    """Convolve with a Gaussian, in place; beyond the border the patch is mirrored."""
    ndimage.gaussian_filter(image, parameters["sigma"], output=image, truncate=TRUNCATE)
