"""A model from a volume and its labels."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from mitotools import history
from mitotools.errors import InputError
from mitotools.learn.checkpoint import save_model
from mitotools.learn.device import prepare, resolved
from mitotools.learn.fit import Fit, check_batch, fit
from mitotools.learn.metadata import ModelMetadata
from mitotools.learn.models import build, stride_of
from mitotools.learn.patches import PatchSource, batches
from mitotools.learn.targets import ContourShape, targets_named
from mitotools.learn.targets.contour import contour_radius, is_sectioned
from mitotools.volume.atomic import check_file, create_file
from mitotools.volume.blocks import size3
from mitotools.volume.files import open_volume, source_of

if TYPE_CHECKING:
    from pathlib import Path

    from mitotools.conventions import Size, VoxelSize
    from mitotools.parameters import TrainParameters
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath

SECTION_PATCH: Size = (32, 256, 256)
"""The paper's patch for sections."""
ISOTROPIC_PATCH: Size = (112, 112, 112)
"""The paper's patch for the Lucchi volume."""

THREADS_A_FEEDER = 4
"""One thread in so many prepares batches; the others are the network's."""


def train_model(
    raw: VolumePath, labels: VolumePath, target: Path, parameters: TrainParameters, running: Running
) -> Fit:
    """Train a network and save it.

    Parameters
    ----------
    raw, labels : VolumePath
        (Z, Y, X), of the same size.
    target : Path
        The new model file.
    parameters : TrainParameters
    running : Running

    Returns
    -------
    Fit

    Raises
    ------
    InputError, TargetError, ModelError
    """
    check_file(target, force=running.force)
    check_batch(parameters)
    device, precision = resolved(parameters.device, parameters.precision)
    parameters = replace(parameters, device=device, precision=precision)
    prepare(running.threads, parameters.seed)
    with open_volume(raw, "image") as image, open_volume(labels, "labels") as truth:
        voxel_size = image.spec.voxel_size_nm or truth.spec.voxel_size_nm
        settings = _settings(parameters, voxel_size)
        network = build(parameters.architecture, settings)
        patch = _patch(parameters, image.spec.size, voxel_size, stride_of(network))
        targets = targets_named(parameters.targets)
        contour = ContourShape(
            contour_radius(parameters.contour_width_nm, voxel_size), is_sectioned(voxel_size)
        )
        source = PatchSource(image, truth, patch, parameters.uniform_share)
        feeders = -(-running.threads // THREADS_A_FEEDER)
        feed = batches(source, targets, contour, parameters.batch, parameters.seed, feeders)
        with closing(feed):
            result = fit(network, feed, targets, parameters, running.status)
        inputs = [source_of(raw, image), source_of(labels, truth)]
    values = {**asdict(parameters), "patch_voxels": patch}
    metadata = ModelMetadata(
        architecture=parameters.architecture,
        settings=settings,
        targets=parameters.targets,
        patch_voxels=patch,
        voxel_size_nm=voxel_size,
        training={**values, "iterations_done": result.iterations, "loss": result.loss},
        history=history.extended(inputs, running.command_line, values),
    )
    with create_file(target, force=running.force) as path:
        save_model(path, network.cpu(), metadata)
    return result


def _settings(parameters: TrainParameters, voxel_size: VoxelSize | None) -> dict[str, Any]:
    return {
        "in_channels": 1,
        "out_channels": len(parameters.targets),
        "filters": list(parameters.filters),
        "isotropic": not is_sectioned(voxel_size),
        "norm": parameters.norm,
        "fold": list(parameters.fold),
    }


def _patch(parameters: TrainParameters, size: Size, voxel_size: VoxelSize | None, stride: Size) -> Size:
    """Return the shape of a patch: as asked, else the paper's, cut to what the volume holds."""
    if parameters.patch_voxels is not None:
        wrong = [p for p, s in zip(parameters.patch_voxels, stride, strict=True) if p < 1 or p % s]
        if wrong:
            raise InputError(
                f"--patch {','.join(map(str, parameters.patch_voxels))}",
                f"this network takes multiples of {','.join(map(str, stride))} voxels",
            )
        return parameters.patch_voxels
    wanted = SECTION_PATCH if is_sectioned(voxel_size) else ISOTROPIC_PATCH
    patch = size3([max(min(w, n) // s, 1) * s for w, n, s in zip(wanted, size, stride, strict=True)])
    logging.getLogger(__name__).info("patches of %s voxels", " x ".join(map(str, patch)))
    return patch
