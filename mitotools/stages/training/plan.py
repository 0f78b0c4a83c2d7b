"""What a training is made of, before it begins: open volumes, a network, patches and targets."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from mitotools import history
from mitotools.errors import InputError
from mitotools.learn.augment.patch import recipe_named
from mitotools.learn.initial import fine_tuned, network_of
from mitotools.learn.installed import model_file
from mitotools.learn.metadata import ModelMetadata
from mitotools.learn.models import build, fits, settings_of, stride_of, surplus_of
from mitotools.learn.optimise import check_batch
from mitotools.learn.patches import HELD_BYTES, Mixture, PatchSource
from mitotools.learn.targets import channel_names, targets_named
from mitotools.learn.targets.contour import is_sectioned
from mitotools.stages.blocks.pieces import warn_of_grey_values
from mitotools.stages.prediction.plan import by
from mitotools.stages.training.checks import (
    check_norm,
    check_validation,
    warn_of_other_voxels,
    warn_of_smaller,
)
from mitotools.stages.training.fine_tuning import check_network
from mitotools.stages.training.validation import check_channels
from mitotools.volume.blocks import size3
from mitotools.volume.files import open_volume
from mitotools.volume.same_size import require_same_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import ExitStack
    from pathlib import Path

    from mitotools.conventions import Size, VoxelSize
    from mitotools.history import Input
    from mitotools.learn.metadata import Normalisation
    from mitotools.learn.models import Module
    from mitotools.learn.targets import Target
    from mitotools.parameters import TrainParameters
    from mitotools.run.running import Running
    from mitotools.stages.training.data import Labelled
    from mitotools.volume.base import Volume
    from mitotools.volume.path import VolumePath

NOT_OF_THE_RESULT = ("loaders", "save_minutes")
"""Parameters that a run may be continued without: they change nothing in the model."""

HELD_PART = 8
"""Volumes stay in memory up to this fraction of --memory."""


@dataclass(frozen=True)
class TrainingFiles:
    """Where a training reads and writes beside its volumes.

    Parameters
    ----------
    validation : sequence of (VolumePath, VolumePath)
        Grey values and labels to be scored on.
    init : Path, optional
        A model whose weights it begins with; parameters have to be those of its network (see
        `settings_of_model`).
    log : Path, optional
        A folder for every number.
    plot : Path, optional
        A picture or a page with the curves of the most telling ones.
    init_as : str
        What `init` is a checkpoint of (see `mitotools.learn.library.read_model`).
    config : Path, optional
        The file that settings are from, for the history.
    """

    validation: Sequence[tuple[VolumePath, VolumePath]] = ()
    init: Path | None = None
    log: Path | None = None
    plot: Path | None = None
    init_as: str = ""
    config: Path | None = None


@dataclass(frozen=True)
class Plan:
    """All that is known before a training begins; how the grey values of what is held out are scaled."""

    network: Module
    metadata: ModelMetadata
    mixture: Mixture
    targets: Sequence[Target]
    parameters: TrainParameters
    grey_values: Mapping[VolumePath, Normalisation]


def planned(
    data: Sequence[Labelled],
    parameters: TrainParameters,
    running: Running,
    files: TrainingFiles,
    stack: ExitStack,
    processes: int = 1,
) -> Plan:
    """Open everything, and find out what the network and its patches are.

    Parameters
    ----------
    data, parameters, files, running : as `train_model` takes them
    stack : ExitStack
        Closes the volumes.
    processes : int
        That share a batch.

    Raises
    ------
    InputError, ModelError, UsageError
    """
    targets = targets_named(parameters.targets, parameters.affinity_offsets)
    channels = channel_names(targets)
    if files.validation:
        check_channels(channels)
    inputs: list[Input] = []
    opened = [_opened(one, stack, inputs) for one in data]
    raw, labels, _ = opened[0]
    stated = raw.spec.voxel_size_nm or labels.spec.voxel_size_nm
    network, architecture, settings, decode, begun_at = _network(parameters, channels, stated, files, inputs)
    voxel_size = stated or begun_at
    if stated is None:
        taken = "for sections, longer in z than in the plane"
        if voxel_size is not None:
            taken = f"to be that of {files.init}, {by(voxel_size)} nm"
        message = "%s does not say its voxel size: taken %s. 'mitotools convert --voxel-size' sets it"
        logging.getLogger(__name__).warning(message, raw.name, taken)
    check_batch(parameters, processes)
    patch = _patch(parameters, raw.spec.size, voxel_size, network)
    check_norm(patch, network, parameters, processes)
    warn_of_smaller(patch, [volume for volume, _, _ in opened])
    sizes_nm = {one.name: one.spec.voxel_size_nm or ids.spec.voxel_size_nm for one, ids, _ in opened}
    warn_of_other_voxels(sizes_nm, str(files.init or raw.name), begun_at, patch)
    values = {**_values(data, parameters), "patch_voxels": patch}
    metadata = ModelMetadata(
        architecture=architecture,
        settings=settings,
        targets=channels,
        patch_voxels=patch,
        voxel_size_nm=voxel_size,
        decode=decode,
        training=values,
    )
    inputs += check_validation(files.validation, metadata)
    inputs += [history.input_of(files.config)] if files.config else []
    metadata = replace(metadata, history=history.extended(inputs, running.command_line, values))
    sources = [_source(one, volumes, patch, parameters) for one, volumes in zip(data, opened, strict=True)]
    grey_values = {
        one.held_out: source.normalisation for one, source in zip(data, sources, strict=True) if one.held_out
    }
    held = HELD_BYTES if running.memory_bytes is None else min(HELD_BYTES, running.memory_bytes // HELD_PART)
    return Plan(network, metadata, Mixture(sources, held), targets, parameters, grey_values)


def _values(data: Sequence[Labelled], parameters: TrainParameters) -> dict[str, object]:
    """Return what decides, together with the inputs, what the model will be."""
    values = {name: value for name, value in asdict(parameters).items() if name not in NOT_OF_THE_RESULT}
    return {**values, "held_out": [one.held_out.crop if one.held_out else "" for one in data]}


Volumes = tuple["Volume", "Volume", "Volume | None"]


def _opened(one: Labelled, stack: ExitStack, inputs: list[Input]) -> Volumes:
    """Open raw, labels and what is ignored, and add them to the inputs."""
    raw = stack.enter_context(open_volume(one.raw, "image"))
    labels = stack.enter_context(open_volume(one.labels, "labels"))
    require_same_size(raw, labels)
    warn_of_grey_values(one.labels)
    inputs += [raw.source(), labels.source()]
    if one.ignore is None:
        return raw, labels, None
    ignore = stack.enter_context(open_volume(one.ignore, "labels"))
    inputs.append(ignore.source())
    return raw, labels, ignore


def _source(one: Labelled, volumes: Volumes, patch: Size, parameters: TrainParameters) -> PatchSource:
    raw, labels, ignore = volumes
    held_out = None if one.held_out is None else one.held_out.box(raw.spec.size)
    recipe = recipe_named(parameters.recipe, parameters.augment or ())
    return PatchSource(raw, labels, patch, parameters.uniform_share, recipe, ignore, held_out)


def _network(
    parameters: TrainParameters,
    channels: tuple[str, ...],
    voxel_size: VoxelSize | None,
    files: TrainingFiles,
    inputs: list[Input],
) -> tuple[Module, str, dict[str, object], dict[str, Any], VoxelSize | None]:
    """Return a network, its architecture, settings, options of decode and voxel size: new, or a model's."""
    if files.init is None:
        settings = settings_of(parameters, len(channels), isotropic=not is_sectioned(voxel_size))
        return build(parameters.architecture, settings), parameters.architecture, settings, {}, voxel_size
    path = model_file(files.init)
    network, old = fine_tuned(path, channels, files.init_as)
    check_network(parameters, files.init, network_of(old))
    inputs.append(history.Input(str(path.absolute()), history=old.history))
    # What suits the maps of the old model is a better guess than what suits no model in particular.
    decode = old.decode_at(voxel_size) if old.targets == channels else {}
    return network, old.architecture, old.settings, decode, old.voxel_size_nm or voxel_size


def _patch(parameters: TrainParameters, size: Size, voxel_size: VoxelSize | None, network: Module) -> Size:
    """Return the shape of a patch: as asked, else the preset's, cut to what the volume holds."""
    stride, surplus = stride_of(network), surplus_of(network)
    if parameters.patch_voxels is not None:
        if not fits(network, parameters.patch_voxels):
            more = f", and {surplus} more" if surplus else ""
            raise InputError(
                f"--patch {','.join(map(str, parameters.patch_voxels))}",
                f"this network takes multiples of {','.join(map(str, stride))} voxels{more}",
            )
        return parameters.patch_voxels
    is_section = is_sectioned(voxel_size)
    wanted = parameters.section_patch_voxels if is_section else parameters.isotropic_patch_voxels
    full, cut = (
        size3([max((n - surplus) // s, 1) * s + surplus for n, s in zip(most, stride, strict=True)])
        for most in (wanted, [min(w, n) for w, n in zip(wanted, size, strict=True)])
    )
    if cut != full:
        logging.getLogger(__name__).warning(
            "patches of %s voxels, not of %s: the volume has %s", *map(by, (cut, full, size))
        )
    return cut
