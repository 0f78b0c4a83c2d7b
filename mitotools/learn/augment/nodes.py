"""Values at a few nodes, interpolated between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mitotools.conventions import Array


def node_weights(places: Array, count: int) -> Array:
    """Return the (places, count) float32 weights of linear interpolation at places from 0 to count - 1."""
    nodes = np.arange(count, dtype=np.float32)
    return np.asarray(np.clip(1 - np.abs(places[:, np.newaxis] - nodes), 0, 1), np.float32)
