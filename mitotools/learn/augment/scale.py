"""Enlarge or shrink: the same structure in another tissue, or at another voxel size."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mitotools.learn.augment.context import Context, Extent, Parameters
    from mitotools.learn.augment.sampling import Sampling

LOW, HIGH = 0.6, 1.7


def draw(rng: np.random.Generator, context: Context, *, low: float = LOW, high: float = HIGH) -> Parameters:
    """Draw one factor for y and x, and for z too unless slices are sections, which are too far apart."""
    factor = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return {"factors": [1.0 if context.is_sectioned() else factor, factor, factor]}


def apply(sampling: Sampling, parameters: Parameters) -> Sampling:
    """Sample 1 / factor as far from the middle."""
    z, y, x = parameters["factors"]
    scaled = sampling.transformed(np.diag([1 / y, 1 / x]))
    return replace(scaled, depths=scaled.depths / np.float32(z))


def reach(half: Extent, parameters: Parameters) -> Extent:
    """Return how far from the middle is looked up for what lies `half` from it."""
    z, y, x = parameters["factors"]
    return half[0] / z, half[1] / y, half[2] / x
