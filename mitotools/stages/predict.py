"""Maps from a volume and a model."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mitotools import history
from mitotools.errors import InputError, TargetError
from mitotools.learn.checkpoint import load_model
from mitotools.learn.infer import WindowPredictor
from mitotools.learn.models import stride_of
from mitotools.learn.normalise import normalisation_of
from mitotools.learn.windows import WindowGrid, blended
from mitotools.stages.tile import tile_spec
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.files import (
    check_file,
    check_target,
    create_file,
    create_volume,
    open_volume,
    source_of,
)
from mitotools.volume.path import VolumePath
from mitotools.volume.plan import PLAN_NAME, Plan, Tile, read_plan, write_plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    from mitotools.conventions import Array
    from mitotools.history import Record
    from mitotools.parameters import PredictParameters
    from mitotools.run.running import Running
    from mitotools.volume.base import Volume

LARGEST = 255
"""Of the integers that stand for probabilities 0 to 1."""


@dataclass(frozen=True)
class Part:
    """Number `number` of `count` parts of the work, counted from 1."""

    number: int
    count: int

    def of(self, tiles: list[Tile]) -> list[Tile]:
        """Return this part's tiles, which follow each other."""
        return tiles[len(tiles) * (self.number - 1) // self.count : len(tiles) * self.number // self.count]


class _Work:
    """A model at work on one volume: everything that does not depend on the part that is computed."""

    def __init__(
        self,
        source: VolumePath,
        raw: Volume,
        model: Path,
        parameters: PredictParameters,
        running: Running,
    ) -> None:
        network, metadata = load_model(model)
        self.raw = raw
        self.running = running
        self._predict = WindowPredictor(network, normalisation_of(raw), parameters, running.threads)
        self._grid = WindowGrid.over(
            raw.spec.size, metadata.patch_voxels, stride_of(network), parameters.overlap, parameters.blend
        )
        self.spec = VolumeSpec(
            shape=(len(metadata.targets), *raw.spec.size),
            dtype=np.dtype(parameters.dtype),
            voxel_size_nm=raw.spec.voxel_size_nm,
            history=history.extended(
                [source_of(source, raw), history.Input(str(model.absolute()), history=metadata.history)],
                running.command_line,
                {**asdict(parameters), "targets": metadata.targets, "window_voxels": metadata.patch_voxels},
            ),
        )
        # Chunks that end where slabs end are written once.
        z, y, x = self.spec.chunks
        self.spec = replace(self.spec, chunks=(math.gcd(self._grid.step, z), y, x))

    def slabs(self, box: Box, label: str) -> Iterator[tuple[Box, Array]]:
        """Yield the maps of `box` in slabs, in the type of the new volume."""
        indices = self._grid.touching(box)
        tracked = self.running.track(indices, len(indices), label, "windows")
        for slab, probabilities in blended(self._grid, box, tracked, self.raw.read, self._predict):
            yield slab, quantised(probabilities, self.spec.dtype)


def predict_volume(
    source: VolumePath, target: VolumePath, model: Path, parameters: PredictParameters, running: Running
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

    Returns
    -------
    VolumeSpec
        Of the maps.

    Raises
    ------
    InputError, TargetError, ModelError
    """
    check_target(target, force=running.force)
    with open_volume(source, "image") as raw:
        work = _Work(source, raw, model, parameters, running)
        with create_volume(target, work.spec, force=running.force) as writer:
            for box, maps in work.slabs(Box.whole(raw.spec.size), "predict"):
                writer.write(box, maps)
        return work.spec


def predict_plan(
    plan_file: Path,
    folder: Path,
    model: Path,
    parameters: PredictParameters,
    running: Running,
    part: Part = Part(1, 1),
    *,
    resume: bool = False,
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
    part : Part
        Which of the tiles to compute.
    resume : bool
        Keep the tiles that are there, made by the same model, parameters and volume.

    Returns
    -------
    list of Path
        The tiles that were computed.

    Raises
    ------
    InputError, TargetError, ModelError
    """
    plan = read_plan(plan_file)
    tiles = {folder / plan.file_name(tile): tile for tile in part.of(plan.tiles)}
    if resume:
        tiles = {path: tile for path, tile in tiles.items() if not path.exists()}
    for path in tiles if folder.exists() else [folder]:
        check_file(path, force=running.force or resume)
    with open_volume(plan.volume, "image") as raw:
        if raw.spec.size != plan.shape:
            raise InputError(str(plan_file), f"plans {plan.shape} voxels, but {raw.name} has {raw.spec.size}")
        work = _Work(plan.volume, raw, model, parameters, running)
        _join(folder, replace(plan, history=work.spec.history), force=running.force)
        for number, (path, tile) in enumerate(tiles.items(), start=1):
            spec = tile_spec(plan, tile, work.spec)
            with create_volume(VolumePath(str(path)), spec, force=running.force or resume) as writer:
                for box, maps in work.slabs(tile.extent, f"tile {number} of {len(tiles)}"):
                    writer.write(box.relative_to(tile.extent.start), maps)
    return list(tiles)


def _join(folder: Path, plan: Plan, *, force: bool) -> None:
    """Write the plan into a new folder; in one that has a plan, refuse to mix it with another."""
    folder.mkdir(exist_ok=True)
    file = folder / PLAN_NAME
    if file.exists() and not force:
        changed = _differences(read_plan(file).history[-1], plan.history[-1])
        if changed:
            raise TargetError(
                str(folder), f"holds tiles made with other {', '.join(changed)}", "Use --force to start over"
            )
        return
    with create_file(file, force=True) as path:
        write_plan(path, plan, folder.absolute())


def _differences(old: Record, new: Record) -> list[str]:
    """Return the names of what differs between two records, time and command line aside."""
    names = [
        key for key in new["parameters"] if not _same(old["parameters"].get(key), new["parameters"][key])
    ]
    return names + ["inputs"] * (not _same(old["inputs"], new["inputs"]))


def _same(old: object, new: object) -> bool:
    return json.dumps(old) == json.dumps(new)


def quantised(probabilities: npt.NDArray[np.float32], dtype: np.dtype[np.generic]) -> Array:
    """Return probabilities in the type of maps: floor(255 p) for uint8."""
    if dtype == np.uint8:
        return np.floor(np.clip(probabilities, 0, 1) * LARGEST).astype(np.uint8)
    return probabilities.astype(dtype)
