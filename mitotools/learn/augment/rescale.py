"""Stretch y and x, each by a factor of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mitotools.learn.augment.context import Context, Extent, Parameters
    from mitotools.learn.augment.sampling import Sampling

LOW, HIGH = 0.8, 1.25


def draw(rng: np.random.Generator, context: Context, *, low: float = LOW, high: float = HIGH) -> Parameters:  # noqa: ARG001
    """Draw a factor for y and one for x: twice as large is as likely as half as large."""
    return {"factors": np.exp(rng.uniform(np.log(low), np.log(high), 2)).tolist()}


def apply(sampling: Sampling, parameters: Parameters) -> Sampling:
    """Sample 1 / factor as far from the middle."""
    y, x = parameters["factors"]
    return sampling.transformed(np.diag([1 / y, 1 / x]))


def reach(half: Extent, parameters: Parameters) -> Extent:
    """Return how far from the middle is looked up for what lies `half` from it."""
    y, x = parameters["factors"]
    return half[0], half[1] / y, half[2] / x
