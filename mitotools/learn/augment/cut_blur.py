"""Lower the resolution of a cuboid in the plane (Yoo et al., CVPR 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mitotools.learn.augment import cuboid

if TYPE_CHECKING:
    from mitotools.conventions import Array
    from mitotools.learn.augment.context import Context, Parameters

RATIO = 0.4
LOW, HIGH = 2.0, 8.0


def draw(
    rng: np.random.Generator, context: Context, *, ratio: float = RATIO, low: float = LOW, high: float = HIGH
) -> Parameters:
    """Draw a cuboid and by how many times it is made smaller, and larger again."""
    return {"box": cuboid.draw(rng, context.patch, ratio), "times": float(rng.uniform(low, high))}


def apply(image: Array, parameters: Parameters) -> None:
    """Replace each tile of pixels by its middle one, in place."""
    box = cuboid.slices(parameters["box"])
    inside = image[box]
    rows, columns = (_kept(length, parameters["times"]) for length in inside.shape[1:])
    image[box] = inside[:, rows[:, np.newaxis], columns]


def _kept(length: int, times: float) -> Array:
    """Return the index of the middle pixel of the tile that each pixel lies in."""
    middle = (np.floor(np.arange(length) / times) + 0.5) * times
    return np.asarray(np.minimum(middle, length - 1), dtype=np.intp)
