"""Vary contrast, brightness and gamma, of the whole patch or of each slice (PyTorch Connectomics)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mitotools.conventions import Array
    from mitotools.learn.augment.context import Context, Parameters

CONTRAST, BRIGHTNESS, OCTAVES = 0.15, 0.15, 1.0


def draw(
    rng: np.random.Generator,
    context: Context,
    *,
    contrast: float = CONTRAST,
    brightness: float = BRIGHTNESS,
    octaves: float = OCTAVES,
) -> Parameters:
    """Draw factors 1 +- .15, summands +-.15 and exponents 2^U(-1, 1): one for all slices, or one each."""
    count = 1 if rng.random() < 0.5 else context.patch[0]
    return {
        "contrast": (1 + rng.uniform(-contrast, contrast, count)).tolist(),
        "brightness": rng.uniform(-brightness, brightness, count).tolist(),
        "gamma": (2 ** rng.uniform(-octaves, octaves, count)).tolist(),
    }


def apply(image: Array, parameters: Parameters) -> None:
    """Change the grey values of a (Z, Y, X) float32 array in 0..1, in place."""
    count = len(image)
    factors, summands, exponents = (
        np.broadcast_to(np.array(parameters[name], np.float32), count)
        for name in ("contrast", "brightness", "gamma")
    )
    for section, factor, summand, exponent in zip(image, factors, summands, exponents, strict=True):
        section *= factor
        section += summand
        np.clip(section, 0, 1, out=section)
        np.power(section, exponent, out=section)
