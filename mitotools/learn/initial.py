"""Networks to begin a training with: of fresh weights, or those of another model."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mitotools.learn.library import read_model
from mitotools.learn.models import OPTIONAL, build
from mitotools.parameters import TrainParameters

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from mitotools.learn.metadata import ModelMetadata

NETWORK_SETTINGS = ("architecture", "filters", "norm", *OPTIONAL)
"""Parameters of a training that describe its network, which one that is trained on brings along."""


def network_of(metadata: ModelMetadata) -> dict[str, Any]:
    """Return the parameters of a training that describe the network of a model."""
    known = {"architecture": metadata.architecture, **metadata.settings}
    values = {name: known.get(name, getattr(TrainParameters(), name)) for name in NETWORK_SETTINGS}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def fine_tuned(
    path: Path, channels: tuple[str, ...], as_program: str = ""
) -> tuple[nn.Module, ModelMetadata]:
    """Return a network with the weights of a model, to be trained on.

    Parameters
    ----------
    path : Path
    channels : tuple of str
        What the new network puts out. Where the model puts out something else this is said: of another number
        of channels, layers that it changes are new; of as many others, the weights are those of the old ones.
    as_program : str
        As `read_model` takes it.

    Returns
    -------
    network : nn.Module
    metadata : ModelMetadata
        Of the old model, with the new network's settings.

    Raises
    ------
    InputError
        Where there is no such file.
    ModelError
        Where it is no model.
    """
    network, metadata = read_model(path, as_program)
    if metadata.targets == channels:
        return network, metadata
    settings: dict[str, Any] = {**metadata.settings, "out_channels": len(channels)}
    new = build(metadata.architecture, settings)
    old, fresh = network.state_dict(), new.state_dict()
    kept = {name: old[name] for name in old.keys() & fresh.keys() if old[name].shape == fresh[name].shape}
    new.load_state_dict(fresh | kept)
    logging.getLogger(__name__).info(
        "%s puts out %s: of %d tensors, %d are new to put out %s",
        path,
        ",".join(metadata.targets),
        len(fresh),
        len(fresh) - len(kept),
        ",".join(channels),
    )
    return new, replace(metadata, settings=settings)
