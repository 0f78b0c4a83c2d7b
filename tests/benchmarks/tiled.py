"""Volumes of any size, made of a small one."""

from __future__ import annotations

import numpy as np

from mitotools.volume.blocks import Box


class Tiled:
    """A (C, Z, Y, X) array, mirrored at its faces again and again."""

    def __init__(self, tile: np.ndarray) -> None:
        for axis in (1, 2, 3):
            tile = np.concatenate([tile, np.flip(tile, axis)], axis)
        self._tile = tile
        self._size = tuple(n // 2 for n in tile.shape[1:])

    def read(self, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """Return the voxels of a box, and the number of the tile that each lies in, (Z, Y, X)."""
        along = [np.arange(a, b) for a, b in zip(box.start, box.stop, strict=True)]
        index = [i % n for i, n in zip(along, self._tile.shape[1:], strict=True)]
        z, y, x = np.ix_(*(i // n for i, n in zip(along, self._size, strict=True)))
        return self._tile[(slice(None), *np.ix_(*index))], (z * 1000 + y) * 1000 + x
