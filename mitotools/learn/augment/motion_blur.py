"""Smear sections along y or x, as where the stage moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scipy import ndimage

if TYPE_CHECKING:
    import numpy as np

    from mitotools.conventions import Array
    from mitotools.learn.augment.context import Context, Parameters

COUNT, PIXELS = 2, 11


def draw(
    rng: np.random.Generator, context: Context, *, count: int = COUNT, pixels: int = PIXELS
) -> Parameters:
    """Draw the sections and the direction."""
    depth = context.patch[0]
    slices = sorted(rng.choice(depth, min(count, depth), replace=False).tolist())
    return {"slices": slices, "axis": ["y", "x"][int(rng.integers(2))], "pixels": pixels}


def apply(image: Array, parameters: Parameters) -> None:
    """Replace each pixel by the mean of those beside it, in place; the border mirrors them."""
    axis = ["y", "x"].index(parameters["axis"])
    for number in parameters["slices"]:
        ndimage.uniform_filter1d(image[number], parameters["pixels"], axis, output=image[number])
