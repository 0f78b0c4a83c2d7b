"""Blocks of a volume, each seen with the first plane of the next ones, and what it shares with them.

What two blocks see of a component meets in the voxels that both see. Those are the only voxels that have to
be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Array, Size
    from mitotools.segment.blockwise.runs import Components

    Flags = npt.NDArray[np.bool_]
    Integers = npt.NDArray[np.int64]

NOWHERE = np.iinfo(np.int64).max
"""First voxel of a component that has none in the block itself."""

RUN = np.dtype([("start", "<i8"), ("length", "<i4"), ("id", "<u4")])
"""A run of voxels along x: index of the first one in the whole volume, in C order, and whose they are."""

_INSIDE, _SEVERAL, _SHARED = np.uint8(1), np.uint8(16), np.uint8(32)
_NEXT = (np.uint8(2), np.uint8(4), np.uint8(8))
"""Where a component has voxels: in the block, in several next blocks at once, in planes that others see as
well; in the next block along one axis."""


@dataclass(frozen=True)
class Place:
    """Where a block lies.

    Parameters
    ----------
    origin, core : (z, y, x)
        The block's first voxel, and its shape without the planes that it shares with the next blocks.
    volume : (Z, Y, X)
        Shape of the whole volume.
    """

    origin: Size
    core: Size
    volume: Size

    @staticmethod
    def whole(shape: tuple[int, ...]) -> Place:
        """Return the place of a volume that is one block."""
        depth, height, width = shape
        return Place((0, 0, 0), (depth, height, width), (depth, height, width))

    @property
    def has_before(self) -> tuple[bool, bool, bool]:
        """Whether there is a block before this one, along each axis."""
        z, y, x = (start > 0 for start in self.origin)
        return z, y, x

    @property
    def has_next(self) -> tuple[bool, bool, bool]:
        """Whether there is a block behind this one, along each axis."""
        z, y, x = (a + n < end for a, n, end in zip(self.origin, self.core, self.volume, strict=True))
        return z, y, x


def is_open(components: Components, place: Place) -> Flags:
    """Return which components other blocks may share, by number; 0 stands for none.

    A component that lies wholly in the first plane of one next block is not among them: that block sees all
    of it, and this one knows nothing more. In noise these are most of what is seen of other blocks.
    """
    where = np.zeros(components.count + 1, np.uint8)
    runs = components.runs
    _find_where(runs.starts, runs.stops, components.numbers, runs.shape, place.core, place.has_before, where)
    found: Flags = ((where & _SHARED) != 0) & ~np.isin(where & ~_SHARED, _NEXT)
    return found


def sizes_and_firsts(components: Components, place: Place) -> tuple[Integers, Integers]:
    """Return the voxels of each component in the block itself, and the index in the volume of the first."""
    sizes = np.zeros(components.count + 1, np.int64)
    firsts = np.full(components.count + 1, NOWHERE, np.int64)
    runs = core_runs(components, place, np.ones(components.count + 1, np.bool_))
    _measure(runs, sizes, firsts)
    return sizes, firsts


def core_runs(components: Components, place: Place, wanted: Flags) -> Array:
    """Return the runs of wanted components in the block itself, as `RUN`; their ids are the components."""
    runs = components.runs
    return runs_in_core(
        runs.starts, runs.stops, components.numbers, wanted[components.numbers], runs.shape, place
    )


def runs_in_core(starts: Array, stops: Array, ids: Array, wanted: Flags, shape: Size, place: Place) -> Array:
    """Return runs, given by indices in the block as it is seen, as far as they are in the block itself.

    Parameters
    ----------
    starts, stops, ids : (R,) integers
        Runs, ascending.
    wanted : (R,) bool
    shape : (z, y, x)
        Of the block with the planes that it shares with the next ones.
    place : Place

    Returns
    -------
    (N,) array of RUN
    """
    found = np.empty(int(wanted.sum()), RUN)
    count = _cut(starts, stops, ids, wanted, shape, place.origin, place.core, place.volume, found)
    return found[:count]


def shared_voxels(components: Components, place: Place, volume: Array) -> tuple[Integers, Integers]:
    """Return voxels that other blocks see as well, and the component at each.

    Of each run along a shared plane there is the first voxel: runs are cut alike by all blocks that see them,
    because they see all of them, save at the block's edges: there every voxel is named. Planes of one x have
    runs along y.

    Parameters
    ----------
    components : Components
    place : Place
    volume : (Z, Y, X) array
        What the runs were found in.

    Returns
    -------
    at, ids : (N,) int64
        Index in the volume; number of the component.
    """
    runs = components.runs
    arguments = (runs.starts, runs.stops, components.numbers, volume, place.origin, place.core, place.volume,
                 place.has_before, place.has_next)  # fmt: skip
    count = _share(*arguments, np.empty(0, np.int64), np.empty(0, np.int64))
    at, ids = np.empty(count, np.int64), np.empty(count, np.int64)
    _share(*arguments, at, ids)
    return at, ids


@njit(cache=True, nogil=True)
def _find_where(
    starts: Array,
    stops: Array,
    numbers: Array,
    shape: Size,
    core: Size,
    before: tuple[bool, bool, bool],
    where: Array,
) -> None:
    """Note of each component whether it is shared, and where: in the block, in one next block, in several."""
    _, height, width = shape
    for run in range(starts.size):
        row = starts[run] // width
        z, y = row // height, row % height
        first, last = starts[run] - row * width, stops[run] - row * width
        is_row_next = z == core[0] or y == core[1]
        place = _SEVERAL if z == core[0] and y == core[1] else _NEXT[0] if z == core[0] else _NEXT[1]
        if first < core[2]:
            where[numbers[run]] |= place if is_row_next else _INSIDE
        if last > core[2]:
            where[numbers[run]] |= _SEVERAL if is_row_next else _NEXT[2]
        is_before = (before[0] and z == 0) or (before[1] and y == 0) or (before[2] and first == 0)
        if is_before or is_row_next or last > core[2]:
            where[numbers[run]] |= _SHARED


@njit(cache=True, nogil=True)
def _measure(runs: Array, sizes: Integers, firsts: Integers) -> None:
    for run in runs:
        if sizes[run.id] == 0:
            firsts[run.id] = run.start
        sizes[run.id] += run.length


@njit(cache=True, nogil=True)
def _cut(
    starts: Array, stops: Array, ids: Array, wanted: Flags, shape: Size, origin: Size, core: Size,
    volume: Size, found: Array,
) -> int:  # fmt: skip
    _, height, width = shape
    count = 0
    for run in range(starts.size):
        if not wanted[run]:
            continue
        row = starts[run] // width
        z, y = row // height, row % height
        x, stop = starts[run] - row * width, min(stops[run] - row * width, core[2])
        if z < core[0] and y < core[1] and x < stop:
            found[count].start = ((origin[0] + z) * volume[1] + origin[1] + y) * volume[2] + origin[2] + x
            found[count].length = stop - x
            found[count].id = ids[run]
            count += 1
    return count


@njit(cache=True, nogil=True)
def _share(
    starts: Array, stops: Array, numbers: Array, seen: Array, origin: Size, core: Size, volume: Size,
    before: tuple[bool, bool, bool], behind: tuple[bool, bool, bool], at: Integers, ids: Integers,
) -> int:  # fmt: skip
    """Name shared voxels as far as there is room, and return how many there are."""
    _, height, width = seen.shape
    count = 0
    for run in range(starts.size):
        row = starts[run] // width
        z, y = row // height, row % height
        first, last = starts[run] - row * width, stops[run] - 1 - row * width
        on_zy = (
            (before[0] and z == 0) or (behind[0] and z == core[0])
            or (before[1] and y == 0) or (behind[1] and y == core[1])
        )  # fmt: skip
        position = ((origin[0] + z) * volume[1] + origin[1] + y) * volume[2] + origin[2]
        for end in range(2 if last > first else 1):
            x = last if end else first
            on_x = (before[2] and x == 0) or (behind[2] and x == core[2])
            starts_y = y == 0 or y == height - 1 or seen[z, y - 1, x] == 0
            if (on_zy and (end == 0 or x == width - 1)) or (on_x and starts_y):
                if count < at.size:
                    at[count], ids[count] = position + x, numbers[run]
                count += 1
    return count
