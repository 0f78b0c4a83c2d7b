"""Mirror a patch along each axis, one time in two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mitotools.conventions import Array
    from mitotools.learn.augment.context import Context, Parameters


def draw(rng: np.random.Generator, context: Context) -> Parameters:  # noqa: ARG001
    """Draw the axes to mirror."""
    return {"axes": [axis for axis in range(3) if rng.random() < 0.5]}


def apply(array: Array, parameters: Parameters) -> Array:
    """Mirror a (Z, Y, X) array."""
    return np.flip(array, tuple(parameters["axes"]))
