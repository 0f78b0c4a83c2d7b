"""A random box within a patch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from mitotools.conventions import Size


def draw(rng: np.random.Generator, patch: Size, ratio: float) -> list[list[int]]:
    """Draw [start, stop] along z, y and x, of 1 voxel up to a part `ratio` of the patch."""
    box = []
    for length in patch:
        side = int(rng.integers(1, max(round(ratio * length), 1) + 1))
        start = int(rng.integers(length - side + 1))
        box.append([start, start + side])
    return box


def slices(box: list[list[int]]) -> tuple[slice, ...]:
    """Return the slices of a box."""
    return tuple(slice(start, stop) for start, stop in box)
