"""What blocks know, and put aside in a folder: tables, and what grows with the blocks."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from mitotools.errors import MachineError
from mitotools.run.budget import SLACK, written
from mitotools.run.memory import resident_bytes
from mitotools.segment.blockwise.joining import BYTES_PER_ROW
from mitotools.segment.blockwise.tables import Known, Shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mitotools.segment.blockwise.places import Flags, Integers
    from mitotools.volume.blocks import Box


class Part(Protocol):
    """What a block knows: a dataclass of arrays, and of tables of arrays."""

    FILES: ClassVar[tuple[str, ...]]
    """The fields that grow with the block."""


@dataclass(frozen=True, eq=False)
class Parts:
    """What the blocks know.

    Parameters
    ----------
    folder : Path
        Where it is put aside.
    blocks : list of Box
    slots : int
        How many blocks may be in memory.
    """

    folder: Path
    blocks: list[Box]
    slots: int

    def tables(self, name: str) -> Iterator[Any]:
        """Yield one of the tables, or arrays, of every block."""
        for block in range(len(self.blocks)):
            yield self.table(name, block)

    def table(self, name: str, block: int) -> Any:
        """Return one of the tables, or arrays, of a block."""
        with np.load(file_of(self.folder, "table", block)) as tables:
            return _restored(name, tables)

    def shared(self, name: str, memory_bytes: int, matters: Callable[[int, Shared], Flags]) -> list[Shared]:
        """Return what the blocks share, but for components that turn out to lie in one block alone.

        Parameters
        ----------
        name : str
        memory_bytes : int
            The budget.
        matters : callable
            Returns which components of a block stay even so.

        Raises
        ------
        MachineError
            Where there is no room to join it.
        """
        elsewhere = np.unique(np.concatenate([table.at[table.is_next] for table in self.tables(name)]))
        found = [
            table.part(matters(block, table), elsewhere) for block, table in enumerate(self.tables(name))
        ]
        need = int((resident_bytes() + BYTES_PER_ROW * sum(table.rows for table in found)) / SLACK)
        if need > memory_bytes:
            why = f"{written(memory_bytes)} is too little for what crosses the faces of blocks"
            raise MachineError(
                "--memory", why, f"The least is {written(need)}, or less where fewer voxels are seeds"
            )
        return found

    def files(self, kind: str) -> dict[int, list[Path]]:
        """Return the files of one kind of things, by block."""
        return {block: [file_of(self.folder, kind, block)] for block in range(len(self.blocks))}


def file_of(folder: Path, kind: str, block: int) -> Path:
    """Return the file of one kind of things of a block."""
    return folder / f"{kind}-{block}"


def save_part(folder: Path, block: int, part: Part, largest: Integers) -> None:
    """Put aside what a block knows, and the largest value of each of its maps."""
    for kind in part.FILES:
        getattr(part, kind).tofile(file_of(folder, kind, block))
    with file_of(folder, "table", block).open("wb") as file:
        np.savez(file, largest=largest, **_flat(part))


def _flat(part: Part) -> dict[str, Any]:
    """Return a part's arrays by name, those of its tables as TABLE.FIELD."""
    found: dict[str, Any] = {}
    for field in fields(part):  # type: ignore[arg-type]
        value = getattr(part, field.name)
        if field.name in part.FILES:
            continue
        if is_dataclass(value):
            found |= {f"{field.name}.{inner.name}": getattr(value, inner.name) for inner in fields(value)}
        else:
            found[field.name] = value
    return found


def _restored(name: str, arrays: Any) -> Any:
    """Return an array, or the table whose columns are called NAME.COLUMN."""
    if name in arrays:
        return arrays[name]
    columns = {
        column.removeprefix(f"{name}."): arrays[column]
        for column in arrays.files
        if column.startswith(f"{name}.")
    }
    return Shared(**columns) if "at" in columns else Known(**columns)
