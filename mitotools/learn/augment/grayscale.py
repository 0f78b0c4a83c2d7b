"""Vary contrast, brightness and gamma of a whole patch (PyTorch Connectomics)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mitotools.conventions import Array
    from mitotools.learn.augment.symmetry import Symmetry

CONTRAST = 0.15
BRIGHTNESS = 0.15


def draw(rng: np.random.Generator, symmetry: Symmetry) -> dict[str, Any]:  # noqa: ARG001
    """Draw a factor in 1 +- .15, a summand in +-.15 and an exponent 2^U(-1, 1)."""
    return {
        "contrast": float(1 + rng.uniform(-CONTRAST, CONTRAST)),
        "brightness": float(rng.uniform(-BRIGHTNESS, BRIGHTNESS)),
        "gamma": float(2 ** rng.uniform(-1, 1)),
    }


def apply(array: Array, parameters: dict[str, Any]) -> Array:
    """Change the grey values of a (Z, Y, X) array in 0..1."""
    linear = np.clip(array * parameters["contrast"] + parameters["brightness"], 0, 1)
    curved: Array = linear ** np.asarray(parameters["gamma"], dtype=array.dtype)
    return curved
