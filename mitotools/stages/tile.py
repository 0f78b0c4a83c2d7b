"""Plan a grid of tiles, or cut them."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mitotools import history
from mitotools.errors import TargetError, UsageError
from mitotools.run.engine import ordered_map
from mitotools.volume.base import VolumeSpec
from mitotools.volume.files import open_volume, source_of
from mitotools.volume.formats import is_glob
from mitotools.volume.outputs import create_file, create_volume
from mitotools.volume.path import VolumePath
from mitotools.volume.plan import PLAN_NAME, Plan, Tile, flat, write_plan

if TYPE_CHECKING:
    from mitotools.parameters import TileParameters
    from mitotools.run.running import Running
    from mitotools.volume.base import Volume


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
    with open_volume(source) as volume:
        records = history.extended([source_of(source, volume)], running.command_line, asdict(parameters))
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
        folder = target.absolute().parent
        with create_file(target, force=running.force) as path:
            if target.suffix == ".json":
                write_plan(path, plan, folder)
            elif target.suffix:
                raise TargetError(str(target), "a plan ends in .json, and tiles lie in a folder")
            else:
                path.mkdir()
                write_plan(path / PLAN_NAME, plan, target.absolute())
                _cut(volume, plan, path, running)
    return plan


def tile_spec(plan: Plan, tile: Tile, spec: VolumeSpec) -> VolumeSpec:
    """Return what a tile's file is, given what its volume would be."""
    return replace(
        spec,
        shape=spec.shape[:-3] + tile.extent.shape,
        attributes={"core": flat(tile.core), "volume_size": plan.shape},
    )


def _cut(volume: Volume, plan: Plan, folder: Path, running: Running) -> None:
    spec = VolumeSpec(volume.spec.shape, volume.spec.dtype, plan.voxel_size_nm, plan.history)
    results = ordered_map(lambda tile: volume.read(tile.extent), plan.tiles, running.threads)
    for tile, array in running.track(results, len(plan.tiles), "tile", "tiles"):
        path = VolumePath(str(folder / plan.file_name(tile)))
        with create_volume(path, tile_spec(plan, tile, spec)) as writer:
            writer.write(tile.extent.relative_to(tile.extent.start), array)


def _name_of(source: VolumePath) -> str:
    path = Path(source.file)
    return (path.parent if is_glob(path.name) else path).stem or "volume"
