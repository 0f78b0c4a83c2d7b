"""Leave out sections: what follows moves up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mitotools.learn.augment.context import Context, Extent, Parameters
    from mitotools.learn.augment.sampling import Sampling

COUNT = 2


def draw(rng: np.random.Generator, context: Context, *, count: int = COUNT) -> Parameters:
    """Draw between which slices of the patch the sections are lost: `after` 3 is between 3 and 4."""
    gaps = max(context.patch[0] - 1, 0)
    return {"after": sorted(rng.integers(gaps, size=count if gaps else 0).tolist())}


def apply(sampling: Sampling, parameters: Parameters) -> Sampling:
    """Take slices one further for each section lost before them, half of that on either side of the patch."""
    after = np.array(parameters["after"], dtype=int)
    lost = np.searchsorted(after, np.arange(len(sampling.depths)))
    return replace(sampling, depths=sampling.depths + np.float32(1) * (lost - len(after) // 2))


def reach(half: Extent, parameters: Parameters) -> Extent:
    """Return how far from the middle is looked up for what lies `half` from it."""
    count = len(parameters["after"])
    return half[0] + count - count // 2, half[1], half[2]
