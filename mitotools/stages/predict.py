"""Maps from a volume and a model."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from mitotools import history
from mitotools.errors import InputError, TargetError
from mitotools.run.budget import check_enough, plan_blocks
from mitotools.run.running import silent
from mitotools.stages.blocks.blockwise import write_volume
from mitotools.stages.blocks.parts_of_volume import WHOLE, Part, check_shared, write_part
from mitotools.stages.blocks.planning import check_disk, memory_of, needs_of_tiles
from mitotools.stages.prediction.applying import Prediction, network_let_go
from mitotools.stages.prediction.plan import planned_prediction
from mitotools.stages.tile import bytes_of_tiles, tile_spec
from mitotools.volume.atomic import check_file
from mitotools.volume.files import open_volume
from mitotools.volume.outputs import check_target, create_volume
from mitotools.volume.path import VolumePath
from mitotools.volume.plan import PLAN_NAME, Plan, Tile, read_plan, write_plan

if TYPE_CHECKING:
    from mitotools.conventions import Size
    from mitotools.learn.metadata import Normalisation
    from mitotools.learn.windows import WindowGrid
    from mitotools.parameters import PredictParameters
    from mitotools.run.budget import Demand
    from mitotools.run.running import Running, Tracker
    from mitotools.stages.prediction.plan import Planned
    from mitotools.volume.base import VolumeSpec

INPUTS = ("volume", "model")
"""What a history's inputs are called where they differ."""


def predict_volume(
    source: VolumePath,
    target: VolumePath,
    model: Path,
    parameters: PredictParameters,
    running: Running,
    part: Part | None = None,
    normalisation: Normalisation | None = None,
) -> VolumeSpec:
    """Apply a model to a volume, in overlapping windows.

    Parameters
    ----------
    source : VolumePath
        (Z, Y, X) grey values.
    target : VolumePath
        The new maps, (C, Z, Y, X).
    model : Path
    parameters : PredictParameters
    running : Running
    part : Part, optional
        What of the maps this run computes; the others compute the rest, into the same zarr.
    normalisation : Normalisation, optional
        Of the grey values, where it is not to be their own: of a part, that of the whole.

    Returns
    -------
    VolumeSpec
        Of the maps.

    Raises
    ------
    InputError, TargetError, ModelError, UsageError
    """
    if part is None:
        check_target(target, force=running.force, resume=bool(running.resume))
    else:
        check_shared(target, running)
    with open_volume(source, "image") as raw, network_let_go():
        planned = planned_prediction(raw, model, parameters, running, normalisation)
        if part is not None:
            return write_part(target, planned.spec, planned.work, running, part)
        return write_volume(target, planned.spec, planned.work, running)


def predict_plan(
    plan_file: Path,
    folder: Path,
    model: Path,
    parameters: PredictParameters,
    running: Running,
    part: Part = WHOLE,
) -> list[Path]:
    """Apply a model to the tiles of a plan, one file a tile, equal to the same voxels of `predict_volume`.

    Parameters
    ----------
    plan_file : Path
    folder : Path
        Receives the tiles and their plan; several parts may write into one folder.
    model : Path
    parameters : PredictParameters
    running : Running
        Where it resumes, tiles that are there stay, if the same model made them with the same parameters.
    part : Part
        Which of the tiles to compute.

    Returns
    -------
    list of Path
        The tiles that were computed.

    Raises
    ------
    InputError, TargetError, ModelError, MachineError
    """
    plan = read_plan(plan_file)
    tiles = {folder / plan.file_name(tile): tile for tile in part.of(plan.tiles)}
    there = [path for path in tiles if running.resume and path.exists()]
    for path in there:
        del tiles[path]
    for path in tiles if folder.exists() else [folder]:
        check_file(path, force=running.force or bool(running.resume))
    with open_volume(plan.volume, "image") as raw, network_let_go():
        if raw.spec.size != plan.shape:
            raise InputError(str(plan_file), f"plans {plan.shape} voxels, but {raw.name} has {raw.spec.size}")
        planned = planned_prediction(raw, model, parameters, running)
        place, nbytes = VolumePath(str(folder)), bytes_of_tiles(tiles.values(), planned.spec)
        demand = _demand_of_tile(plan, planned, running)
        if running.dry_run:
            blocks = plan_blocks(demand, memory_of(running), running.threads, running.workers)
            running.dry_run(needs_of_tiles(place, len(tiles), replace(blocks, block=plan.largest), nbytes))
            return []
        if not running.scheduler:  # whose memory is not this machine's
            check_enough([(demand, running.workers)], memory_of(running))
        check_disk(place, nbytes, planned.spec.compression)
        _join(folder, replace(plan, history=planned.spec.history), there, part, force=running.force)
        force = running.force or bool(running.resume)
        write = _Tiles(planned.prediction, plan, planned.spec, folder, force)
        _predict_tiles(write, list(tiles.values()), demand, running)
    return list(tiles)


def _demand_of_tile(plan: Plan, planned: Planned, running: Running) -> Demand:
    """Return what predicting the largest tile takes: as wide as it is, and as deep as its maps are kept."""
    spec = replace(planned.spec, shape=planned.spec.shape[:-3] + plan.largest)
    demand = planned.work.demand(spec, is_distributed=running.is_distributed)
    depth = plan.largest[0] if planned.prediction.is_resampled else demand.unit[0]
    return replace(demand, unit=(depth, *plan.largest[1:]))


@dataclass(frozen=True)
class _Tiles:
    """Predicts one tile and writes its file, wherever it is sent."""

    prediction: Prediction
    plan: Plan
    spec: VolumeSpec
    folder: Path
    force: bool
    threads: int = 1

    def __call__(self, tile: Tile, track: Tracker = silent, label: str = "") -> None:
        chunks = _chunks(self.spec.chunks, self.prediction.windows)
        spec = tile_spec(self.plan, tile, replace(self.spec, chunks=chunks))
        path = VolumePath(str(self.folder / self.plan.file_name(tile)))
        slabs = self.prediction.slabs(tile.extent, self.threads, track, label)
        with create_volume(path, spec, force=self.force) as writer:
            for box, maps in slabs:
                writer.write(box.relative_to(tile.extent.start), maps)


def _predict_tiles(write: _Tiles, tiles: list[Tile], demand: Demand, running: Running) -> None:
    with running.engine() as engine:
        blocks = plan_blocks(demand, memory_of(running, engine), engine.threads, engine.processes)
        write = replace(write, threads=blocks.threads // max(engine.processes, 1))
        if not engine.processes:
            for number, tile in enumerate(tiles, start=1):
                write(tile, running.track, f"tile {number} of {len(tiles)}")
            return
        with closing(engine.map(write, tiles, engine.processes)) as results:
            for _ in running.track(results, len(tiles), "predict", "tiles"):
                pass


def _chunks(chunks: Size, windows: WindowGrid) -> Size:
    """Return chunks that end where slabs end, so that each is written once."""
    z, y, x = chunks
    if len(windows.starts[0]) == 1:
        return chunks
    return max(depth for depth in range(1, z + 1) if windows.step % depth == 0), y, x


def _join(folder: Path, plan: Plan, tiles: list[Path], part: Part, *, force: bool) -> None:
    """Write the plan into a new folder; in one that has a plan or tiles, refuse to mix them with others."""
    folder.mkdir(exist_ok=True)
    file = folder / PLAN_NAME
    changed: list[str] = []
    is_new = (force and part == WHOLE) or not file.exists()
    if not is_new:
        old = read_plan(file)
        changed += [key for key in ("shape", "size", "halo") if getattr(old, key) != getattr(plan, key)]
        changed += history.differences(old.history, plan.history, INPUTS)
    for tile in tiles:
        with open_volume(VolumePath(str(tile))) as volume:
            changed += history.differences(volume.spec.history, plan.history, INPUTS)
    if changed:
        names = ", ".join(dict.fromkeys(changed))
        # To replace the tiles of one part would leave those of the others beside them.
        what_next = "Use --force to start over" if part == WHOLE else "Delete it first, or write elsewhere"
        raise TargetError(str(folder), f"holds tiles made with other {names}", what_next)
    if is_new:  # parts that start together write it at once: each a file of its own, and the last one stays
        path = folder / f"{PLAN_NAME}.{uuid4().hex}"
        write_plan(path, plan, folder.absolute())
        path.replace(file)
