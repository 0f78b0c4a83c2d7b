"""Components of equal voxels across cells: the pieces of an instance, and the holes in instances.

A cell is a block seen with the first planes of the next ones, as in `segment.blockwise.places`. Two
cells that see a plane, a line or a voxel both see all of it: they find the same components within it, and
name each by its first voxel. What they call it is thereby known to be one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from skimage.measure import label

from mitotools.segment.blockwise.joining import every, group_firsts, joined
from mitotools.segment.blockwise.tables import Shared

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mitotools.conventions import Array, Labels, Size
    from mitotools.segment.blockwise.places import Flags, Integers, Place
    from mitotools.segment.runs import Ids

BYTES_PER_VOXEL = 40
"""What the components of a cell take beside its labels (measured: 31)."""

_FACES, _CORNERS = 1, 3
"""Of how many axes neighbours may differ in."""


@dataclass(frozen=True, eq=False)
class Cell:
    """What a cell knows of its components, which are numbered from 1.

    Parameters
    ----------
    shared : Shared
        All of them, by their first voxels, and the voxels by which other cells know them. Sizes are left 0.
    low, high : (N,) uint64
        Of pieces, both times the id. Of background, the lowest and the highest id that it touches.
    is_outside : (N,) bool
        Whether it reaches a face of the volume.
    """

    shared: Shared
    low: Ids
    high: Ids
    is_outside: Flags

    @property
    def rows(self) -> int:
        """Rows of both kinds."""
        return self.shared.rows


def pieces_of(labels: Labels) -> Integers:
    """Return the 26-connected pieces of instances, numbered 1..n.

    Parameters
    ----------
    labels : (Z, Y, X) unsigned integer

    Returns
    -------
    (Z, Y, X) int64
        0 is background. The numbers depend on the labels alone.
    """
    return _components(labels, _CORNERS)


def gaps_of(labels: Labels) -> Integers:
    """Return the 6-connected regions of background, numbered likewise; 0 are the instances."""
    return _components(labels == 0, _FACES)


def piece_cell(labels: Labels, place: Place) -> Cell:
    """Return what a cell knows of the pieces of instances.

    Parameters
    ----------
    labels : (Z, Y, X) unsigned integer
        With the first planes of the next cells.
    place : Place
    """
    numbers = pieces_of(labels)
    firsts = _firsts(numbers)
    ids = labels.reshape(-1)[firsts].astype(np.uint64)
    return Cell(_shared(labels, numbers, firsts, _CORNERS, place), ids, ids, np.zeros(ids.size, np.bool_))


def gap_cell(labels: Labels, place: Place) -> Cell:
    """Return what a cell knows of regions of background."""
    numbers = gaps_of(labels)
    firsts = _firsts(numbers)
    low = np.full(firsts.size + 1, np.iinfo(np.uint64).max)
    high = np.zeros(firsts.size + 1, np.uint64)
    _touch(numbers, labels, low, high)
    is_outside = np.zeros(firsts.size + 1, np.bool_)
    for axis in range(3):
        ends = ([] if place.has_before[axis] else [0]) + ([] if place.has_next[axis] else [-1])
        is_outside[numbers.take(ends, axis)] = True
    return Cell(_shared(labels == 0, numbers, firsts, _FACES, place), low[1:], high[1:], is_outside[1:])


def split_ids(cells: Sequence[Cell], only: Ids | None = None) -> tuple[list[Ids | None], int]:
    """Give pieces of instances ids of their own.

    Parameters
    ----------
    cells : sequence of Cell
        Of all the volume.
    only : (K,) uint64, optional
        The instances whose pieces are meant; all by default.

    Returns
    -------
    tables : list of (N + 1,) uint64, or None
        The id of each piece of a cell; None where all keep theirs. The piece with the first voxel of an
        instance, in raster order, keeps its id; the others get new ones in the order of their first voxels,
        above the largest.
    largest : int
        The largest id thereafter.
    """
    shared = [cell.shared for cell in cells]
    groups = joined(shared)
    firsts = group_firsts(shared, groups)
    ids = np.zeros(groups.count, np.uint64)
    ids[groups.group_of] = _all_ids([cell.low for cell in cells])
    order = np.lexsort((firsts, ids))
    others = order[1:][ids[order][1:] == ids[order][:-1]]
    others = others[np.argsort(firsts[others])]
    if only is not None:
        others = others[np.isin(ids[others], only)]
    largest = int(ids.max(initial=0))
    new = ids.copy()
    if largest + others.size < 2**64:
        new[others] = np.uint64(largest) + np.arange(1, others.size + 1, dtype=np.uint64)
    return _by_cell(new[groups.group_of], (new != ids)[groups.group_of], cells), largest + others.size


def hole_ids(cells: Sequence[Cell]) -> list[Ids | None]:
    """Find the regions of background that reach no face of the volume and touch one instance alone.

    Parameters
    ----------
    cells : sequence of Cell
        Of all the volume.

    Returns
    -------
    list of (N + 1,) uint64, or None
        The id that fills each region of a cell, 0 where it stays; None where all do.
    """
    groups = joined([cell.shared for cell in cells])
    low = np.full(groups.count, np.iinfo(np.uint64).max)
    high = np.zeros(groups.count, np.uint64)
    is_outside = np.zeros(groups.count, np.bool_)
    np.minimum.at(low, groups.group_of, _all_ids([cell.low for cell in cells]))
    np.maximum.at(high, groups.group_of, _all_ids([cell.high for cell in cells]))
    is_outside[groups.group_of[np.concatenate([cell.is_outside for cell in cells])]] = True
    fill = np.where((low == high) & ~is_outside, low, np.uint64(0))
    return _by_cell(fill[groups.group_of], (fill != 0)[groups.group_of], cells)


def _by_cell(values: Ids, is_changed: Flags, cells: Sequence[Cell]) -> list[Ids | None]:
    """Cut a column of all parts into tables of the cells, with a 0 in front."""
    ends = np.cumsum([cell.low.size for cell in cells])[:-1]
    return [
        np.concatenate([np.zeros(1, np.uint64), own]) if changed.any() else None
        for own, changed in zip(np.split(values, ends), np.split(is_changed, ends), strict=True)
    ]


def _all_ids(columns: Sequence[Ids]) -> Ids:
    return np.concatenate([np.zeros(0, np.uint64), *columns])


def _components(values: Array, most_axes: int) -> Integers:
    numbers: Integers = label(values, background=0, connectivity=most_axes).astype(np.int64, copy=False)
    return numbers


def _firsts(numbers: Integers) -> Integers:
    """Return the index of the first voxel of each component, in C order.

    The numbers themselves are not always in that order: of an array with an axis of one voxel scikit-image
    may go another way.
    """
    firsts = np.full(int(numbers.max(initial=0)), -1)
    _find_firsts(numbers.reshape(-1), firsts)
    return firsts


def _shared(values: Array, numbers: Integers, firsts: Integers, most_axes: int, place: Place) -> Shared:
    found = list(_named(values, most_axes, place))
    at = np.unique(every(found))
    return Shared(
        ids=np.arange(1, firsts.size + 1, dtype=np.uint32),
        firsts=_in_volume(firsts, numbers.shape, place),
        voxels=np.zeros(firsts.size, np.uint32),
        at=_in_volume(at, numbers.shape, place),
        at_ids=numbers.reshape(-1)[at].astype(np.uint32),
        is_next=np.zeros(at.size, np.bool_),
    )


def _named(values: Array, most_axes: int, place: Place) -> Iterator[Integers]:
    """Yield the first voxels of components within each plane, line and voxel that other cells see as well."""
    whole = slice(None)
    ends = [
        [whole, *([slice(0, 1)] if before else []), *([slice(core, core + 1)] if behind else [])]
        for core, before, behind in zip(place.core, place.has_before, place.has_next, strict=True)
    ]
    for part in product(*ends):
        if part == (whole, whole, whole):
            continue
        inside = values[part]
        firsts = _firsts(_components(inside, most_axes))
        offsets = (edge.start or 0 for edge in part)
        corners = zip(np.unravel_index(firsts, inside.shape), offsets, strict=True)
        yield np.ravel_multi_index([position + offset for position, offset in corners], values.shape)


def _in_volume(indices: Integers, shape: tuple[int, ...], place: Place) -> Integers:
    """Return the indices in the volume of voxels that are given by those in the cell."""
    positions = zip(np.unravel_index(indices, shape), place.origin, strict=True)
    z, y, x = (position.astype(np.int64) + start for position, start in positions)
    found: Integers = (z * place.volume[1] + y) * place.volume[2] + x
    return found


@njit(cache=True, nogil=True)
def _find_firsts(numbers: Integers, firsts: Integers) -> None:
    for i in range(numbers.size):
        number = numbers[i]
        if number > 0 and firsts[number - 1] < 0:
            firsts[number - 1] = i


@njit(cache=True, nogil=True)
def _touch(numbers: Integers, labels: Labels, low: Ids, high: Ids) -> None:
    """Note the lowest and the highest id that shares a face with each region of background."""
    depth, height, width = numbers.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if z > 0:
                    _meet(numbers, labels, (z, y, x), (z - 1, y, x), low, high)
                if y > 0:
                    _meet(numbers, labels, (z, y, x), (z, y - 1, x), low, high)
                if x > 0:
                    _meet(numbers, labels, (z, y, x), (z, y, x - 1), low, high)


@njit(cache=True, nogil=True, inline="always")
def _meet(numbers: Integers, labels: Labels, one: Size, other: Size, low: Ids, high: Ids) -> None:
    number = max(numbers[one], numbers[other])
    if number == 0 or (labels[one] == 0) == (labels[other] == 0):
        return
    met = np.uint64(labels[one]) if labels[one] != 0 else np.uint64(labels[other])
    if met < low[number]:
        low[number] = met
    if met > high[number]:
        high[number] = met
