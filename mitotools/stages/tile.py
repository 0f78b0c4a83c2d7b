"""Plan a grid of tiles, or cut them."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mitotools import history
from mitotools.errors import TargetError, UsageError
from mitotools.run.budget import BlockPlan, plan_blocks
from mitotools.stages.blocks.pieces import read_pieces, write_pieces
from mitotools.stages.blocks.planning import check_disk, demand_of, memory_of, needs_of_tiles
from mitotools.stages.blocks.resuming import is_complete, is_worth_continuing, journal_for, made_of
from mitotools.volume.atomic import appearing, check_file, create_file
from mitotools.volume.blocks import grid
from mitotools.volume.files import open_volume
from mitotools.volume.formats import is_glob
from mitotools.volume.outputs import check_apart, create_volume
from mitotools.volume.path import VolumePath
from mitotools.volume.plan import PLAN_NAME, Plan, Tile, flat, read_plan, write_plan
from mitotools.volume.world import moved

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mitotools.conventions import Size
    from mitotools.parameters import TileParameters
    from mitotools.run.running import Running
    from mitotools.volume.base import Volume, VolumeSpec


def tile_volume(source: VolumePath, target: Path, parameters: TileParameters, running: Running) -> Plan:
    """Write the plan of a grid over a volume (`target` ends in .json), or cut the volume into tile files.

    Parameters
    ----------
    source : VolumePath
    target : Path
        ``plan.json``, or a new folder, which then holds the tiles and their plan.
    parameters : TileParameters
    running : Running

    Returns
    -------
    Plan

    Raises
    ------
    InputError, TargetError, UsageError
    """
    check_apart([target], [source])
    check_file(target, force=running.force, resume=bool(running.resume))
    if target.suffix not in ("", ".json"):
        raise TargetError(str(target), "a plan ends in .json, and tiles lie in a folder")
    with open_volume(source) as volume:
        records = history.extended([volume.source()], running.command_line, asdict(parameters))
        plan = Plan(
            volume=source,
            name=_name_of(source),
            shape=volume.spec.size,
            size=parameters.size_voxels,
            halo=parameters.halo_voxels,
            voxel_size_nm=volume.spec.voxel_size_nm,
            history=records,
        )
        if plan.flaw:
            raise UsageError("--size", plan.flaw, "Give a larger one")
        if running.dry_run:
            running.dry_run(_needs(volume, plan, target, running))
        elif _is_made(plan, target, running):
            pass
        elif target.suffix == ".json":
            with create_file(target, force=running.force or bool(running.resume)) as path:
                write_plan(path, plan, target.absolute().parent)
        else:
            _cut(volume, plan, target, running)
    return plan


def tile_spec(plan: Plan, tile: Tile, spec: VolumeSpec) -> VolumeSpec:
    """Return what a tile's file is, given what its volume would be."""
    return replace(
        spec,
        shape=spec.shape[:-3] + tile.extent.shape,
        attributes={
            **moved(spec.attributes, tile.extent.start, spec.voxel_size_nm),
            "core": flat(tile.core),
            "volume_size": plan.shape,
        },
    )


def bytes_of_tiles(tiles: Iterable[Tile], spec: VolumeSpec) -> int:
    """Return the bytes of tiles uncompressed, given what their volume is."""
    voxels = sum(math.prod(tile.extent.shape) for tile in tiles)
    return voxels * (spec.channels or 1) * spec.dtype.itemsize


def _is_made(plan: Plan, target: Path, running: Running) -> bool:
    """Whether the plan, alone or with its tiles, is there; TargetError where it is another one."""
    file = target if target.suffix else target / PLAN_NAME
    return is_complete(
        target, lambda: read_plan(file).history, plan.history, running, is_there=target.exists()
    )


@dataclass(frozen=True)
class _Cutter:
    """Cuts one tile, block by block, wherever it is sent."""

    volume: Volume
    plan: Plan
    spec: VolumeSpec
    folder: Path
    block: Size
    threads: int

    def __call__(self, tile: Tile) -> None:
        path = VolumePath(str(self.folder / self.plan.file_name(tile)))
        with create_volume(path, tile_spec(self.plan, tile, self.spec), force=True) as writer:
            for box in grid(tile.extent.shape, self.block):
                voxels = read_pieces(self.volume, box.shifted(tile.extent.start), self.threads)
                write_pieces(writer, box, voxels, self.threads)


def _cut(volume: Volume, plan: Plan, target: Path, running: Running) -> None:
    with (
        journal_for(target, made_of(plan.history), running) as journal,
        appearing(
            target,
            force=running.force or bool(running.resume),
            is_continued=bool(journal.done),
            is_kept=lambda: is_worth_continuing(target, running),
        ) as folder,
        running.engine() as engine,
    ):
        folder.mkdir(exist_ok=True)
        write_plan(folder / PLAN_NAME, plan, target.absolute())
        blocks = _blocks(volume, plan, memory_of(running, engine), engine.threads, engine.processes)
        cutter = _Cutter(
            volume=volume,
            plan=replace(plan, history=()),
            spec=_spec(volume, plan),
            folder=folder.absolute(),
            block=blocks.block,
            threads=blocks.threads // max(engine.processes, 1),
        )
        done = {entry[0] for entry in journal.done}
        tiles = [(number, tile) for number, tile in enumerate(plan.tiles) if number not in done]
        numbers = {tile: number for number, tile in tiles}
        check_disk(VolumePath(str(target)), bytes_of_tiles(numbers, cutter.spec), cutter.spec.compression)
        with closing(engine.map(cutter, [tile for _, tile in tiles], blocks.slots)) as results:
            for tile, _ in running.track(results, len(tiles), "tile", "tiles"):
                journal.add([numbers[tile]])


def _spec(volume: Volume, plan: Plan) -> VolumeSpec:
    """Return what all tiles have in common."""
    spec = volume.spec
    return spec.on_same_grid(spec.shape[:-3], spec.dtype, plan.history, is_labels=spec.is_labels)


def _blocks(volume: Volume, plan: Plan, memory_bytes: int, threads: int, processes: int) -> BlockPlan:
    """Return the blocks in which the largest tile is cut."""
    spec = _spec(volume, plan)
    voxel_bytes = 2 * spec.dtype.itemsize * (spec.channels or 1)
    demand = demand_of(replace(spec, shape=spec.shape[:-3] + plan.largest), [volume], voxel_bytes)
    return plan_blocks(demand, memory_bytes, threads, processes)


def _needs(volume: Volume, plan: Plan, target: Path, running: Running) -> dict[str, str]:
    """Return what --dry-run prints."""
    blocks = _blocks(volume, plan, memory_of(running), running.threads, running.workers)
    tiles = 0 if target.suffix else bytes_of_tiles(plan.tiles, _spec(volume, plan))
    return needs_of_tiles(VolumePath(str(target)), plan.count, blocks, tiles)


def _name_of(source: VolumePath) -> str:
    path = Path(source.file)
    stem = (path.parent if is_glob(path.name) else path).stem or "volume"
    return "".join(sign if sign.isprintable() else "_" for sign in stem)  # as names of tiles have to be
