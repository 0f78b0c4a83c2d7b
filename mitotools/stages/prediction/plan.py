"""What applying a model to a volume takes, found out before anything is computed."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mitotools import history
from mitotools.conventions import MAP_TYPES, RESCALES
from mitotools.errors import InputError, UsageError
from mitotools.learn.augment.context import Context
from mitotools.learn.backends import chosen_backend
from mitotools.learn.device import chosen_device, resolved
from mitotools.learn.footprint import peak_bytes
from mitotools.learn.installed import model_file
from mitotools.learn.library import read_model
from mitotools.learn.normalise import normalisation_of
from mitotools.learn.symmetries import channels_turned_back, symmetries
from mitotools.learn.targets.affinity import affinity_offset
from mitotools.learn.targets.contour import is_sectioned
from mitotools.learn.windows import WindowGrid
from mitotools.stages.blocks.work import Work
from mitotools.stages.prediction.applying import Applied, Prediction
from mitotools.stages.prediction.rescaling import factors, seen_at
from mitotools.volume.blocks import size3

if TYPE_CHECKING:
    from pathlib import Path

    from mitotools.conventions import Size, VoxelSize
    from mitotools.learn.metadata import ModelMetadata, Normalisation
    from mitotools.learn.models import Module
    from mitotools.parameters import PredictParameters
    from mitotools.run.running import Running
    from mitotools.stages.blocks.pieces import Seen
    from mitotools.volume.base import Volume, VolumeSpec
    from mitotools.volume.files import FileVolume

FLOAT_BYTES = 4

ROWS = 4
"""Rows of windows that a block is deep at least, where the volume is: one of them is in float32 at a time."""

CHUNK_SLICES = 64
"""Most chunks are as deep, or twice that, or half: blocks are multiples of this and of theirs."""

BACKEND_BYTES = 350 * 2**20
"""What torch and OpenVINO take in a process beside the tensors of a network (measured: 290 to 330 MiB)."""


@dataclass(frozen=True)
class Planned:
    """What predicting a volume takes, and what comes of it.

    Parameters
    ----------
    prediction : Prediction
    spec : VolumeSpec
        Of the maps.
    work : Work
    """

    prediction: Prediction
    spec: VolumeSpec
    work: Work


def planned_prediction(
    raw: FileVolume,
    model: Path,
    parameters: PredictParameters,
    running: Running,
    normalisation: Normalisation | None = None,
) -> Planned:
    """Prepare to apply a model to a volume.

    Parameters
    ----------
    raw : FileVolume
    model : Path
    parameters : PredictParameters
    running : Running
    normalisation : Normalisation, optional
        Of the grey values, where it is not to be their own.

    Raises
    ------
    InputError
        Where the volume is not what the model can be applied to.
    ModelError
        Where the model cannot be read.
    UsageError, MitotoolsError
        Where there is no such device or backend.
    """
    _check_options(parameters)
    device, precision = resolved(parameters.device, parameters.precision)
    backend = chosen_backend(parameters.backend, chosen_device(device))
    parameters = replace(parameters, device=device, precision=precision, backend=backend)
    name, model = model, model_file(model)
    network, metadata = read_model(model, parameters.as_program)
    if name != model and "title" in metadata.card:
        logging.getLogger(__name__).info(
            "%s: %s ('mitotools info %s' says more)", name, metadata.card["title"], name
        )
    seen = seen_by(raw, metadata, parameters.rescale)
    _check_symmetries(raw, seen, metadata, parameters.tta)
    windows = WindowGrid.over(seen.spec.size, metadata.patch_voxels, parameters.overlap, parameters.blend)
    normalisation = normalisation or normalisation_of(raw)
    if raw.spec.dtype != np.uint8:
        logging.getLogger(__name__).info(
            "%s: grey values from %g to %g (percentiles .5 and 99.5) are stretched",
            raw.name,
            normalisation.low,
            normalisation.high,
        )
    applied = Applied(model.absolute(), model.stat().st_mtime_ns, parameters, normalisation)
    prediction = Prediction(
        seen, raw.spec.size, applied, windows, len(metadata.targets), np.dtype(parameters.dtype)
    )
    records = history.extended(
        [raw.source(), history.Input(str(model.absolute()), history=metadata.history)],
        running.command_line,
        {
            **asdict(parameters),
            "targets": metadata.targets,
            "window_voxels": metadata.patch_voxels,
            "grey_values": asdict(normalisation),
            **({"decode": metadata.decode_at(raw.spec.voxel_size_nm)} if metadata.decode else {}),
            **({"card": metadata.card} if metadata.card else {}),
            **({"resampled_voxels": seen.spec.size} if seen is not raw else {}),
        },
    )
    spec = raw.spec.on_same_grid((len(metadata.targets),), prediction.dtype, records)
    return Planned(prediction, spec, _work(prediction, raw, network, metadata))


def seen_by(raw: Volume, metadata: ModelMetadata, rescale: str) -> Seen:
    """Return a volume at the voxel size of the training, where its own is another one; say so.

    Raises
    ------
    InputError
        Where the network sees more slices than there are, or its affinities are between other voxels.
    """
    _check_depth(raw, metadata)
    size, trained = raw.spec.voxel_size_nm, metadata.voxel_size_nm
    log = logging.getLogger(__name__)
    if trained is None:
        return raw
    if size is None:
        log.warning(
            "%s does not say its voxel size: taken to be that of the training, %s nm", raw.name, by(trained)
        )
        return raw
    scale = factors(size, trained, sees_one_slice=metadata.patch_voxels[0] == 1)
    if scale == (1.0, 1.0, 1.0):
        return raw
    unlike = "the model was trained on voxels of %s nm, %s has %s nm"
    nm = (by(trained), raw.name, by(size))
    if rescale == "none":
        log.warning(unlike, *nm)
        return raw
    if _has_affinities(metadata):
        why = f"has voxels of {by(size)} nm, the model's affinities are between voxels of {by(trained)} nm"
        raise InputError(raw.name, why, "Use convert --scale, or predict --rescale none")
    seen = seen_at(raw, scale)
    _check_depth(seen, metadata, " at the voxel size of the training")
    log.info(f"{unlike}: it is resampled to %s voxels", *nm, by(seen.spec.size))  # noqa: G004 (no value in it)
    if is_sectioned(size) and not is_sectioned(trained):
        log.warning("%s has sections, the model is one of cubic voxels: look at what it finds", raw.name)
    return seen


def _check_depth(seen: Seen, metadata: ModelMetadata, where: str = "") -> None:
    if seen.spec.size[0] == 1 and metadata.patch_voxels[0] > 1:
        why = f"has one slice{where}, and the network sees {metadata.patch_voxels[0]} at once"
        raise InputError(seen.name, why, "Train a 2D one: --preset u2d-b")


def _check_options(parameters: PredictParameters) -> None:
    """Refuse what the command line cannot say."""
    for name, known in (("dtype", MAP_TYPES), ("rescale", RESCALES)):
        if (value := getattr(parameters, name)) not in known:
            raise UsageError(f"{name} {value}", f"expected one of {', '.join(known)}")
    if not 0 <= parameters.overlap < 1:
        raise UsageError(f"overlap {parameters.overlap}", "expected a part of a window, from 0 to below 1")


def by(lengths: VoxelSize | Size) -> str:
    """Return lengths in words: 32 x 256 x 256."""
    return " x ".join(f"{length:g}" for length in lengths)


def _has_affinities(metadata: ModelMetadata) -> bool:
    return any(map(affinity_offset, metadata.targets))


def _check_symmetries(raw: Volume, seen: Seen, metadata: ModelMetadata, tta: int) -> None:
    """Refuse to average over images that are not alike, or whose affinities are others."""
    size_nm = raw.spec.voxel_size_nm or metadata.voxel_size_nm
    if size_nm and metadata.voxel_size_nm:  # which voxels have where they are resampled, but for rounding
        seen_nm = [
            own if before == after else trained
            for own, trained, before, after in zip(
                size_nm, metadata.voxel_size_nm, raw.spec.size, seen.spec.size, strict=True
            )
        ]
        size_nm = (seen_nm[0], seen_nm[1], seen_nm[2])
    orders = Context(metadata.patch_voxels, size_nm).orders
    wanted = {tuple(axis + 3 for axis in order) for order, _ in symmetries(tta)}
    if not wanted <= set(orders):
        axes, fewer = ("z, y and x", 16) if (0, 2, 1) in orders else ("y and x", 4)
        why = f"tta {tta} exchanges {axes}, along which voxels or windows differ"
        raise InputError(raw.name, why, f"Use --tta {fewer}")
    for way in symmetries(tta):
        channels_turned_back([affinity_offset(channel) for channel in metadata.targets], *way)


def _bytes_of_window(network: Module, metadata: ModelMetadata, parameters: PredictParameters) -> int:
    """Return what applying the network to a window takes, with what waits to be blended."""
    results = 2 * FLOAT_BYTES * math.prod(metadata.patch_voxels) * (len(metadata.targets) + 2)
    if parameters.device != "cpu":
        return results
    return results + peak_bytes(network, metadata.patch_voxels, parameters.precision)


def _work(prediction: Prediction, raw: Volume, network: Module, metadata: ModelMetadata) -> Work:
    windows = prediction.windows
    ratio = math.prod(windows.size) / math.prod(prediction.size)
    scale = [a / b for a, b in zip(prediction.size, windows.size, strict=True)]
    margin = [length * part for length, part in zip(windows.window, scale, strict=True)]
    depth = math.ceil(ROWS * windows.step * scale[0] / CHUNK_SLICES) * CHUNK_SLICES
    row = min(1.0, windows.window[0] / min(depth, prediction.size[0]))
    floats = 1 + 2 * ratio if prediction.is_resampled else row
    voxel_bytes = prediction.channels * (prediction.dtype.itemsize + FLOAT_BYTES * floats)
    return Work(
        prediction,
        "predict",
        [raw],
        voxel_bytes,
        process_bytes=2 * sum(tensor.nbytes for tensor in network.state_dict().values()) + BACKEND_BYTES,
        thread_bytes=_bytes_of_window(network, metadata, prediction.applied.parameters),
        unit=(depth, 1, 1),
        margin=size3([math.ceil(length) for length in margin]),
        is_alone=True,
    )
