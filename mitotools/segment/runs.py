"""Runs of equal voxels, and sums over the voxels that share an id.

Labels change only at the surfaces of instances: on EM volumes about one voxel in thirty starts a run.
Whatever is counted over voxels is therefore counted over runs, and only run starts are sorted.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from mitotools.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy.typing as npt

    from mitotools.conventions import Array

    Ids = npt.NDArray[np.uint64]
    """(N,) instance ids."""

    Integers = npt.NDArray[np.int64]
    """(N,) counts or indices."""

PIECE_VOXELS = 1 << 19
"""Voxels looked at together: few, so that temporaries stay in cache and noise costs little memory; but enough
that threads seldom wait for the interpreter (two are 1.7 times as fast as one; with a quarter, 1.2 times)."""

MERGE_ROWS = 1 << 17
"""Rows of tables that wait before they are merged."""


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of voxels along x in which no volume changes.

    Parameters
    ----------
    starts : (R,) int64
        Index of each run's first voxel, in the C order of the whole block.
    lengths : (R,) int64
        Voxels.
    values : tuple of (R,) array
        The value in the run, one array for each volume, in the volume's own type.
    """

    starts: Integers
    lengths: Integers
    values: tuple[Array, ...]


def iterate_runs(volumes: Sequence[Array], *, within_rows: bool = False) -> Iterator[Runs]:
    """Find the runs of a block, a piece of it at a time.

    Parameters
    ----------
    volumes : sequence of (..., X) array
        Volumes of one shape and of any types, in any memory order.
    within_rows : bool
        Whether a run ends where its row along x ends. Where positions do not matter, runs that go on in the
        next row are fewer.

    Yields
    ------
    Runs
        In C order; together they cover the block once.
    """
    shape = volumes[0].shape
    if prod(shape) == 0:
        return
    width = shape[-1]
    piece = max(width, PIECE_VOXELS // width * width)
    for slab_start, slabs in _flat_slabs(volumes):
        for start in range(0, slabs[0].size, piece):
            pieces = tuple(slab[start : start + piece] for slab in slabs)
            yield _runs_of_piece(pieces, slab_start + start, width if within_rows else 0)


def _flat_slabs(volumes: Sequence[Array]) -> Iterator[tuple[int, list[Array]]]:
    """Yield whole planes, flat: no copy where the memory allows, else of one slab at a time."""
    shape = volumes[0].shape
    plane = prod(shape[1:])
    planes = max(1, PIECE_VOXELS // plane)
    for first in range(0, shape[0], planes):
        yield first * plane, [volume[first : first + planes].reshape(-1) for volume in volumes]


def _runs_of_piece(pieces: tuple[Array, ...], offset: int, row_length: int) -> Runs:
    """Compare neighbours before anything is packed or sorted: a pass at the speed of memory."""
    changes = pieces[0][1:] != pieces[0][:-1]
    for piece in pieces[1:]:
        changes |= piece[1:] != piece[:-1]
    if row_length:
        changes[row_length - 1 :: row_length] = True
    ends = np.flatnonzero(changes)
    starts = np.zeros(len(ends) + 1, np.int64)
    np.add(ends, 1, out=starts[1:])
    lengths = np.diff(starts, append=pieces[0].size)
    values = tuple(piece[starts] for piece in pieces)
    starts += offset
    return Runs(starts, lengths, values)


def require_labels(volume: Array, what: str) -> None:
    """Raise `InputError` if a volume's type cannot hold ids.

    Parameters
    ----------
    volume : array
        Any.
    what : str
        Its name in the message.

    Raises
    ------
    InputError
        If the type is neither integer nor boolean.
    """
    if volume.dtype.kind not in "bui":
        raise InputError(
            what, f"expected integer labels, found {volume.dtype}", "Run 'mitotools decode' first"
        )


def as_ids(values: Array, what: str) -> Ids:
    """Return the values of labels as ids.

    Parameters
    ----------
    values : (R,) integer or bool
        Values of runs, which are all the values of their voxels.
    what : str
        Name of the volume in the message.

    Returns
    -------
    (R,) uint64

    Raises
    ------
    InputError
        If one is negative.
    """
    require_ids(values, what)
    return values.astype(np.uint64)


def require_ids(values: Array, what: str) -> None:
    """Raise `InputError` if one of the values is a negative id; likewise."""
    if values.dtype.kind == "i" and values.size and values.min() < 0:
        raise InputError(what, f"holds the negative id {values.min()}", "Ids are 0 and above")


@dataclass(frozen=True, eq=False)
class Groups:
    """Rows ordered so that those with equal ids stand together.

    Parameters
    ----------
    order : (R,) intp
        Indices that sort the rows.
    firsts : (G,) intp
        Where each group starts in that order.
    """

    order: npt.NDArray[np.intp]
    firsts: npt.NDArray[np.intp]

    def ids(self, column: Ids) -> Ids:
        """Return one id a group, of a (R,) column that was grouped: (G,) uint64."""
        return column[self.order[self.firsts]]

    def reduce(self, values: Integers, how: np.ufunc = np.add) -> Integers:
        """Reduce the rows of each group.

        Parameters
        ----------
        values : (R, ...) int64
            Rows, in the order in which they were given to `group`.
        how : numpy.ufunc
            ``np.add``, ``np.minimum`` or ``np.maximum``.

        Returns
        -------
        (G, ...) int64
        """
        reduced: Integers = how.reduceat(values[self.order], self.firsts, axis=0, dtype=np.int64)
        return reduced


def group(*columns: Ids) -> Groups:
    """Group rows by their ids.

    Parameters
    ----------
    *columns : (R,) uint64
        Ids, any of 64 bits; the first column counts most.

    Returns
    -------
    Groups
        Sorted by the columns.
    """
    rows = len(columns[0])
    if rows == 0:
        return Groups(np.zeros(0, np.intp), np.zeros(0, np.intp))
    bits = [int(column.max()).bit_length() for column in columns]
    index_bits = (rows - 1).bit_length()
    if sum(bits) + index_bits <= 64:
        order, changes = _order_packed(columns, bits, index_bits)
    else:
        order = np.lexsort(columns[::-1])
        changes = np.logical_or.reduce([column[order][1:] != column[order][:-1] for column in columns])
    return Groups(order, np.concatenate(([0], np.flatnonzero(changes) + 1)))


def _order_packed(
    columns: tuple[Ids, ...], bits: list[int], index_bits: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Sort ids and row index as one number: 3 times as fast as an argsort, 5 times as fast as `lexsort`."""
    keys = np.zeros(len(columns[0]), np.uint64)
    for column, width in zip(columns, bits, strict=True):
        keys <<= np.uint64(width)
        keys |= column
    keys <<= np.uint64(index_bits)
    keys |= np.arange(len(keys), dtype=np.uint64)
    keys.sort()
    order = (keys & np.uint64((1 << index_bits) - 1)).astype(np.intp)
    keys >>= np.uint64(index_bits)
    return order, keys[1:] != keys[:-1]


class Table(Protocol):
    """What has rows."""

    def __len__(self) -> int:
        """Return the number of rows."""
        ...


AnyTable = TypeVar("AnyTable", bound=Table)


def merge_gradually(parts: Iterable[AnyTable], merge: Callable[[list[AnyTable]], AnyTable]) -> AnyTable:
    """Merge many tables without holding them all.

    Parameters
    ----------
    parts : iterable of tables
        Taken one by one.
    merge : callable
        Merges a list of tables, of any length, into one. The order and the nesting must not matter to it.

    Returns
    -------
    table
        As if merged at once. At most twice the merged rows, or `MERGE_ROWS`, wait at any time.
    """
    waiting: list[AnyTable] = []
    rows = merged = 0
    for part in parts:
        waiting.append(part)
        rows += len(part)
        if rows > max(MERGE_ROWS, 2 * merged):
            waiting = [merge(waiting)]
            rows = merged = len(waiting[0])
    return merge(waiting)
