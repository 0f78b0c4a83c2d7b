"""Wipe out a band across sections, as where one was folded or torn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mitotools.conventions import Array
    from mitotools.learn.augment.context import Context, Parameters

HALF_WIDTH = 64
"""The line is dilated so many times by a cross."""

SHARE = 0.9
"""How often a section is hit, unless one of the two before it was (PyTorch Connectomics)."""

SPARED = 2


def draw(
    rng: np.random.Generator, context: Context, *, half_width: int = HALF_WIDTH, share: float = SHARE
) -> Parameters:
    """Draw the sections that are hit, and for each a line between two opposite edges."""
    bands: list[dict[str, Any]] = []
    for number in range(context.patch[0]):
        spared = bands and number - bands[-1]["slice"] <= SPARED
        if not spared and rng.random() < share:
            bands.append({"slice": number, "line": _line(rng, context), "half_width": half_width})
    return {"bands": bands}


def apply(image: Array, parameters: Parameters) -> None:
    """Fill each band with the mean of its section, in place."""
    for band in parameters["bands"]:
        section = image[band["slice"]]
        section[_band(section.shape, band)] = section.mean()


def _line(rng: np.random.Generator, context: Context) -> list[list[int]]:
    """Draw where a line starts and ends, (y, x): from top to bottom, or from left to right."""
    _, height, width = context.patch
    if rng.random() < 0.5:
        return [[0, int(rng.integers(width))], [height - 1, int(rng.integers(width))]]
    return [[int(rng.integers(height)), 0], [int(rng.integers(height)), width - 1]]


def _band(shape: tuple[int, ...], band: dict[str, Any]) -> Array:
    """Return what is within `half_width` of a line, by the sum of the distances along y and x."""
    (y0, x0), (y1, x1) = band["line"]
    dy, dx = y1 - y0, x1 - x0
    y, x = np.ogrid[: shape[0], : shape[1]]
    return np.asarray(np.abs((y - y0) * dx - (x - x0) * dy) <= band["half_width"] * max(abs(dy), abs(dx)))
