"""Labels of which some regions get another id: pieces of instances, and holes in them.

The volume is read once by blocks to find out, in cells of which each knows its part, and cell by cell when
the new labels are read, where anything changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools.errors import MachineError
from mitotools.run.budget import SLACK, written
from mitotools.run.memory import resident_bytes
from mitotools.segment.blockwise.joining import BYTES_PER_ROW
from mitotools.segment.blockwise.labels import (
    BYTES_PER_VOXEL,
    gap_cell,
    gaps_of,
    hole_ids,
    piece_cell,
    pieces_of,
    split_ids,
)
from mitotools.segment.blockwise.places import Place
from mitotools.segment.filters import smallest_label_type
from mitotools.stages.blocks.blockwise import map_blocks
from mitotools.stages.blocks.computed import Computed, computed_spec, reading_bytes
from mitotools.stages.blocks.pieces import read_pieces
from mitotools.stages.blocks.planning import Stored, demand_of, memory_of
from mitotools.volume.blocks import Box, boxes_within, size3

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mitotools.conventions import Array, Labels, Size
    from mitotools.run.budget import Demand
    from mitotools.run.running import Running
    from mitotools.segment.blockwise.labels import Cell
    from mitotools.segment.blockwise.places import Integers
    from mitotools.segment.runs import Ids
    from mitotools.stages.blocks.pieces import Seen

CELL = (32, 128, 128)
"""Voxels that are looked at together: the default chunk."""


@dataclass(frozen=True, eq=False)
class _Changed(Computed):
    """Labels with other ids in some regions.

    Parameters
    ----------
    regions : callable
        Numbers the regions of a cell.
    tables : mapping of Size to (N + 1,) uint64
        The ids of the regions of each cell in which any changes, by its first voxel; 0: what it was.
    cell : (z, y, x)
    """

    regions: Callable[[Labels], Integers]
    tables: Mapping[Size, Ids] = field(repr=False)
    cell: Size

    def read(self, box: Box) -> Labels:
        """Return the new labels of `box`."""
        base, dtype = self.seen, self.spec.dtype
        labels: Labels = base.read(box).astype(dtype)
        for part in boxes_within(box, self.cell):
            start = size3([a // c * c for a, c in zip(part.start, self.cell, strict=True)])
            table = self.tables.get(start)
            if table is None:
                continue
            seen = _seen(Box(start, size3([a + c for a, c in zip(start, self.cell, strict=True)])), base)
            numbers = self.regions(base.read(seen))[part.relative_to(start).slices]
            new = table.astype(dtype)[numbers]
            np.copyto(labels[part.relative_to(box.start).slices], new, where=new != 0)
        return labels

    def step_bytes(self, block: Size) -> float:
        """Return what the block takes before it is changed, and a cell."""
        itemsize = self.seen.spec.dtype.itemsize
        return itemsize + (BYTES_PER_VOXEL + itemsize) * max(prod(self.cell) / prod(block), 1)


def split(volume: Seen, only: Ids | None = None, *, running: Running) -> Seen:
    """Return labels in which every piece of an instance is one of its own.

    Parameters
    ----------
    volume : Seen
        (Z, Y, X) labels of a type without sign.
    only : (K,) uint64, optional
        The instances that are meant; all by default.
    running : Running

    Raises
    ------
    InputError, MachineError
    """
    cell = CELL
    cells = _cells(volume, piece_cell, "split", cell, running)
    tables, largest = split_ids(list(cells.values()), only)
    dtype = np.result_type(smallest_label_type(largest), volume.spec.dtype)
    return _changed(volume, pieces_of, dict(zip(cells, tables, strict=True)), dtype, cell)


def fill_holes(volume: Seen, *, running: Running) -> Seen:
    """Return labels in which background that one instance encloses belongs to it; likewise."""
    cell = CELL
    cells = _cells(volume, gap_cell, "fill-holes", cell, running)
    tables = hole_ids(list(cells.values()))
    return _changed(volume, gaps_of, dict(zip(cells, tables, strict=True)), volume.spec.dtype, cell)


def demand_to_look(volume: Seen) -> Demand:
    """Return what finding pieces or holes in a volume needs, and load what finds them."""
    one = np.zeros((1, 1, 1), volume.spec.dtype)
    for look in (piece_cell, gap_cell):
        look(one, Place((0, 0, 0), (1, 1, 1), (1, 1, 1)))
    cut = replace(volume.spec, chunks=CELL, shards=None)
    return demand_of(cut, [Stored(cut), volume], _bytes_to_look(volume, CELL))


def as_if_changed(volume: Seen) -> Seen:
    """Return the same labels, to be read as if pieces or holes of them had got other ids."""
    return _Changed(volume, computed_spec(volume, volume.spec.dtype), pieces_of, {}, CELL)


def _bytes_to_look(volume: Seen, cell: Size) -> float:
    return 2 * volume.spec.dtype.itemsize + BYTES_PER_VOXEL + reading_bytes(volume, cell)


def _changed(
    volume: Seen,
    regions: Callable[[Labels], Integers],
    tables: Mapping[Size, Ids | None],
    dtype: np.dtype[Any],
    cell: Size,
) -> Seen:
    known = {start: table for start, table in tables.items() if table is not None}
    return _Changed(volume, computed_spec(volume, dtype), regions, known, cell) if known else volume


def _cells(
    volume: Seen, look: Callable[[Labels, Place], Cell], label: str, cell: Size, running: Running
) -> dict[Size, Cell]:
    """Return what every cell knows, by its first voxel."""

    def known(box: Box, threads: int) -> list[tuple[Size, Cell]]:
        labels = read_pieces(volume, _seen(box, volume), threads)
        return [(part.start, _look(part, labels, box)) for part in boxes_within(box, cell)]

    def _look(part: Box, labels: Array, box: Box) -> Cell:
        own = np.ascontiguousarray(labels[_seen(part, volume).relative_to(box.start).slices])
        return look(own, Place(part.start, part.shape, volume.spec.size))

    cut = Stored(replace(volume.spec, chunks=cell, shards=None))
    found: dict[Size, Cell] = {}
    rows, others_bytes = 0, resident_bytes()
    for cells in map_blocks([cut, volume], known, label, running, _bytes_to_look(volume, cell)):
        found |= cells
        rows += sum(one.rows for _, one in cells)
        _check_rows(rows, others_bytes, label, running)
    return found


def _seen(box: Box, volume: Seen) -> Box:
    """Return a box with the first planes of the next ones."""
    stop = size3([min(b + 1, n) for b, n in zip(box.stop, volume.spec.size, strict=True)])
    return Box(box.start, stop).intersection(Box.whole(volume.spec.size))


def _check_rows(rows: int, others_bytes: int, label: str, running: Running) -> None:
    """Refuse what leaves no room for its tables, which grow with regions and not with voxels."""
    need = int((others_bytes + BYTES_PER_ROW * rows) / SLACK)
    if need > memory_of(running):
        why = f"{written(memory_of(running))} is too little for the regions that --{label} looks at"
        raise MachineError("--memory", why, f"The least is more than {written(need)}")
