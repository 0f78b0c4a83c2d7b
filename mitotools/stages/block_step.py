"""The first step of decoders that work block by block: what every block knows, put aside in a folder.

A folder that a run leaves behind, because it was killed or failed, is where the next one continues.
"""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import numpy as np

from mitotools.errors import UsageError
from mitotools.run.budget import SLACK, plan_blocks, written
from mitotools.run.journal import made
from mitotools.run.memory import resident_bytes
from mitotools.segment.blockwise.joining import BYTES_PER_ROW
from mitotools.segment.blockwise.places import Place
from mitotools.segment.blockwise.tables import Known, Shared
from mitotools.stages.maps import as_uint8
from mitotools.stages.pieces import read_pieces
from mitotools.stages.planning import check_count, demand_of, memory_of
from mitotools.stages.resuming import is_worth_continuing, journal_for, made_of
from mitotools.volume.atomic import check_file, journal_of, remove, unfinished_of
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box, grid, size3
from mitotools.volume.outputs import final_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mitotools.conventions import Maps, Size
    from mitotools.history import History
    from mitotools.parameters import DecodeParameters
    from mitotools.run.budget import BlockPlan
    from mitotools.run.engine import Engine
    from mitotools.run.journal import Journal
    from mitotools.run.running import Running
    from mitotools.segment.blockwise.places import Flags
    from mitotools.volume.base import Volume
    from mitotools.volume.path import VolumePath

UNIT = (32, 128, 128)
"""Blocks are multiples of it."""

PREFERRED_BYTES = 512 * 2**20
"""What a block may cost: the larger blocks are, the fewer components cross them."""

PARTS = ".parts"
"""Suffix of the folder, behind the name of the output."""


class Part(Protocol):
    """What a block knows: a dataclass of arrays, and of tables of arrays."""

    FILES: ClassVar[tuple[str, ...]]
    """The fields that grow with the block."""


PartT = TypeVar("PartT", bound=Part)


@dataclass(frozen=True)
class BlockWork:
    """What is done with a block.

    Parameters
    ----------
    function : callable
        Returns the part of a block of maps, which is seen with the first planes of the next blocks.
    parameters : DecodeParameters
    bytes_per_voxel : float
        Of a block, beside its maps.
    """

    function: Callable[[Maps, DecodeParameters, Place], Any]
    parameters: DecodeParameters
    bytes_per_voxel: float


@dataclass(frozen=True, eq=False)
class Workspace:
    """Where blocks put things aside.

    Parameters
    ----------
    folder : Path
    journal : Journal, optional
        Of the blocks that are done, where the work can be continued.
    """

    folder: Path
    journal: Journal | None


@dataclass(frozen=True, eq=False)
class Parts:
    """What the blocks know.

    Parameters
    ----------
    folder : Path
        Where it is put aside.
    blocks : list of Box
    largest : list of int
        The largest value of each map.
    slots : int
        How many blocks may be in memory.
    """

    folder: Path
    blocks: list[Box]
    largest: list[int]
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
        UsageError
            Where there is no room to join it.
        """
        elsewhere = np.unique(np.concatenate([table.at[table.is_next] for table in self.tables(name)]))
        found = [
            table.part(matters(block, table), elsewhere) for block, table in enumerate(self.tables(name))
        ]
        need = int((resident_bytes() + BYTES_PER_ROW * sum(table.rows for table in found)) / SLACK)
        if need > memory_bytes:
            why = f"{written(memory_bytes)} is too little for what crosses the faces of blocks"
            raise UsageError(
                "--memory", why, f"The least is {written(need)}, or less where fewer voxels are seeds"
            )
        return found

    def files(self, kind: str) -> dict[int, list[Path]]:
        """Return the files of one kind of things, by block."""
        return {block: [file_of(self.folder, kind, block)] for block in range(len(self.blocks))}


def file_of(folder: Path, kind: str, block: int) -> Path:
    """Return the file of one kind of things of a block."""
    return folder / f"{kind}-{block}"


def block_plan(
    maps: Volume, target: VolumePath, work: BlockWork, running: Running, engine: Engine
) -> BlockPlan:
    """Return the blocks of the first step: those of the run that is continued, if there is one.

    Raises
    ------
    UsageError
        Where the budget is too small.
    """
    spec = VolumeSpec(maps.spec.size, np.dtype(np.uint8), chunks=UNIT)
    item_bytes = 2 * maps.spec.dtype.itemsize + 8 * (maps.spec.dtype.kind == "f")
    demand = demand_of(spec, [maps], work.bytes_per_voxel + item_bytes * (maps.spec.channels or 1))
    demand = replace(demand, unit=UNIT, preferred_bytes=PREFERRED_BYTES)
    begun = _block_of_unfinished(target) if running.resume else None
    if begun is not None:
        demand = replace(demand, size=begun, unit=begun)
    plan = plan_blocks(demand, memory_of(running, engine), engine.threads, engine.processes)
    check_count(maps.name, spec.size, plan.block)
    return plan


@contextmanager
def workspace(target: VolumePath, records: History, block: Size, running: Running) -> Iterator[Workspace]:
    """Yield a folder for what is made on the way to a volume, and remove it when the block ends.

    It lies beside the volume, where other processes see it as well; among the temporaries where the volume is
    behind a URL.

    Raises
    ------
    TargetError
        Where a run left one, or is using it.
    """
    if target.is_remote:
        with TemporaryDirectory(prefix="mitotools-", dir=os.environ.get("MITOTOOLS_TMPDIR") or None) as name:
            yield Workspace(Path(name), None)
        return
    base = _base(target)
    base.parent.mkdir(exist_ok=True)  # the first labels of an image
    check_file(base, force=running.force, resume=bool(running.resume))
    with journal_for(base, made_of(records, block=list(block)), running) as journal:
        folder = unfinished_of(base).absolute()
        if not journal.done:
            remove(folder)
            folder.mkdir()
        is_kept = False
        try:
            yield Workspace(folder, journal)
        except BaseException:
            is_kept = is_worth_continuing(base, running)
            raise
        finally:
            if not is_kept:
                remove(folder)


def known_parts(
    maps: Volume, work: BlockWork, space: Workspace, plan: BlockPlan, running: Running, engine: Engine
) -> Parts:
    """Compute what every block knows that is not done yet."""
    blocks = grid(maps.spec.size, plan.block)
    done = {entry[0] for entry in space.journal.done} if space.journal else set()
    left = [(number, box) for number, box in enumerate(blocks) if number not in done]
    threads = plan.threads // max(engine.processes, 1)
    computed = engine.map(_BlockStep(maps, space.folder, work, threads), left, plan.slots)
    with closing(computed):
        for (number, _), _ in running.track(computed, len(left), "decode", "blocks"):
            if space.journal:
                space.journal.add((number,))
    parts = Parts(space.folder, blocks, [], plan.slots)
    largest = np.max(list(parts.tables("largest")), axis=0).tolist()
    return replace(parts, largest=largest)


@dataclass(frozen=True)
class _BlockStep:
    """The first step, of one block, wherever it is sent."""

    maps: Volume
    folder: Path
    work: BlockWork
    threads: int

    def __call__(self, item: tuple[int, Box]) -> None:
        number, box = item
        size = self.maps.spec.size
        seen = Box(box.start, size3([min(b + 1, n) for b, n in zip(box.stop, size, strict=True)]))
        maps = as_uint8(read_pieces(self.maps, seen, self.threads), self.maps.name)
        largest = maps.max(axis=(1, 2, 3))
        part = self.work.function(maps, self.work.parameters, Place(box.start, box.shape, size))
        del maps
        for kind in part.FILES:
            getattr(part, kind).tofile(file_of(self.folder, kind, number))
        with file_of(self.folder, "table", number).open("wb") as file:
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


def _base(target: VolumePath) -> Path:
    final = final_of(target)
    return final.with_name(final.name + PARTS)


def _block_of_unfinished(target: VolumePath) -> Size | None:
    """Return the blocks of a run that can be continued, if there is one."""
    if target.is_remote:
        return None
    found = made(journal_of(_base(target))) or {}
    block = found.get("block")
    return size3(block) if isinstance(block, list) else None
