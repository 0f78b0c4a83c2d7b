"""Block grids, in whole voxels."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mitotools.conventions import Size


def size3(values: Sequence[int]) -> Size:
    """Return three integers as a (z, y, x) tuple."""
    z, y, x = (int(value) for value in values)
    return z, y, x


@dataclass(frozen=True, order=True)
class Box:
    """A half-open extent of voxels.

    Parameters
    ----------
    start, stop : (z, y, x) voxels
        The first voxel inside, and the first one behind.
    """

    start: Size
    stop: Size

    @classmethod
    def whole(cls, shape: Size) -> Box:
        """Return the extent of a volume of this shape."""
        return cls((0, 0, 0), shape)

    @classmethod
    def slab(cls, shape: Size, axis: int, first: int, last: int) -> Box:
        """Return the slices from the first to the last across an axis of a volume of this shape."""
        whole = cls.whole(shape)
        start = [first if i == axis else a for i, a in enumerate(whole.start)]
        stop = [last + 1 if i == axis else b for i, b in enumerate(whole.stop)]
        return cls(size3(start), size3(stop))

    @property
    def shape(self) -> Size:
        """Number of voxels along (z, y, x)."""
        return size3([b - a for a, b in zip(self.start, self.stop, strict=True)])

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The extent as an index of a (Z, Y, X) array."""
        z, y, x = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x

    @property
    def is_empty(self) -> bool:
        """Whether there is no voxel inside."""
        return any(length <= 0 for length in self.shape)

    def grown(self, margin: Size, within: Size) -> Box:
        """Return the box with `margin` voxels more on every side, clipped to a volume of shape `within`."""
        start = size3([max(a - m, 0) for a, m in zip(self.start, margin, strict=True)])
        stop = size3([min(b + m, w) for b, m, w in zip(self.stop, margin, within, strict=True)])
        return Box(start, stop)

    def shifted(self, offset: Size) -> Box:
        """Return the box moved by `offset` voxels."""
        start = size3([a + o for a, o in zip(self.start, offset, strict=True)])
        stop = size3([b + o for b, o in zip(self.stop, offset, strict=True)])
        return Box(start, stop)

    def relative_to(self, origin: Size) -> Box:
        """Return the box in coordinates that count from `origin`."""
        return self.shifted(size3([-o for o in origin]))

    def intersection(self, other: Box) -> Box:
        """Return what both boxes share; `is_empty` tells whether that is nothing."""
        start = size3([max(a, b) for a, b in zip(self.start, other.start, strict=True)])
        stop = size3([min(a, b) for a, b in zip(self.stop, other.stop, strict=True)])
        return Box(start, stop)

    def contains(self, other: Box) -> bool:
        """Whether `other` lies inside."""
        return self.intersection(other) == other

    def __str__(self) -> str:
        """Return the extent as a crop: ``[z0:z1,y0:y1,x0:x1]``."""
        return "[" + ",".join(f"{a}:{b}" for a, b in zip(self.start, self.stop, strict=True)) + "]"


def grid(shape: Size, block: Size) -> list[Box]:
    """Cut a volume into blocks, in raster order; the last ones may be smaller.

    Parameters
    ----------
    shape : (z, y, x) voxels of the volume
    block : (z, y, x) voxels of a block
    """
    return list(boxes_within(Box.whole(shape), block))


def boxes_within(box: Box, block: Size) -> Iterator[Box]:
    """Cut `box` along the grid of `block` that is anchored at the volume's origin, in raster order."""
    ranges = (range(a // b, -(-c // b)) for a, b, c in zip(box.start, block, box.stop, strict=True))
    for index in itertools.product(*ranges):
        start = size3([i * b for i, b in zip(index, block, strict=True)])
        stop = size3([a + b for a, b in zip(start, block, strict=True)])
        yield Box(start, stop).intersection(box)


def block_shape(shape: Size, multiple: Size, voxels: int) -> Size:
    """Return the largest sensible block: whole multiples of `multiple`, about `voxels` voxels at most.

    The block grows along x, then y, then z, so that it stays contiguous in files that store slices.
    """
    block = [min(m, s) for m, s in zip(multiple, shape, strict=True)]
    for axis in (2, 1, 0):
        others = block[0] * block[1] * block[2] // block[axis]
        times = max(voxels // (others * multiple[axis]), 1)
        block[axis] = min(times * multiple[axis], shape[axis])
    return size3(block)
