"""The marker-controlled watershed of maps of any size: exactly that of `segment.decoders.watershed`.

Three steps: every block floods what it holds whole (`segment.blockwise.watershed`); components across blocks
that hold several markers are gathered from what blocks put aside, and flooded; all instances are numbered.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mitotools.errors import InputError
from mitotools.run.budget import KERNEL_BYTES, SLACK, WORKER_BYTES, written
from mitotools.run.memory import resident_bytes
from mitotools.segment.blockwise.across import batched, crossing_components, flooded, gathered
from mitotools.segment.blockwise.flood import BYTES_PER_VOXEL as FLOOD_BYTES
from mitotools.segment.blockwise.joining import (
    Numbers,
    group_firsts,
    group_voxels,
    joined,
    joined_markers,
    names_of,
)
from mitotools.segment.blockwise.watershed import BYTES_PER_VOXEL, SEVERAL, WatershedPart
from mitotools.segment.decoders.watershed import LANDSCAPES, block_part
from mitotools.stages.block_step import BlockWork, file_of
from mitotools.stages.instances import Everywhere, Found, Instances, Layer, all_runs
from mitotools.stages.planning import memory_of
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
    from mitotools.segment.blockwise.places import Integers
    from mitotools.stages.block_step import Parts
    from mitotools.volume.base import Volume

GATHERED_BYTES = 4
"""Of a voxel that is flooded, beside the flood: its value twice, and its share of runs."""


def work(parameters: DecodeParameters) -> BlockWork:
    """Return what is done with a block."""
    return BlockWork(WatershedPart, block_part, parameters, BYTES_PER_VOXEL)


def instances(
    maps: Volume, parts: Parts, parameters: DecodeParameters, running: Running, engine: Engine
) -> Found:
    """Flood what crosses blocks, and number the instances.

    Raises
    ------
    InputError
        Where a component of the foreground is too large for the budget.
    """
    tables: list[WatershedPart] = parts.tables
    markers = _markers(tables, parameters.min_seed_voxels)
    crossing = crossing_components(tables, markers.numbers)
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
    found = Instances(maps.spec.size, parts.blocks, layers, int(numbers.max(initial=0)))
    return Found(found, _why_none(tables, markers, parameters))


def _markers(tables: Sequence[WatershedPart], min_seed_voxels: int) -> Markers:
    shared = [part.shared_markers for part in tables]
    groups = joined(shared)
    stays = group_voxels(shared, groups) >= max(min_seed_voxels, 1)
    firsts = group_firsts(shared, groups)
    known = [part.markers for part in tables]
    return joined_markers(known, groups, firsts, np.zeros(groups.count, np.int64), stays)


@dataclass(frozen=True, eq=False)
class _AcrossFlood:
    """The second step, of some components, wherever it is sent."""

    folder: Path
    markers: Numbers
    shape: Size
    landscape: str
    room_bytes: float

    def __call__(self, batch: tuple[int, dict[int, Integers]]) -> tuple[Integers, Integers, int]:
        """Return the markers, the voxels that each reaches, and the memory that is lacking, or 0."""
        number, components = batch
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
            reached, markers, voxels = flooded(parts, self.shape, self.room_bytes - 2 * gathered_bytes)
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
    sizes = np.where(crossing.marker == SEVERAL, crossing.voxels, 0)
    if not sizes.any():
        return files
    taken = resident_bytes() + engine.processes * (WORKER_BYTES + KERNEL_BYTES)
    room_bytes = memory_of(running, engine) * SLACK - taken
    needs = sizes * (FLOOD_BYTES + GATHERED_BYTES)
    most = max(room_bytes / engine.threads, float(needs.max()))
    batches = batched(crossing, int(most / (FLOOD_BYTES + GATHERED_BYTES)))
    # Where one component may take more than a thread's share, fewer are flooded at the same time.
    slots = max(1, min(engine.threads, int(room_bytes / most)))
    flood = _AcrossFlood(parts.folder, markers.numbers, maps.spec.size, landscape, room_bytes / slots)
    with closing(engine.map(flood, enumerate(batches), slots)) as work:
        tracked = running.track(work, len(batches), "flood across blocks", "batches")
        for (number, batch), (reached, counts, need) in tracked:
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
    names = np.concatenate([names_of(block, own) for block, own in batch.items()])
    voxels = int(crossing.voxels[np.unique(crossing.groups.of(names))].sum())
    why = f"a piece of foreground in {Box(start, stop)} has {voxels} voxels, which takes {written(need)}"
    return InputError(maps.name, why, "Raise --memory, or --foreground so that it falls apart")


def _why_none(tables: Sequence[WatershedPart], markers: Markers, parameters: DecodeParameters) -> str:
    """Return why there is no instance, if there is none: which threshold leaves nothing."""
    foreground, seeds, kept = np.sum([part.found for part in tables], axis=0).tolist()
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
