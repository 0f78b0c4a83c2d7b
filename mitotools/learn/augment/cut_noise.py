"""Add noise to a cuboid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mitotools.learn.augment import cuboid

if TYPE_CHECKING:
    from mitotools.conventions import Array
    from mitotools.learn.augment.context import Context, Parameters

RATIO, STRENGTH = 0.4, 0.3


def draw(
    rng: np.random.Generator, context: Context, *, ratio: float = RATIO, strength: float = STRENGTH
) -> Parameters:
    """Draw a cuboid and the seed of its noise."""
    box = cuboid.draw(rng, context.patch, ratio)
    return {"box": box, "seed": int(rng.integers(2**32)), "strength": strength}


def apply(image: Array, parameters: Parameters) -> None:
    """Add U(-strength, strength) to each voxel, in place, and clip to 0..1."""
    inside = image[cuboid.slices(parameters["box"])]
    noise = np.random.default_rng(parameters["seed"]).random(inside.shape, dtype=np.float32)
    inside += (2 * noise - 1) * np.float32(parameters["strength"])
    np.clip(inside, 0, 1, out=inside)
