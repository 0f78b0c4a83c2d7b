"""Mirror a patch along each axis, one time in two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mitotools.conventions import Array
    from mitotools.learn.augment.symmetry import Symmetry


def draw(rng: np.random.Generator, symmetry: Symmetry) -> dict[str, Any]:  # noqa: ARG001
    """Draw the axes to mirror."""
    return {"axes": tuple(axis for axis in range(3) if rng.random() < 0.5)}


def apply(array: Array, parameters: dict[str, Any]) -> Array:
    """Mirror a (Z, Y, X) array."""
    return np.flip(array, parameters["axes"])
