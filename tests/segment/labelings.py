"""Small random labelings for property tests, and ways to cut them into blocks."""

from __future__ import annotations

from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Region = tuple[slice, slice, slice]


def volumes() -> st.SearchStrategy[np.ndarray]:
    """Labels 0..5 of independent voxels."""
    return npst.arrays(
        np.uint8,
        npst.array_shapes(min_dims=3, max_dims=3, max_side=6),
        elements=st.integers(0, 5),
    )


@st.composite
def pairs(draw: Callable) -> tuple[np.ndarray, np.ndarray]:
    """Return prediction and truth that agree on many voxels, so that IoU of 1/2 and of 1 are among them."""
    truth = draw(volumes())
    other = draw(npst.arrays(np.uint8, truth.shape, elements=st.integers(0, 5)))
    changed = draw(npst.arrays(bool, truth.shape))
    names = np.array([0, *draw(st.permutations(range(1, 6)))], np.uint8)
    return names[np.where(changed, other, truth)], truth


@st.composite
def cuts(draw: Callable, shape: tuple[int, int, int]) -> list[Region]:
    """Return regions that together cover a volume once, in any order."""
    edges = [sorted({0, n, *draw(st.lists(st.integers(0, n), max_size=2))}) for n in shape]
    return draw(st.permutations(list(regions(edges))))


def regions(edges: list[list[int]]) -> Iterator[Region]:
    return product(*([slice(start, stop) for start, stop in pairwise(side)] for side in edges))
