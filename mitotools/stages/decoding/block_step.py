"""The first step of decoders that work block by block: what every block knows, put aside in a folder.

A folder that a run leaves behind, because it was killed or failed, is where the next one continues.
"""

from __future__ import annotations

from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools.errors import TargetError
from mitotools.interruption import uninterrupted
from mitotools.locking import lock_file
from mitotools.run.budget import plan_blocks
from mitotools.run.journal import made
from mitotools.segment.blockwise.places import Place
from mitotools.stages.blocks.pieces import read_pieces
from mitotools.stages.blocks.planning import check_count, demand_of, memory_of
from mitotools.stages.blocks.resuming import check_same, is_worth_continuing, journal_for, made_of
from mitotools.stages.decoding.maps import as_uint8
from mitotools.stages.decoding.parts import Parts, save_part
from mitotools.temporary import temporary_folder
from mitotools.volume.atomic import check_file, journal_of, remove, unfinished_of
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box, grid, size3
from mitotools.volume.outputs import final_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mitotools.conventions import Maps, Size
    from mitotools.history import History
    from mitotools.parameters import DecodeParameters
    from mitotools.run.budget import BlockPlan, Demand
    from mitotools.run.engine import Engine
    from mitotools.run.journal import Journal
    from mitotools.run.running import Running
    from mitotools.volume.base import Volume
    from mitotools.volume.path import VolumePath

UNIT = (32, 128, 128)
"""Blocks are multiples of it."""

PREFERRED_BYTES = 512 * 2**20
"""What a block may cost: the larger blocks are, the fewer components cross them."""

PARTS = ".parts"
"""Suffix of the folder, behind the name of the output."""


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


def block_plan(
    maps: Volume, target: VolumePath, work: BlockWork, running: Running, engine: Engine
) -> BlockPlan:
    """Return the blocks of the first step: those of the run that is continued, if there is one.

    Raises
    ------
    MachineError
        Where the budget is too small.
    """
    demand = block_demand(maps, target, work, running)
    plan = plan_blocks(demand, memory_of(running, engine), engine.threads, engine.processes)
    check_count(maps.name, maps.spec.size, plan.block)
    return plan


def block_demand(maps: Volume, target: VolumePath, work: BlockWork, running: Running) -> Demand:
    """Return what the first step needs."""
    spec = VolumeSpec(maps.spec.size, np.dtype(np.uint8), chunks=UNIT)
    item_bytes = 2 * maps.spec.dtype.itemsize + 8 * (maps.spec.dtype.kind == "f")
    demand = demand_of(spec, [maps], work.bytes_per_voxel + item_bytes * (maps.spec.channels or 1))
    demand = replace(demand, unit=UNIT, preferred_bytes=PREFERRED_BYTES)
    begun = _block_of_unfinished(target) if running.resume else None
    return demand if begun is None else replace(demand, size=begun, unit=begun)


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
        with temporary_folder() as folder:
            yield Workspace(folder, None)
        return
    base = _base(target)
    base.parent.mkdir(exist_ok=True)  # the first labels of an image
    check_file(base, force=running.force, resume=bool(running.resume))
    with (
        uninterrupted() as interruptible,
        journal_for(base, made_of(records, block=list(block)), running) as journal,
    ):
        folder = unfinished_of(base).absolute()
        if not journal.done:
            remove(folder)
            folder.mkdir()
        is_kept = False
        try:
            with interruptible():
                yield Workspace(folder, journal)
        except BaseException:
            is_kept = is_worth_continuing(base, running)
            raise
        finally:
            if not is_kept:
                remove(folder)


def remove_workspace(target: VolumePath, records: History) -> None:
    """Delete the folder of a run that was killed when its volume, made with these records, was complete."""
    begun = None if target.is_remote else made(journal_of(_base(target)))
    if begun is None:
        return
    with suppress(TargetError, OSError), uninterrupted():  # another run may be at it
        check_same(_base(target), begun, made_of(records))
        with lock_file(journal_of(_base(target))):
            remove(unfinished_of(_base(target)))


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
    return Parts(space.folder, blocks, plan.slots)


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
        save_part(self.folder, number, part, largest)


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
