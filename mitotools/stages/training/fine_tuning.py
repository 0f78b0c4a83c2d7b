"""The settings of a training that begins with a model: the network is the model's."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from mitotools.errors import UsageError
from mitotools.learn.initial import network_of
from mitotools.learn.installed import model_file
from mitotools.learn.library import read_model
from mitotools.learn.metadata import read_metadata
from mitotools.presets import DEFAULT, PRESETS, of_training

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mitotools.parameters import TrainParameters

WITHOUT = "Leave it out, or leave --init out"


def settings_of_model(init: Path, preset: str | None = None, as_program: str = "") -> TrainParameters:
    """Return the settings to train a model further with, where nothing else is said.

    Parameters
    ----------
    init : Path
    preset : str, optional
        Where they come from, but for those of the network; by default from the training of the model, and
        patches are those of the model, cut to what the new volume holds.
    as_program : str
        As `read_model` takes it; such a checkpoint does not say how it was trained.

    Raises
    ------
    InputError, ModelError
    UsageError
        Where the preset is one of another architecture.
    """
    path = model_file(init)
    metadata = read_model(path, as_program)[1] if as_program else read_metadata(path)
    network = network_of(metadata)
    if preset is None and not as_program:
        shape = metadata.patch_voxels
        settings = of_training(metadata.training, str(init))
        return replace(settings, section_patch_voxels=shape, isotropic_patch_voxels=shape, **network)
    settings = PRESETS[preset or DEFAULT]
    other = {name: value for name, value in network.items() if value != getattr(settings, name)}
    if preset and "architecture" in other and not as_program:
        why = f"architecture is {other['architecture']} in the network of {init}"
        raise UsageError(f"--preset {preset}", why, WITHOUT)
    if preset and other:
        stays = ", ".join(f"{name}={_written(value)}" for name, value in other.items())
        message = "the network is that of %s, not that of --preset %s: %s"
        logging.getLogger(__name__).warning(message, init, preset, stays)
    return replace(settings, **network)


def check_network(parameters: TrainParameters, init: Path, network: Mapping[str, object]) -> None:
    """Raise UsageError where parameters ask for another network than that of the model."""
    for name, value in network.items():
        asked = getattr(parameters, name)
        if asked != value:
            why = f"{name} is {_written(value)} in the network of {init}"
            raise UsageError(f"--set {name}={_written(asked)}", why, WITHOUT)


def _written(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
