"""Add Gaussian noise, as a faster scan has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mitotools.conventions import Array
    from mitotools.learn.augment.context import Context, Parameters

STRENGTH = 0.1


def draw(rng: np.random.Generator, context: Context, *, strength: float = STRENGTH) -> Parameters:  # noqa: ARG001
    """Draw the standard deviation, of the grey range 0..1, and the seed."""
    return {"sigma": float(rng.uniform(0, strength)), "seed": int(rng.integers(2**32))}


def apply(image: Array, parameters: Parameters) -> None:
    """Add to each voxel, in place, and clip to 0..1."""
    rng = np.random.default_rng(parameters["seed"])
    for section in image:
        section += rng.standard_normal(section.shape, dtype=np.float32) * np.float32(parameters["sigma"])
        np.clip(section, 0, 1, out=section)
