"""Labels that are computed from others when they are read: a block with the margin that it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools.segment.runs import require_ids
from mitotools.stages.blocks.views import View
from mitotools.volume.blocks import size3

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitotools.conventions import Array, Labels, Size
    from mitotools.stages.blocks.pieces import Seen
    from mitotools.volume.base import VolumeSpec
    from mitotools.volume.blocks import Box


class Computed(View):
    """Labels that a step makes of a volume's, with the voxels where they are."""

    def pieces(self, box: Box, voxels: int) -> list[Box]:  # noqa: ARG002 (as volumes are asked)
        """Leave `box` whole: every piece would have a margin of its own."""
        return [box]

    def step_bytes(self, block: Size) -> float:
        """Return what reading takes of each voxel of such a block, the new labels not counted."""
        raise NotImplementedError

    def bytes_per_voxel(self, unit: Size) -> float:
        """Return what is in memory for each voxel of a block while it is read, at most.

        Parameters
        ----------
        unit : (z, y, x)
            Blocks are multiples of it.
        """
        block = size3([min(u, n) for u, n in zip(unit, self.spec.size, strict=True)])
        return self.step_bytes(block) + reading_bytes(self.seen, unit) + self.spec.dtype.itemsize


def computed_spec(seen: Seen, dtype: np.dtype[Any]) -> VolumeSpec:
    """Return what labels in another type are: not how they came to be, which processes need not know."""
    return replace(seen.spec, dtype=dtype, history=())


def reading_bytes(volume: Seen, unit: Size | None = None) -> float:
    """Return what reading a voxel takes beside the voxel: of a volume that is stored, nothing.

    `unit` is what blocks are multiples of; by default that of the volume.
    """
    return volume.bytes_per_voxel(unit or volume.spec.unit) if isinstance(volume, Computed) else 0


@dataclass(frozen=True)
class Unsigned(Computed):
    """The same ids in an unsigned type."""

    @classmethod
    def of(cls, seen: Seen) -> Seen:
        """Return the labels; those of a type without sign as they are."""
        dtype = seen.spec.dtype
        return seen if dtype.kind == "u" else cls(seen, computed_spec(seen, np.dtype(f"u{dtype.itemsize}")))

    def read(self, box: Box) -> Labels:
        """Return the labels of `box`; InputError where an id is negative."""
        labels = self.seen.read(box)
        require_ids(labels, self.name)
        return labels.view(self.spec.dtype)

    def step_bytes(self, block: Size) -> float:  # noqa: ARG002
        """Return what the volume's own voxels take."""
        return self.seen.spec.dtype.itemsize


@dataclass(frozen=True)
class Stepwise(Computed):
    """Erosion or dilation, for which a block comes with as many voxels around it as there are steps.

    Parameters
    ----------
    change : callable
        `eroded` or `dilated` of `segment.morphology`.
    steps : int
    """

    change: Callable[[Labels, int], Labels]
    steps: int

    @classmethod
    def of(cls, seen: Seen, change: Callable[[Labels, int], Labels], steps: int) -> Seen:
        """Return the labels after so many steps."""
        if not steps:
            return seen
        change(np.zeros((1, 1, 1), seen.spec.dtype), 1)  # loaded now, so that its memory is seen
        return cls(seen, computed_spec(seen, seen.spec.dtype), change, steps)

    def read(self, box: Box) -> Labels:
        """Return the new labels of `box`."""
        around = box.grown((self.steps,) * 3, self.spec.size)
        labels: Array = self.change(self.seen.read(around), self.steps)
        return labels[box.relative_to(around.start).slices]

    def step_bytes(self, block: Size) -> float:
        """Return what the block takes three times, margin included: before, after, and in between."""
        grown = (min(b + 2 * self.steps, n) for b, n in zip(block, self.spec.size, strict=True))
        return 3 * self.spec.dtype.itemsize * prod(grown) / prod(block)
