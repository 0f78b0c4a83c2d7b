"""The marker-controlled watershed of maps of any size: exactly that of `segment.decoders.watershed`.

Three steps: every block floods the components that it holds whole (`segment.block_watershed`); components
across blocks are gathered from what blocks put aside, and flooded; all instances are numbered and written.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools.errors import InputError
from mitotools.run.budget import KERNEL_BYTES, SLACK, WORKER_BYTES, plan_blocks, written
from mitotools.run.memory import resident_bytes
from mitotools.segment.block_watershed import BYTES_PER_VOXEL, Place, block_watershed
from mitotools.segment.components import grey_level
from mitotools.segment.filters import smallest_label_type
from mitotools.segment.join_blocks import (
    BLOCK_SHIFT,
    batched,
    final_numbers,
    group_voxels,
    joined_components,
    joined_markers,
)
from mitotools.segment.sparse_flood import BYTES_PER_VOXEL as FLOOD_BYTES
from mitotools.segment.sparse_flood import flood_runs, painted, reached_runs, selected
from mitotools.stages.maps import as_uint8
from mitotools.stages.pieces import read_pieces, write_pieces
from mitotools.stages.planning import check_count, demand_of, memory_of
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box, grid, size3
from mitotools.volume.files import open_volume
from mitotools.volume.outputs import create_volume, planned, workspace
from mitotools.volume.path import VolumePath

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mitotools.conventions import Array, Size
    from mitotools.parameters import DecodeParameters
    from mitotools.run.running import Running
    from mitotools.segment.block_watershed import BlockPart
    from mitotools.segment.join_blocks import Groups, Integers, Markers
    from mitotools.volume.base import Volume, Writer

UNIT = (32, 128, 128)
"""Blocks of the first step are multiples of it, and its labels are stored in it."""

PREFERRED_BYTES = 512 * 2**20
"""What a block of the first step may cost: the larger blocks are, the fewer components cross them."""


@dataclass(frozen=True, eq=False)
class Watershed:
    """The instances of maps, as something that is read by blocks while its folder is there.

    Parameters
    ----------
    blocks : list of Box
        Of the first step.
    labels : Volume
        What each block numbered by itself.
    markers : Markers
    numbers : (M + 1,) int64
        The instance of each marker, 0 or 1..count.
    floods : dict of int to list of Path
        The floods that reach into each block.
    count : int
    largest : int
        The highest value of the mask.
    """

    blocks: list[Box]
    labels: Volume
    markers: Markers
    numbers: Integers
    floods: dict[int, list[Path]]
    count: int
    largest: int

    def read(self, box: Box, threads: int) -> Array:
        """Return the instances of `box`."""
        dtype = smallest_label_type(self.count)
        result = np.zeros(box.shape, dtype)
        for block, whole in enumerate(self.blocks):
            shared = whole.intersection(box)
            if shared.is_empty:
                continue
            part = read_pieces(self.labels, shared, threads)
            ids = np.arange(int(part.max()) + 1)
            inside = self.numbers[self.markers.of(block, ids)].astype(dtype)[part]
            origin = shared.start
            for file in self.floods.get(block, []):
                with np.load(file) as flood:
                    runs = [flood[f"{name}_{block}"] for name in ("starts", "lengths", "markers")]
                painted(inside, runs[0], runs[1], self.numbers[runs[2]], origin, self.labels.spec.size)
            result[shared.relative_to(box.start).slices] = inside
        return result


@contextmanager
def watershed(
    maps: Volume, target: VolumePath, parameters: DecodeParameters, running: Running
) -> Iterator[Watershed]:
    """Decode maps by `mw`, up to the writing of the result.

    Raises
    ------
    InputError
        Where a component of the foreground is too large for the budget.
    TargetError
    """
    with workspace(target, force=running.force) as folder:
        blocks, parts, largest = _flood_blocks(maps, folder, parameters, running)
        markers = joined_markers(parts, parameters.min_seed_voxels)
        groups = joined_components(parts)
        voxels, floods = _flood_across(maps, folder, blocks, parts, groups, markers, running)
        numbers = final_numbers(markers, markers.voxels + voxels, parameters.min_size_voxels)
        with open_volume(VolumePath(str(folder / "blocks.zarr"))) as labels:
            count = int(numbers.max(initial=0))
            yield Watershed(blocks, labels, markers, numbers, floods, count, largest)


@dataclass(frozen=True)
class _BlockFlood:
    """The first step, of one block, wherever it is sent."""

    maps: Volume
    writer: Writer
    folder: Path
    parameters: DecodeParameters
    threads: int

    def __call__(self, item: tuple[int, Box]) -> tuple[BlockPart, int]:
        number, box = item
        size = self.maps.spec.size
        seen = Box(box.start, size3([min(b + 1, n) for b, n in zip(box.stop, size, strict=True)]))
        maps = as_uint8(read_pieces(self.maps, seen, self.threads), self.maps.name)
        seeds = maps[0] > grey_level(self.parameters.seed_foreground)
        if len(maps) > 1:
            seeds &= maps[1] < grey_level(self.parameters.seed_contour)
        part = block_watershed(
            np.ascontiguousarray(maps[0]),
            seeds,
            grey_level(self.parameters.foreground),
            self.parameters.min_seed_voxels,
            self.parameters.min_size_voxels,
            Place(box.start, box.shape, size),
        )
        write_pieces(self.writer, box, part.labels, self.threads)
        np.savez(
            self.folder / f"block{number}.npz",
            starts=part.run_starts, lengths=part.run_lengths, components=part.run_components,
            values=part.values, markers=part.markers,
        )  # fmt: skip
        return part.table(), int(maps[0].max())


def _flood_blocks(
    maps: Volume, folder: Path, parameters: DecodeParameters, running: Running
) -> tuple[list[Box], list[BlockPart], int]:
    target = VolumePath(str(folder / "blocks.zarr"))
    spec = planned(target, VolumeSpec(maps.spec.size, np.dtype(np.uint32), chunks=UNIT))
    voxel_bytes = BYTES_PER_VOXEL + (2 * maps.spec.dtype.itemsize + 8 * (maps.spec.dtype.kind == "f")) * (
        maps.spec.channels or 1
    )
    demand = replace(demand_of(spec, [maps], voxel_bytes), preferred_bytes=PREFERRED_BYTES)
    with running.engine() as engine, create_volume(target, spec) as writer:
        plan = plan_blocks(demand, memory_of(running, engine), engine.threads, engine.processes)
        check_count(maps.name, spec.size, plan.block)
        blocks = grid(spec.size, plan.block)
        threads = plan.threads // max(engine.processes, 1)
        found: dict[int, tuple[BlockPart, int]] = {}
        flooded = engine.map(
            _BlockFlood(maps, writer, folder, parameters, threads), enumerate(blocks), plan.slots
        )
        with closing(flooded):
            for (number, _), result in running.track(flooded, len(blocks), "flood", "blocks"):
                found[number] = result
    parts = [found[number][0] for number in range(len(blocks))]
    return blocks, parts, max(largest for _, largest in found.values())


@dataclass(frozen=True, eq=False)
class _AcrossFlood:
    """The second step, of some components, wherever it is sent."""

    folder: Path
    markers: Markers
    shape: Size

    def __call__(self, batch: tuple[int, dict[int, Integers]]) -> tuple[Integers, Integers]:
        number, components = batch
        runs = [self._runs(block, own) for block, own in components.items()]
        starts, lengths, of_block = (np.concatenate([run[k] for run in runs]) for k in range(3))
        order = np.argsort(starts)
        values, markers = (selected(np.concatenate([run[k] for run in runs]), lengths, order) for k in (3, 4))
        labels = flood_runs(starts[order], lengths[order], values, markers, self.shape)
        reached_starts, reached_lengths, reached, of_run = reached_runs(starts[order], lengths[order], labels)
        block = of_block[order][of_run]
        pieces: dict[str, Any] = {}
        for own in components:
            is_own = block == own
            pieces[f"starts_{own}"] = reached_starts[is_own]
            pieces[f"lengths_{own}"] = reached_lengths[is_own]
            pieces[f"markers_{own}"] = reached[is_own]
        np.savez(self.folder / f"across{number}.npz", **pieces)
        markers, of_marker = np.unique(reached, return_inverse=True)
        return markers, np.bincount(of_marker, reached_lengths, markers.size).astype(np.int64)

    def _runs(self, block: int, components: Integers) -> tuple[Array, ...]:
        """Return start, length and block of the runs of some components of a block, and their voxels."""
        with np.load(self.folder / f"block{block}.npz") as part:
            lengths = part["lengths"]
            of_run = np.isin(part["components"], components)
            of_voxel = np.repeat(of_run, lengths)
            numbers = np.zeros(int(part["markers"].max(initial=0)) + 1, np.uint32)
            numbers[:] = self.markers.of(block, np.arange(numbers.size))
            return (
                part["starts"][of_run],
                lengths[of_run],
                np.full(int(of_run.sum()), block),
                part["values"][of_voxel],
                numbers[part["markers"][of_voxel]],
            )


def _flood_across(
    maps: Volume,
    folder: Path,
    blocks: list[Box],
    parts: list[BlockPart],
    groups: Groups,
    markers: Markers,
    running: Running,
) -> tuple[Integers, dict[int, list[Path]]]:
    """Flood the components across blocks; return the voxels that each marker reaches, and where they are."""
    voxels = np.zeros(markers.voxels.size, np.int64)
    floods: dict[int, list[Path]] = {}
    if groups.count == 0:
        return voxels, floods
    with running.engine() as engine:
        taken = resident_bytes() + engine.processes * (WORKER_BYTES + KERNEL_BYTES)
        room = int((memory_of(running, engine) * SLACK - taken) / FLOOD_BYTES)
        sizes = _check_room(maps, blocks, parts, groups, room)
        most = max(room // engine.threads, int(sizes.max()))
        batches = batched(groups, sizes, most)
        flood = _AcrossFlood(folder, markers, maps.spec.size)
        # Where one component takes more than a thread's share, fewer are flooded at the same time.
        work = engine.map(flood, enumerate(batches), min(engine.threads, room // most))
        with closing(work):
            tracked = running.track(work, len(batches), "flood across blocks", "batches")
            for (number, batch), (reached, counts) in tracked:
                np.add.at(voxels, reached, counts)
                for block in batch:
                    floods.setdefault(block, []).append(folder / f"across{number}.npz")
    return voxels, {block: sorted(files) for block, files in floods.items()}


def _check_room(
    maps: Volume, blocks: list[Box], parts: list[BlockPart], groups: Groups, room: int
) -> Integers:
    """Return the voxels of each component across blocks; InputError where there is no room for one."""
    voxels = group_voxels(parts, groups)
    largest = int(voxels.argmax())
    if voxels[largest] > room:
        touched = groups.names[groups.group_of == largest] >> BLOCK_SHIFT
        start = size3(np.min([blocks[block].start for block in touched], axis=0))
        stop = size3(np.max([blocks[block].stop for block in touched], axis=0))
        need = written(voxels[largest] * FLOOD_BYTES)
        why = f"a piece of foreground in {Box(start, stop)} has {voxels[largest]} voxels, which takes {need}"
        raise InputError(maps.name, why, "Raise --memory, or --foreground so that it falls apart")
    return voxels
