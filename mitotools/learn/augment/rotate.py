"""Turn a patch: with `flip`, rotations by multiples of 90 degrees in every plane with square voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mitotools.conventions import Array
    from mitotools.learn.augment.context import Context, Parameters


def draw(rng: np.random.Generator, context: Context) -> Parameters:
    """Draw an order of the axes."""
    orders = context.orders
    return {"order": list(orders[int(rng.integers(len(orders)))])}


def apply(array: Array, parameters: Parameters) -> Array:
    """Reorder the axes of a (Z, Y, X) array."""
    return np.transpose(array, parameters["order"])
