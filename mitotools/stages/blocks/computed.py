"""Labels that are computed from others when they are read: a block with the margin that it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mitotools.segment.runs import require_ids
from mitotools.volume.base import Volume
from mitotools.volume.blocks import size3

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitotools.conventions import Array, Labels, Size
    from mitotools.volume.base import VolumeSpec
    from mitotools.volume.blocks import Box


class Step(Protocol):
    """Something that is done to labels."""

    def read(self, base: Volume, box: Box) -> Labels:
        """Return the new labels of `box`."""

    def bytes_per_voxel(self, base: Volume, block: Size) -> float:
        """Return what reading takes of each voxel of such a block, the new labels not counted."""


@dataclass(frozen=True)
class _Reader:
    """A volume and what is done to it, as something to read from."""

    base: Volume
    step: Step
    spec: VolumeSpec

    def read(self, box: Box) -> Labels:
        return self.step.read(self.base, box)

    def close(self) -> None:
        self.base.close()


class Computed(Volume):
    """The labels that a step makes of a volume's.

    Parameters
    ----------
    base : Volume
    step : Step
    dtype : numpy.dtype
        Of the new labels.
    """

    def __init__(self, base: Volume, step: Step, dtype: np.dtype[Any]) -> None:
        super().__init__(_Reader(base, step, replace(base.spec, dtype=dtype)), base.name)
        self._base, self._step = base, step

    def pieces(self, box: Box, voxels: int) -> list[Box]:  # noqa: ARG002 (as volumes are asked)
        """Leave `box` whole: every piece would have a margin of its own."""
        return [box]

    @property
    def offset(self) -> Size:
        """Where in the file the volume starts: (z, y, x) voxels."""
        return self._base.offset

    def bytes_per_voxel(self, unit: Size) -> float:
        """Return what is in memory for each voxel of a block while it is read, at most.

        Parameters
        ----------
        unit : (z, y, x)
            Blocks are multiples of it.
        """
        block = size3([min(u, n) for u, n in zip(unit, self.spec.size, strict=True)])
        below = reading_bytes(self._base, unit)
        return self._step.bytes_per_voxel(self._base, block) + below + self.spec.dtype.itemsize


def reading_bytes(volume: Volume, unit: Size | None = None) -> float:
    """Return what reading a voxel takes beside the voxel: of a volume that is stored, nothing.

    `unit` is what blocks are multiples of; by default that of the volume.
    """
    return volume.bytes_per_voxel(unit or volume.spec.unit) if isinstance(volume, Computed) else 0


@dataclass(frozen=True)
class Unsigned:
    """The same ids in an unsigned type."""

    @classmethod
    def of(cls, base: Volume) -> Volume:
        """Return the labels; those of a type without sign as they are."""
        dtype = base.spec.dtype
        if dtype.kind == "u":
            return base
        return Computed(base, cls(), np.dtype(f"u{dtype.itemsize}"))

    def read(self, base: Volume, box: Box) -> Labels:
        """Return the labels of `box`; InputError where an id is negative."""
        labels = base.read(box)
        require_ids(labels, base.name)
        return labels.view(np.dtype(f"u{labels.itemsize}"))

    def bytes_per_voxel(self, base: Volume, block: Size) -> float:  # noqa: ARG002
        """Return what the volume's own voxels take."""
        return base.spec.dtype.itemsize


@dataclass(frozen=True)
class Stepwise:
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
    def of(cls, base: Volume, change: Callable[[Labels, int], Labels], steps: int) -> Volume:
        """Return the labels after so many steps."""
        if not steps:
            return base
        change(np.zeros((1, 1, 1), base.spec.dtype), 1)  # loaded now, so that its memory is seen
        return Computed(base, cls(change, steps), base.spec.dtype)

    def read(self, base: Volume, box: Box) -> Labels:
        """Return the new labels of `box`."""
        seen = box.grown((self.steps,) * 3, base.spec.size)
        labels: Array = self.change(base.read(seen), self.steps)
        return labels[box.relative_to(seen.start).slices]

    def bytes_per_voxel(self, base: Volume, block: Size) -> float:
        """Return what the block takes three times, margin included: before, after, and in between."""
        grown = (min(b + 2 * self.steps, n) for b, n in zip(block, base.spec.size, strict=True))
        return 3 * base.spec.dtype.itemsize * prod(grown) / prod(block)
