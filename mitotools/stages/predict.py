"""Maps from a volume and a model."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np

from mitotools import history
from mitotools.errors import InputError, TargetError
from mitotools.learn.augment.symmetry import Symmetry
from mitotools.learn.checkpoint import load_model
from mitotools.learn.device import resolved
from mitotools.learn.infer import WITH_TRANSPOSE, WindowPredictor
from mitotools.learn.models import stride_of
from mitotools.learn.normalise import normalisation_of, read_finite
from mitotools.learn.targets import map_slopes
from mitotools.learn.windows import WindowGrid, blended
from mitotools.stages.tile import tile_spec
from mitotools.volume.atomic import check_file
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume, source_of
from mitotools.volume.outputs import check_target, create_volume
from mitotools.volume.path import VolumePath
from mitotools.volume.plan import PLAN_NAME, Plan, Tile, read_plan, write_plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from mitotools.conventions import Array, Size
    from mitotools.learn.metadata import ModelMetadata
    from mitotools.parameters import PredictParameters
    from mitotools.run.running import Running
    from mitotools.volume.base import Volume

LARGEST = 255
"""Of the integers that stand for probabilities 0 to 1."""

INPUTS = ("volume", "model")
"""What a history's inputs are called where they differ."""

ALIKE = 1.25
"""Voxels that differ from those of the training by more than this factor are worth a warning."""


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
        device, precision = resolved(parameters.device, parameters.precision)
        parameters = replace(parameters, device=device, precision=precision)
        network, metadata = load_model(model)
        _check_voxels(raw, metadata, parameters.tta)
        self.raw = raw
        self.running = running
        normalisation = normalisation_of(raw)
        self._predict = WindowPredictor(
            network, normalisation, parameters, running.threads, map_slopes(metadata.targets)
        )
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
                {
                    **asdict(parameters),
                    "targets": metadata.targets,
                    "window_voxels": metadata.patch_voxels,
                    "grey_values": asdict(normalisation),
                    **({"decode": metadata.decode} if metadata.decode else {}),
                },
            ),
        )
        self.spec = replace(self.spec, chunks=_chunks(self.spec.chunks, self._grid))

    def slabs(self, box: Box, label: str) -> Iterator[tuple[Box, Array]]:
        """Yield the maps of `box` in slabs, in the type of the new volume."""
        indices = self._grid.touching(box)
        tracked = self.running.track(indices, len(indices), label, "windows")
        for slab, probabilities in blended(self._grid, box, tracked, self._read, self._predict):
            yield slab, quantised(probabilities, self.spec.dtype)

    def _read(self, box: Box) -> Array:
        return read_finite(self.raw, box)


def _chunks(chunks: Size, windows: WindowGrid) -> Size:
    """Return chunks that end where slabs end, so that each is written once."""
    z, y, x = chunks
    if len(windows.starts[0]) == 1:
        return chunks
    return max(depth for depth in range(1, z + 1) if windows.step % depth == 0), y, x


def _check_voxels(raw: Volume, metadata: ModelMetadata, tta: int) -> None:
    """Refuse to exchange axes that are not alike; warn of voxels unlike those of the training."""
    size, trained = raw.spec.voxel_size_nm, metadata.voxel_size_nm
    if tta > 1 and any(channel[0] in "zyx" for channel in metadata.targets):
        raise InputError(f"tta {tta}", "affinities are not the same when they are mirrored", "Use --tta 1")
    in_plane = Symmetry.of(metadata.patch_voxels, size or trained).orders
    if tta >= WITH_TRANSPOSE and (0, 2, 1) not in in_plane:
        raise InputError(
            raw.name, f"tta {tta} exchanges y and x, along which voxels or windows differ", "Use --tta 4"
        )
    if size and trained and any(max(a / b, b / a) > ALIKE for a, b in zip(size, trained, strict=True)):
        logging.getLogger(__name__).warning(
            "the model was trained on voxels of %s nm, %s has %s nm",
            *(" x ".join(f"{v:g}" for v in trained), raw.name, " x ".join(f"{v:g}" for v in size)),
        )


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
    there = [path for path in tiles if resume and path.exists()]
    for path in there:
        del tiles[path]
    for path in tiles if folder.exists() else [folder]:
        check_file(path, force=running.force or resume)
    with open_volume(plan.volume, "image") as raw:
        if raw.spec.size != plan.shape:
            raise InputError(str(plan_file), f"plans {plan.shape} voxels, but {raw.name} has {raw.spec.size}")
        work = _Work(plan.volume, raw, model, parameters, running)
        _join(folder, replace(plan, history=work.spec.history), there, force=running.force)
        for number, (path, tile) in enumerate(tiles.items(), start=1):
            spec = tile_spec(plan, tile, work.spec)
            with create_volume(VolumePath(str(path)), spec, force=running.force or resume) as writer:
                for box, maps in work.slabs(tile.extent, f"tile {number} of {len(tiles)}"):
                    writer.write(box.relative_to(tile.extent.start), maps)
    return list(tiles)


def _join(folder: Path, plan: Plan, tiles: list[Path], *, force: bool) -> None:
    """Write the plan into a new folder; in one that has a plan or tiles, refuse to mix them with others."""
    folder.mkdir(exist_ok=True)
    file = folder / PLAN_NAME
    changed: list[str] = []
    is_new = force or not file.exists()
    if not is_new:
        old = read_plan(file)
        changed += [key for key in ("shape", "size", "halo") if getattr(old, key) != getattr(plan, key)]
        changed += history.differences(old.history, plan.history, INPUTS)
    for tile in tiles:
        with open_volume(VolumePath(str(tile))) as volume:
            changed += history.differences(volume.spec.history, plan.history, INPUTS)
    if changed:
        names = ", ".join(dict.fromkeys(changed))
        raise TargetError(str(folder), f"holds tiles made with other {names}", "Use --force to start over")
    if is_new:  # parts that start together write it at once: each a file of its own, and the last one stays
        path = folder / f"{PLAN_NAME}.{uuid4().hex}"
        write_plan(path, plan, folder.absolute())
        path.replace(file)


def quantised(probabilities: npt.NDArray[np.float32], dtype: np.dtype[np.generic]) -> Array:
    """Return probabilities in the type of maps: floor(255 p) for uint8."""
    if dtype == np.uint8:
        return np.floor(np.clip(probabilities, 0, 1) * LARGEST).astype(np.uint8)
    return probabilities.astype(dtype)
