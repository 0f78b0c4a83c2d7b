"""Turn a patch: with `flip`, rotations by multiples of 90 degrees in every plane with square voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mitotools.conventions import Array
    from mitotools.learn.augment.symmetry import Symmetry


def draw(rng: np.random.Generator, symmetry: Symmetry) -> dict[str, Any]:
    """Draw an order of the axes."""
    return {"order": symmetry.orders[int(rng.integers(len(symmetry.orders)))]}


def apply(array: Array, parameters: dict[str, Any]) -> Array:
    """Reorder the axes of a (Z, Y, X) array."""
    return np.transpose(array, parameters["order"])
