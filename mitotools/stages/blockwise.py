"""What stages do block by block: filling a new volume, and gathering results over one that is there.

Blocks go to an engine (threads, or processes of a Dask cluster). Inside a block its pieces, whole chunks of
the files, are read and written by all threads of the process, so that few blocks keep many threads at work.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mitotools.errors import TargetError
from mitotools.run.budget import (
    BlockPlan,
    Demand,
    Layout,
    plan_blocks,
    resident_bytes,
    written,
)
from mitotools.run.engine import ordered_map
from mitotools.stages.pieces import read_pieces, write_pieces
from mitotools.stages.planning import (
    Source,
    check_count,
    check_disk,
    demand_of,
    memory_of,
    needs,
    thread_bytes,
)
from mitotools.stages.resuming import is_complete, is_worth_continuing, journal_for, made_of, not_done
from mitotools.stages.views import Halved
from mitotools.volume.atomic import remove, unfinished_of
from mitotools.volume.blocks import grid
from mitotools.volume.files import open_volume
from mitotools.volume.formats import format_of
from mitotools.volume.formats.pyramid import step
from mitotools.volume.outputs import check_target, create_volume, exists, final_of, planned
from mitotools.volume.path import VolumePath
from mitotools.volume.plan import flat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mitotools.conventions import Array
    from mitotools.history import History
    from mitotools.run.engine import Engine
    from mitotools.run.journal import Journal
    from mitotools.run.running import Running
    from mitotools.volume.base import VolumeSpec, Writer
    from mitotools.volume.blocks import Box
    from mitotools.volume.outputs import OpenWriter

Result = TypeVar("Result")

STAGED = ".staged.zarr"
"""Suffix of the zarr that holds a volume until it is complete, where its own format has one writer."""


@dataclass(frozen=True)
class Work:
    """What a stage computes.

    Parameters
    ----------
    block : callable
        Returns the voxels of a box, all channels; sent to other processes as it is, volumes included.
    label : str
        The stage, as progress calls it.
    sources : sequence of Source
        The volumes that it reads.
    bytes_per_voxel : float
        Of a block, everything counted that is in memory while it is computed; None: twice the new voxel.
    """

    block: Callable[[Box], Array]
    label: str
    sources: Sequence[Source] = ()
    bytes_per_voxel: float | None = None


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
    UsageError
        Where the budget is too small.
    """
    check_target(target, force=running.force, resume=bool(running.resume))
    spec = planned(target, spec)
    is_there = bool(running.resume) and exists(target)
    if is_there and is_complete(target, lambda: _history(target), spec.history):
        return spec
    kind = format_of(target.file)
    if kind.writers != "processes" and (running.resume or running.is_distributed) and not running.dry_run:
        _write_staged(target, spec, work, running)
        return spec
    demand = demand_of(spec, work.sources, work.bytes_per_voxel)
    if running.dry_run:
        plan = plan_blocks(demand, memory_of(running), running.threads, running.workers)
        check_count(target, spec.size, plan.block)
        running.dry_run(needs(target, spec, plan))
        return spec
    with running.engine() as engine:
        plan = plan_blocks(demand, memory_of(running, engine), engine.threads, engine.processes)
        check_count(target, spec.size, plan.block)
        check_disk(target, spec)
        logging.getLogger(__name__).debug(
            "blocks of %s voxels, %d at a time, about %s of memory",
            "x".join(map(str, plan.block)), plan.slots, written(plan.memory_bytes),
        )  # fmt: skip
        if kind.writers == "processes" and not target.is_remote:
            _write_journaled(target, spec, work, plan, engine, running)
        else:
            with create_volume(target, spec, force=running.force) as writer:
                _fill(writer, work, plan, engine, running, is_ordered=kind.writers == "ordered")
                for level in range(1, spec.levels):
                    _fill_level(writer, level, engine, running, None)
    return spec


def map_blocks(
    volumes: Sequence[Source],
    function: Callable[[Box], Result],
    label: str,
    running: Running,
    bytes_per_voxel: float,
) -> Iterator[Result]:
    """Yield `function(box)` of every block of volumes of one shape, in no particular order."""
    demand = Demand(
        size=volumes[0].spec.size,
        unit=volumes[0].spec.chunks,
        bytes_per_voxel=bytes_per_voxel,
        sources=tuple(Layout(volume.spec.chunks, volume.offset) for volume in volumes),
        thread_bytes=thread_bytes(volume.spec for volume in volumes),
        base_bytes=resident_bytes(),
    )
    with running.engine() as engine:
        plan = plan_blocks(demand, memory_of(running, engine), engine.threads, engine.processes)
        check_count(label, volumes[0].spec.size, plan.block)
        boxes = grid(volumes[0].spec.size, plan.block)
        results = engine.map(function, boxes, plan.slots)
        for _, result in running.track(results, len(boxes), label, "blocks"):
            yield result


def _history(target: VolumePath) -> History:
    with open_volume(VolumePath(target.file, target.dataset)) as volume:
        return volume.spec.history


@dataclass(frozen=True)
class _Block:
    """Computes a block and writes it, wherever it is sent."""

    block: Callable[[Box], Array]
    writer: Writer
    threads: int

    def __call__(self, box: Box) -> None:
        write_pieces(self.writer, box, self.block(box), self.threads)


def _write_journaled(
    target: VolumePath, spec: VolumeSpec, work: Work, plan: BlockPlan, engine: Engine, running: Running
) -> None:
    final = final_of(target)
    what = made_of(spec.history, shape=spec.shape, type=str(spec.dtype), unit=spec.unit)
    with (
        journal_for(final, what, running) as journal,
        create_volume(
            target,
            spec,
            force=running.force or bool(running.resume),
            is_continued=bool(journal.done),
            is_kept=lambda: is_worth_continuing(final, running),
        ) as writer,
    ):
        _fill(writer, work, plan, engine, running, journal=journal)
        for level in range(1, spec.levels):
            _fill_level(writer, level, engine, running, journal)


def _fill_level(
    writer: OpenWriter, level: int, engine: Engine, running: Running, journal: Journal | None
) -> None:
    """Fill a level of an image from the one before, of which nothing is missing any more."""
    with open_volume(VolumePath(str(writer.path), str(level - 1))) as finer:
        # What is not finished behind a URL does not state its voxel size.
        coarser, voxel_size = writer.at_level(level), writer.at_level(level - 1).spec.voxel_size_nm
        halved = Halved.of(finer, step(finer.spec.size, voxel_size), coarser.spec)
        threads = running.threads_per_process
        work = Work(lambda box: read_pieces(halved, box, threads), f"level {level}", [halved])
        voxel_bytes = (2 + finer.spec.voxels / halved.spec.voxels) * finer.spec.dtype.itemsize
        demand = demand_of(coarser.spec, [halved], voxel_bytes * (finer.spec.channels or 1))
        plan = plan_blocks(demand, memory_of(running, engine), engine.threads, engine.processes)
        _fill(coarser, work, plan, engine, running, journal=journal)


def _fill(
    writer: OpenWriter,
    work: Work,
    plan: BlockPlan,
    engine: Engine,
    running: Running,
    *,
    journal: Journal | None = None,
    is_ordered: bool = False,
) -> None:
    boxes = grid(writer.spec.size, plan.block)
    if journal is not None and journal.done:
        done = [entry[1:] for entry in journal.done if entry[0] == writer.level]
        boxes = not_done(boxes, done, writer.spec)
    results: Iterable[tuple[Box, None]]
    if is_ordered:
        results = _written_in_order(writer, ordered_map(work.block, boxes, max(plan.slots // 2, 1)))
    else:
        function = _Block(work.block, writer, running.threads_per_process)
        results = engine.map(function, boxes, plan.slots)
    for box, _ in running.track(results, len(boxes), work.label, "blocks"):
        if journal is not None:
            journal.add((writer.level, *flat(box)))


def _written_in_order(writer: Writer, computed: Iterable[tuple[Box, Array]]) -> Iterator[tuple[Box, None]]:
    for box, array in computed:
        writer.write(box, array)
        yield box, None


def _write_staged(target: VolumePath, spec: VolumeSpec, work: Work, running: Running) -> None:
    """Write a zarr first, which several processes can write and a later run can continue, then the target."""
    final = final_of(target)
    staged = VolumePath(str(final.with_name(final.name + STAGED)))
    is_left = Path(staged.file).exists() or unfinished_of(Path(staged.file)).exists()
    if is_left and not (running.force or running.resume):
        raise TargetError(staged.file, "is what a run that was killed had done", "Use --resume or --force")
    plain = replace(spec, compression="default", shards=None, zarr_format=3, levels=1)
    write_volume(staged, plain, work, running)
    alone = replace(
        running, workers=0, scheduler="", resume=None, force=running.force or bool(running.resume)
    )
    with open_volume(staged) as volume:
        threads = alone.threads
        copy = Work(lambda box: read_pieces(volume, box, threads), f"{work.label}: pack", [volume])
        write_volume(target, spec, copy, alone)
    remove(Path(staged.file))
