"""Some slices of a volume that has too many, and what lies between them."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mitotools.stages.blocks.views import Regridded, voxel_size_on
from mitotools.volume.blocks import Box, size3

if TYPE_CHECKING:
    from mitotools.conventions import Array
    from mitotools.stages.blocks.pieces import Seen


def picked_slices(depth: int, count: int) -> list[int]:
    """Return which `count` of `depth` slices are picked: of those that each stands for, the middle one.

    Of an even number it is the one behind the middle.
    """
    return [(2 * z + 1) * depth // (2 * count) for z in range(count)]


@dataclass(frozen=True)
class Picked(Regridded):
    """Some slices of a volume, evenly spread: `picked_slices`."""

    @classmethod
    def of(cls, seen: Seen, count: int) -> Seen:
        """Return `count` slices of the volume, its voxel size changed to fit."""
        depth, *plane = seen.spec.size
        size = size3([count, *plane])
        chunks = size3([max(seen.spec.chunks[0] * count // depth, 1), *seen.spec.chunks[1:]])
        shape, voxel_size = seen.spec.shape[:-3] + size, voxel_size_on(size, seen.spec)
        return cls(seen, replace(seen.spec, shape=shape, voxel_size_nm=voxel_size, chunks=chunks))

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels."""
        slices = picked_slices(self.seen.spec.size[0], self.spec.size[0])[box.start[0] : box.stop[0]]
        first, last = slices[0], slices[-1]
        array = self.seen.read(Box((first, *box.start[1:]), (last + 1, *box.stop[1:])))
        return array[..., [z - first for z in slices], :, :]


@dataclass(frozen=True)
class Between:
    """A slice between two that were picked, as a mean of them; outside all, the nearest.

    Parameters
    ----------
    before, after : int
        Which of those that were picked.
    part : float
        Of the second one, 0 to 1.
    """

    before: int
    after: int
    part: float

    @classmethod
    def of(cls, z: int, picked: list[int]) -> Between:
        """Return how slice `z` of the volume is made."""
        after = bisect_right(picked, z)
        before = max(after - 1, 0)
        after = min(after, len(picked) - 1)
        distance = picked[after] - picked[before]
        return cls(before, after, (z - picked[before]) / distance if distance and z > picked[before] else 0.0)

    def of_slices(self, slices: Array, first: int) -> Array:
        """Return the slice of float (C, Z, Y, X) of those that were picked, from number `first` on."""
        before, after = slices[:, self.before - first], slices[:, self.after - first]
        part = np.float32(self.part)
        mean: Array = before * (1 - part) + after * part
        return mean
