"""Lay sections beside their place: one of them (a slip), or all from one on."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mitotools.learn.augment.context import Context, Extent, Parameters
    from mitotools.learn.augment.sampling import Sampling

PIXELS = 16


def draw(rng: np.random.Generator, context: Context, *, pixels: int = PIXELS) -> Parameters:
    """Draw a shift, or a rotation that moves the border as far, of a slip or of all sections from one on."""
    first = int(rng.integers(1, max(context.patch[0], 2)))
    slip, turned = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    shift = rng.integers(-pixels, pixels + 1, 2).tolist()
    angle = float(rng.uniform(-1, 1) * _most(context, pixels))
    return {
        "first": first,
        "stop": first + 1 if slip else context.patch[0],
        "shift": [0, 0] if turned else shift,
        "radians": angle if turned else 0.0,
    }


def apply(sampling: Sampling, parameters: Parameters) -> Sampling:
    """Displace the sections."""
    number = np.arange(len(sampling.depths))
    hit = (parameters["first"] <= number) & (number < parameters["stop"])
    return replace(
        sampling,
        angles=sampling.angles + np.float32(parameters["radians"]) * hit,
        shifts=sampling.shifts + np.outer(hit, np.array(parameters["shift"], np.float32)),
    )


def reach(half: Extent, parameters: Parameters) -> Extent:
    """Return how far from the middle is looked up for what lies `half` from it."""
    sin = math.sin(abs(parameters["radians"]))
    y, x = (abs(pixels) for pixels in parameters["shift"])
    return half[0], half[1] + max(half[2] * sin, y), half[2] + max(half[1] * sin, x)


def _most(context: Context, pixels: int) -> float:
    """Return the angle that moves the middle of the longest side by `pixels`, at most a right one."""
    return math.asin(min(pixels / max(context.patch[1:]) * 2, 1.0))
