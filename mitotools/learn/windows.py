"""The fixed grid of overlapping windows, and the blending of what a network makes of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mitotools.volume.blend import partition
from mitotools.volume.blocks import Box, size3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

    from mitotools.conventions import Array, Size

    Probabilities = npt.NDArray[np.float32]

Index = tuple[int, int, int]
"""The number of a window along each axis."""


@dataclass(frozen=True)
class WindowGrid:
    """Windows over a whole volume, anchored at its origin.

    Where they lie, and how much each counts at a voxel, depends on the volume alone, not on the part of it
    that is computed: that is why tiles and parts give the voxels of a direct prediction.

    Parameters
    ----------
    size : (z, y, x) voxels of the volume
    window : (z, y, x) voxels
    starts : three lists of int
        First voxels of the windows along each axis; the one of a volume that is smaller reaches beyond it.
    weights : three lists of (length,) float64
        The weight of each window along each axis.
    """

    size: Size
    window: Size
    starts: tuple[list[int], list[int], list[int]]
    weights: tuple[list[Array], list[Array], list[Array]]

    @classmethod
    def over(cls, size: Size, window: Size, overlap: float, blend: str) -> WindowGrid:
        """Lay windows that share `overlap` of their length.

        Not at multiples of what the network pools: most windows have but one or two of those.
        """
        z, y, x = (_starts(n, w, max(round(w * (1 - overlap)), 1)) for n, w in zip(size, window, strict=True))
        weights = [partition(blend, starts, w) for starts, w in zip((z, y, x), window, strict=True)]
        return cls(size, window, (z, y, x), (weights[0], weights[1], weights[2]))

    def touching(self, box: Box) -> list[Index]:
        """Return the windows that hold a voxel of `box`, in raster order."""
        axes = zip(self.starts, self.window, box.start, box.stop, strict=True)
        z, y, x = (
            [number for number, start in enumerate(starts) if start < stop and start + length > first]
            for starts, length, first, stop in axes
        )
        return list(itertools.product(z, y, x))

    @property
    def step(self) -> int:
        """Slices from one row of windows to the next, in which whole slabs are done."""
        starts = self.starts[0]
        return starts[1] - starts[0] if len(starts) > 1 else self.size[0]

    def box(self, index: Index) -> Box:
        """Return the extent of a window, which may reach beyond the volume."""
        start = size3([starts[number] for starts, number in zip(self.starts, index, strict=True)])
        return Box(start, size3([a + w for a, w in zip(start, self.window, strict=True)]))

    def weight(self, index: Index, part: Box) -> Probabilities:
        """Return the weights of a window's voxels in `part`, which counts from the window's corner."""
        axes = zip(self.weights, index, part.slices, strict=True)
        z, y, x = (weights[number][piece].astype(np.float32) for weights, number, piece in axes)
        product_: Probabilities = z[:, None, None] * y[:, None] * x
        return product_


def blended(
    grid: WindowGrid, box: Box, predicted: Iterable[tuple[Index, Probabilities]]
) -> Iterator[tuple[Box, Probabilities]]:
    """Yield the blended prediction of `box`, in slabs of whole slices from the first to the last.

    In memory is one row of windows: the slices that later rows still add to. Every voxel sums its windows in
    raster order, so that the same sum comes out however a volume is cut into boxes.

    A slab is a view of that memory: it holds until the next one is asked for.

    Parameters
    ----------
    grid : WindowGrid
    box : Box
        The part of the volume to compute.
    predicted : iterable of (z, y, x), (C, Z, Y, X) probabilities
        All of `grid.touching(box)`, in that order, and what a network makes of each window.

    Yields
    ------
    Box, (C, Z, Y, X) float32
        Slabs of `box` in order.
    """
    sums: Probabilities | None = None
    done = box.start[0]
    for row, of_row in itertools.groupby(predicted, key=lambda item: item[0][0]):
        start = grid.starts[0][row]
        if sums is not None and start > done:
            yield Box((done, *box.start[1:]), (start, *box.stop[1:])), sums[:, : start - done]
            _move_up(sums, start - done)
            done = start
        extent = Box((done, *box.start[1:]), (min(start + grid.window[0], box.stop[0]), *box.stop[1:]))
        for index, probabilities in of_row:
            if sums is None:
                depth = min(grid.window[0], box.shape[0])
                sums = np.zeros((len(probabilities), depth, *box.shape[1:]), np.float32)
            window = grid.box(index)
            shared = window.intersection(extent)
            own = shared.relative_to(window.start)
            sums[(slice(None), *shared.relative_to(extent.start).slices)] += (
                grid.weight(index, own) * probabilities[(slice(None), *own.slices)]
            )
    if sums is not None:
        yield Box((done, *box.start[1:]), box.stop), sums[:, : box.stop[0] - done]


def padded(read: Callable[[Box], Array], window: Box, size: Size) -> Array:
    """Read a window; what lies beyond the volume is mirrored."""
    whole = Box.whole(size)
    if whole.contains(window):
        return read(window)
    # As much of the volume as lies beyond it, so that there is something to mirror.
    seen = Box(
        size3([min(a, 2 * n - b) for a, b, n in zip(window.start, window.stop, size, strict=True)]),
        size3([max(b, -a) for a, b in zip(window.start, window.stop, strict=True)]),
    )
    inside = seen.intersection(whole)
    missing = [(i - a, b - j) for a, i, j, b in zip(
        seen.start, inside.start, inside.stop, seen.stop, strict=True)]  # fmt: skip
    return np.pad(read(inside), missing, mode="symmetric")[window.relative_to(seen.start).slices]


def _move_up(sums: Probabilities, count: int) -> None:
    """Drop the first `count` slices and append empty ones, in place."""
    depth = sums.shape[1]
    for z in range(depth - count):
        sums[:, z] = sums[:, z + count]
    sums[:, max(depth - count, 0) :] = 0


def _starts(length: int, window: int, step: int) -> list[int]:
    """Return where windows begin, of which the last ends with the volume: beyond it there is but a mirror."""
    last = max(length - window, 0)
    return [*range(0, last, step), last]
