"""Bend the plane: random displacements, smoothed, the same in every slice (Simard et al., ICDAR 2003)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from mitotools.learn.augment.context import Context, Extent, Parameters
    from mitotools.learn.augment.sampling import Sampling

ALPHA, SIGMA = 16.0, 4.0

LIMIT = 6.0
"""Displacements are cut at so many standard deviations, which none in a million exceeds."""


def draw(
    rng: np.random.Generator,
    context: Context,  # noqa: ARG001
    *,
    alpha: float = ALPHA,
    sigma: float = SIGMA,
) -> Parameters:
    """Draw the seed of a field: U(-1, 1) pixels, smoothed over `sigma` pixels, times `alpha`."""
    return {"seed": int(rng.integers(2**32)), "alpha": alpha, "sigma": sigma}


def apply(sampling: Sampling, parameters: Parameters) -> Sampling:
    """Displace every position in the plane."""
    noise = np.random.default_rng(parameters["seed"]).random(sampling.plane.shape, dtype=np.float32) * 2 - 1
    sigma = parameters["sigma"]
    field = ndimage.gaussian_filter(noise, (0, sigma, sigma), mode="wrap") * parameters["alpha"]
    limit = _limit(parameters)
    return replace(sampling, plane=sampling.plane + np.clip(field, -limit, limit))


def reach(half: Extent, parameters: Parameters) -> Extent:
    """Return how far from the middle is looked up for what lies `half` from it."""
    limit = _limit(parameters)
    return half[0], half[1] + limit, half[2] + limit


def _limit(parameters: Parameters) -> float:
    """Return the longest displacement: noise of deviation 1/sqrt(3), smoothed in two dimensions."""
    deviation = 3**-0.5 / (2 * np.pi**0.5 * parameters["sigma"])
    return float(LIMIT * deviation * parameters["alpha"])
