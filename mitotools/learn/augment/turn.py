"""Turn the plane by any angle."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mitotools.learn.augment.sampling import rotation

if TYPE_CHECKING:
    import numpy as np

    from mitotools.learn.augment.context import Context, Extent, Parameters
    from mitotools.learn.augment.sampling import Sampling

DEGREES = 45.0
"""On either side: `rotate` does the rest."""


def draw(rng: np.random.Generator, context: Context, *, degrees: float = DEGREES) -> Parameters:  # noqa: ARG001
    """Draw an angle."""
    return {"degrees": float(rng.uniform(-degrees, degrees))}


def apply(sampling: Sampling, parameters: Parameters) -> Sampling:
    """Turn the positions about the middle."""
    return sampling.transformed(rotation(math.radians(parameters["degrees"])))


def reach(half: Extent, parameters: Parameters) -> Extent:
    """Return how far from the middle is looked up for what lies `half` from it."""
    radians = abs(math.radians(parameters["degrees"]))
    cos, sin = math.cos(radians), math.sin(radians)
    return half[0], half[1] * cos + half[2] * sin, half[2] * cos + half[1] * sin
