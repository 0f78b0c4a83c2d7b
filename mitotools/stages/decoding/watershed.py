"""The marker-controlled watershed of maps of any size: exactly that of `segment.decoders.watershed`.

Three steps: every block floods what it holds whole (`segment.blockwise.watershed`); components across blocks
that hold several markers are gathered from what blocks put aside, and flooded; all instances are numbered.
"""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mitotools.errors import InputError
from mitotools.run.budget import KERNEL_BYTES, SLACK, WORKER_BYTES, written
from mitotools.run.memory import resident_bytes
from mitotools.segment.blockwise.across import batched, crossing_components, flooded, gathered
from mitotools.segment.blockwise.joining import (
    Numbers,
    group_firsts,
    group_voxels,
    joined,
    joined_markers,
)
from mitotools.segment.blockwise.watershed import BYTES_PER_VOXEL, SEVERAL
from mitotools.segment.decoders.watershed import LANDSCAPES, block_part
from mitotools.stages.blocks.planning import memory_of
from mitotools.stages.decoding.block_step import BlockWork
from mitotools.stages.decoding.instances import Everywhere, Instances, Layer, all_runs
from mitotools.stages.decoding.parts import file_of
from mitotools.volume.blocks import Box, size3

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mitotools.conventions import Size
    from mitotools.parameters import DecodeParameters
    from mitotools.run.engine import Engine
    from mitotools.run.running import Running
    from mitotools.segment.blockwise.across import Crossing
    from mitotools.segment.blockwise.joining import Markers
    from mitotools.segment.blockwise.places import Flags, Integers
    from mitotools.segment.blockwise.tables import Known, Shared
    from mitotools.stages.decoding.parts import Parts
    from mitotools.volume.base import Volume

_Batch = tuple[int, dict[int, "Integers"], float]
"""Number, components by block, and the memory that their flood may take."""


def work(parameters: DecodeParameters) -> BlockWork:
    """Return what is done with a block."""
    return BlockWork(block_part, parameters, BYTES_PER_VOXEL)


def instances(
    maps: Volume, parts: Parts, parameters: DecodeParameters, running: Running, engine: Engine
) -> Instances:
    """Flood what crosses blocks, and number the instances.

    Raises
    ------
    InputError
        Where a component of the foreground is too large for the budget.
    """
    memory = memory_of(running, engine)
    shared = parts.shared(
        "shared_markers", memory, lambda _, table: table.voxels >= parameters.min_seed_voxels
    )
    markers = _markers(shared, list(parts.tables("markers")), parameters.min_seed_voxels)
    del shared  # one kind of tables at a time is in memory

    def is_marked(block: int, table: Shared) -> Flags:
        """Return which components of a block have a marker in it that stays."""
        pairs = parts.table("pairs", block)
        stays = markers.numbers.of(block, pairs[:, 1]) != 0
        found: Flags = np.isin(table.ids, pairs[stays, 0])
        return found

    crossing = crossing_components(
        parts.shared("shared_components", memory, is_marked),
        parts.tables("pieces"),
        parts.tables("pairs"),
        markers.numbers,
    )
    voxels = np.zeros(markers.voxels.size, np.int64)
    is_alone = crossing.marker > 0
    np.add.at(voxels, crossing.marker[is_alone], crossing.voxels[is_alone])
    files = _flood_across(maps, parts, crossing, markers, voxels, parameters.landscape, running, engine)
    numbers = markers.final(voxels, parameters.min_size_voxels)
    layers = (
        Layer(parts.files("runs"), markers.numbers.through(numbers)),
        Layer(parts.files("open_runs"), Numbers(crossing.groups.names, crossing.alone()).through(numbers)),
        Layer(files, Everywhere(numbers)),
    )
    why_none = _why_none(list(parts.tables("found")), markers, parameters)
    return Instances(maps.spec.size, parts.blocks, layers, int(numbers.max(initial=0)), why_none)


def _markers(shared: Sequence[Shared], known: Sequence[Known], min_seed_voxels: int) -> Markers:
    groups = joined(shared)
    stays = group_voxels(shared, groups) >= max(min_seed_voxels, 1)
    firsts = group_firsts(shared, groups)
    return joined_markers(known, groups, firsts, np.zeros(groups.count, np.int64), stays)


@dataclass(frozen=True, eq=False)
class _AcrossFlood:
    """The second step, of some components, wherever it is sent."""

    folder: Path
    markers: Numbers
    shape: Size
    landscape: str

    def __call__(self, batch: _Batch) -> tuple[Integers, Integers, int]:
        """Return markers, the voxels that each reaches, and the memory it takes, where that is not there."""
        number, components, room_bytes = batch
        parts = {
            block: gathered(
                all_runs(file_of(self.folder, "open_runs", block)),
                np.fromfile(file_of(self.folder, "values", block), LANDSCAPES[self.landscape]),
                all_runs(file_of(self.folder, "seeds", block)),
                own,
                block,
                self.markers,
            )
            for block, own in components.items()
        }
        gathered_bytes = sum(part.nbytes for part in parts.values())
        try:
            reached, markers, voxels = flooded(parts, self.shape, room_bytes - 2 * gathered_bytes)
        except MemoryError as error:
            none = np.zeros(0, np.int64)
            return none, none, 2 * gathered_bytes + int(error.args[0])
        for block, runs in reached.items():
            runs.tofile(file_of(self.folder, f"across-{number}", block))
        return markers, voxels, 0


def _flood_across(
    maps: Volume,
    parts: Parts,
    crossing: Crossing,
    markers: Markers,
    voxels: Integers,
    landscape: str,
    running: Running,
    engine: Engine,
) -> dict[int, list[Path]]:
    """Flood the components across blocks, add what each marker reaches to its voxels; return the files."""
    files: dict[int, list[Path]] = {}
    is_flooded = crossing.marker == SEVERAL
    if not is_flooded.any():
        return files
    taken = resident_bytes() + engine.processes * (WORKER_BYTES + KERNEL_BYTES)
    room_bytes = memory_of(running, engine) * SLACK - taken
    batches = batched(crossing, room_bytes / engine.threads)
    # Where one component may take more than a thread's share, fewer are flooded at the same time.
    largest = float(crossing.nbytes[is_flooded].max())
    slots = max(1, min(engine.threads, int(room_bytes / largest)))
    flood = _AcrossFlood(parts.folder, markers.numbers, maps.spec.size, landscape)
    # What it would take at most is known; where that is too much, what it takes is found out on the way.
    items = [
        (number, batch, math.inf if crossing.bytes_of(batch) <= room_bytes / slots else room_bytes)
        for number, batch in enumerate(batches)
    ]
    with closing(engine.map(flood, items, slots)) as work:
        tracked = running.track(work, len(batches), "flood across blocks", "batches")
        for (number, batch, _), (reached, counts, need) in tracked:
            if need:
                raise _no_room(maps, parts.blocks, batch, crossing, need)
            np.add.at(voxels, reached, counts)
            for block in batch:
                files.setdefault(block, []).append(file_of(parts.folder, f"across-{number}", block))
    return files


def _no_room(
    maps: Volume, blocks: Sequence[Box], batch: dict[int, Integers], crossing: Crossing, need: int
) -> InputError:
    """Return the error where there is no room to flood a component: its place, its size, and what helps."""
    start = size3(np.min([blocks[block].start for block in batch], axis=0))
    stop = size3(np.max([blocks[block].stop for block in batch], axis=0))
    voxels = int(crossing.voxels[crossing.groups_in(batch)].sum())
    why = f"a piece of foreground in {Box(start, stop)} has {voxels} voxels, which takes {written(need)}"
    return InputError(maps.name, why, "Raise --memory, or --foreground so that it falls apart")


def _why_none(tables: Sequence[Integers], markers: Markers, parameters: DecodeParameters) -> str:
    """Return why there is no instance, if there is none: which threshold leaves nothing."""
    foreground, seeds, kept = np.sum(tables, axis=0).tolist()
    if not foreground:
        return f"no voxel is foreground with --foreground {parameters.foreground:g}"
    if not seeds:
        return (
            f"no voxel is a seed with --seed-foreground {parameters.seed_foreground:g} and --seed-contour "
            f"{parameters.seed_contour:g}"
        )
    if not kept and markers.voxels.size == 1:
        return f"no seed has --min-seed {parameters.min_seed_voxels} voxels"
    return f"no instance has --min-size {parameters.min_size_voxels} voxels"
