"""What stages do block by block: filling a new volume, and gathering results over one that is there.

Blocks go to an engine (threads, or processes of a Dask cluster). Inside a block its pieces, whole chunks of
the files, are read and written by all threads of the process, so that few blocks keep many threads at work.
"""

from __future__ import annotations

import logging
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mitotools.errors import MachineError
from mitotools.run.budget import check_enough, plan_blocks, written
from mitotools.run.engine import ordered_map
from mitotools.run.running import silent
from mitotools.stages.blocks.levels import level_demands, level_work
from mitotools.stages.blocks.pieces import read_pieces, write_pieces
from mitotools.stages.blocks.planning import (
    Stored,
    check_count,
    check_disk,
    demand_of,
    demand_to_read,
    memory_of,
    needs,
)
from mitotools.stages.blocks.resuming import (
    blocks_begun,
    is_made,
    is_worth_continuing,
    journal_for,
    made_of,
    not_done,
)
from mitotools.stages.blocks.staging import check_staged, is_staged, remove_staged, staged_of, staging
from mitotools.stages.blocks.steps import LEFT_BYTES
from mitotools.stages.blocks.work import Work
from mitotools.volume.atomic import check_parts, remove
from mitotools.volume.blocks import Box, grid
from mitotools.volume.files import open_volume
from mitotools.volume.formats import format_of
from mitotools.volume.outputs import check_target, create_volume, final_of, planned
from mitotools.volume.path import VolumePath
from mitotools.volume.plan import flat

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from mitotools.conventions import Array
    from mitotools.run.budget import BlockPlan, Demand
    from mitotools.run.engine import Engine
    from mitotools.run.journal import Journal
    from mitotools.run.running import Running
    from mitotools.stages.blocks.planning import Source
    from mitotools.volume.base import VolumeSpec, Writer
    from mitotools.volume.outputs import OpenWriter

Result = TypeVar("Result")


def write_volume(target: VolumePath, spec: VolumeSpec, work: Work, running: Running) -> VolumeSpec:
    """Create a volume, block by block, or continue one.

    Returns
    -------
    VolumeSpec
        Of the volume as it is stored.

    Raises
    ------
    TargetError
        Where the target exists, cannot be written, or was begun with other parameters or inputs.
    MachineError
        Where the budget is too small.
    """
    check_target(target, force=running.force, resume=bool(running.resume))
    spec = planned(target, spec)
    if is_made(target, spec.history, running):
        return spec
    if is_staged(target, running):
        _write_staged(target, spec, work, running)
        return spec
    check_staged(target, running)
    if not target.is_remote:
        check_parts(final_of(target), force=running.force)
    demands = [work.demand(spec, is_distributed=running.is_distributed), *level_demands(spec)]
    if running.dry_run:
        plans = _planned(demands, memory_of(running), running.threads, running.workers)
        check_count(target, spec.size, plans[0].block)
        running.dry_run(needs(target, spec, plans))
        return spec
    with running.engine() as engine:
        plans = _planned(demands, memory_of(running, engine), engine.threads, engine.processes)
        if running.resume and not target.is_remote:
            plans[0] = _like_before(target, plans[0], demands[0], memory_of(running, engine), engine)
        check_count(target, spec.size, plans[0].block)
        check_disk(target, spec.nbytes, spec.compression)
        with _opened(target, spec, running) as (writer, journal):
            fill(writer, work, plans[0], engine, running, journal)
            for level, plan in enumerate(plans[1:], start=1):
                with level_work(writer, level) as halving:
                    fill(writer.at_level(level), halving, plan, engine, running, journal)
    return spec


def _planned(demands: list[Demand], memory_bytes: int, threads: int, processes: int) -> list[BlockPlan]:
    """Plan all that will be done before any of it is: a budget is too small at once, or not at all."""
    check_enough([(demand, processes) for demand in demands], memory_bytes)
    plans = [plan_blocks(demand, memory_bytes, threads, processes) for demand in demands]
    logging.getLogger(__name__).debug(
        "blocks of %s voxels, %d at a time, about %s of memory",
        "x".join(map(str, plans[0].block)), plans[0].slots, written(plans[0].memory_bytes),
    )  # fmt: skip
    return plans


def _like_before(
    target: VolumePath, plan: BlockPlan, demand: Demand, memory_bytes: int, engine: Engine
) -> BlockPlan:
    """Return a plan with the blocks of the run that is continued: others would do some of it again."""
    begun = blocks_begun(final_of(target))
    if begun is None or any(
        b % u and b != n for b, u, n in zip(begun, demand.unit, demand.size, strict=True)
    ):
        return plan
    try:
        same = replace(demand, size=begun, unit=begun)
        return plan_blocks(same, memory_bytes, engine.threads, engine.processes)
    except MachineError:
        return plan


def plan_of(work: Work, spec: VolumeSpec, running: Running, engine: Engine | None) -> BlockPlan:
    """Return the blocks in which a volume without levels, or a part of one, is computed."""
    threads, processes = (engine.threads, engine.processes) if engine else (running.threads, running.workers)
    demand = work.demand(spec, is_distributed=running.is_distributed)
    return _planned([demand], memory_of(running, engine), threads, processes)[0]


def map_blocks(
    volumes: Sequence[Source],
    function: Callable[[Box, int], Result],
    label: str,
    running: Running,
    bytes_per_voxel: float,
) -> Generator[Result]:
    """Yield `function(box, threads)` of every block of volumes of one shape, in no particular order."""
    demand = demand_to_read(volumes, bytes_per_voxel)
    with running.engine() as engine:
        plan = plan_blocks(demand, memory_of(running, engine), engine.threads, engine.processes)
        check_count(label, volumes[0].spec.size, plan.block)
        boxes = grid(volumes[0].spec.size, plan.block)
        call = _Call(function, plan.threads // max(engine.processes, 1))
        with closing(engine.map(call, boxes, plan.slots)) as results:
            for _, result in running.track(results, len(boxes), label, "blocks"):
                yield result


@dataclass(frozen=True)
class _Call:
    """Computes something of a block, wherever it is sent."""

    function: Callable[[Box, int], Any]
    threads: int

    def __call__(self, box: Box) -> Any:
        return self.function(box, self.threads)


@dataclass(frozen=True)
class _Block:
    """Computes a block and writes it, wherever it is sent."""

    block: Callable[[Box, int], Array]
    writer: Writer
    threads: int

    def __call__(self, box: Box) -> None:
        write_pieces(self.writer, box, self.block(box, self.threads), self.threads)


@contextmanager
def _opened(
    target: VolumePath, spec: VolumeSpec, running: Running
) -> Iterator[tuple[OpenWriter, Journal | None]]:
    """Yield the writer of a new or continued volume, and the journal of its blocks, where it can have one."""
    if target.is_remote:
        with create_volume(target, spec, force=running.force) as writer:
            yield writer, None
        return
    final = final_of(target)
    is_continuable = format_of(target.file).writers == "processes"
    alone = running if is_continuable else replace(running, resume=None)
    what = made_of(spec.history, shape=spec.shape, type=str(spec.dtype), unit=spec.unit)
    with (
        journal_for(final, what, alone) as journal,  # which is the lock of the output as well
        create_volume(
            target,
            spec,
            force=running.force or bool(running.resume),
            is_locked=True,
            is_continued=bool(journal.done),
            is_kept=lambda: is_worth_continuing(final, alone),
        ) as writer,
    ):
        if running.force:
            remove_staged(target, running)
        yield writer, journal


def fill(
    writer: OpenWriter,
    work: Work,
    plan: BlockPlan,
    engine: Engine,
    running: Running,
    journal: Journal | None,
    within: Box | None = None,
) -> None:
    """Compute and write the blocks of a volume, or of a part, that the journal does not say are done."""
    whole = within or Box.whole(writer.spec.size)
    boxes = [box.shifted(whole.start) for box in grid(whole.shape, plan.block)]
    if journal is not None and journal.done:
        done = [entry[1:] for entry in journal.done if entry[0] == writer.level]
        boxes = not_done(boxes, done, writer.spec)
    threads = plan.threads // max(engine.processes, 1)
    if work.is_alone and not engine.processes:
        results = _one_by_one(writer, work, boxes, threads, running)
        running = replace(running, track=silent)
    elif writer.kind.writers == "ordered":
        results = _written_in_order(writer, work.block, boxes, plan)
    else:
        results = engine.map(_Block(work.block, writer, threads), boxes, plan.slots)
    with closing(results):  # whatever ends the loop: nothing is written any more behind it
        for box, _ in running.track(results, len(boxes), work.label, "blocks"):
            if journal is not None:
                journal.add((writer.level, *flat(box)))


def _one_by_one(
    writer: OpenWriter, work: Work, boxes: list[Box], threads: int, running: Running
) -> Generator[tuple[Box, None]]:
    for number, box in enumerate(boxes, start=1):
        label = f"{work.label} {number} of {len(boxes)}" if len(boxes) > 1 else work.label
        write_pieces(writer, box, work.block(box, threads, running.track, label), threads)
        yield box, None


def _written_in_order(
    writer: Writer, block: Callable[[Box, int], Array], boxes: list[Box], plan: BlockPlan
) -> Generator[tuple[Box, None]]:
    # Half of the blocks in memory are computed, half wait to be written.
    slots = plan.slots // 2
    computed = (
        ordered_map(_Call(block, plan.threads), boxes, slots)
        if slots
        else ((box, block(box, plan.threads)) for box in boxes)
    )
    for box, array in computed:
        writer.write(box, array)
        yield box, None


def _write_staged(target: VolumePath, spec: VolumeSpec, work: Work, running: Running) -> None:
    """Write a zarr first, which several processes can write and a later run can continue, then the target."""
    check_staged(target, running)
    staged = VolumePath(str(staged_of(target)))
    plain = planned(staged, replace(spec, compression="default"))
    alone = replace(
        running,
        opened=None,
        workers=0,
        scheduler="",
        resume=None,
        force=running.force or bool(running.resume),
    )
    collecting = work.demand(plain, is_distributed=running.is_distributed)
    packing = demand_of(spec, [Stored(plain)])
    packing = replace(packing, base_bytes=packing.base_bytes + LEFT_BYTES)
    check_enough([(collecting, running.workers), (packing, 0)], memory_of(running))
    if running.dry_run:
        plans = _planned([collecting], memory_of(running), running.threads, running.workers)
        plans += _planned([packing], memory_of(alone), alone.threads, 0)
        running.dry_run(needs(target, plain, plans))
        return
    with staging(target):
        if is_made(target, spec.history, running):  # by a run that has ended just now
            return
        write_volume(staged, plain, work, running)
        with open_volume(staged) as volume:
            copy = Work(
                lambda box, threads: read_pieces(volume, box, threads), f"{work.label}: pack", [volume]
            )
            write_volume(target, spec, copy, alone)
        remove(Path(staged.file))
