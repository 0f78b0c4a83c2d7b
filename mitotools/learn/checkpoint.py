"""Networks saved to and rebuilt from model files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mitotools.errors import ModelError
from mitotools.learn.metadata import ModelMetadata, read_metadata
from mitotools.learn.models import build

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


def save_model(path: Path, network: nn.Module, metadata: ModelMetadata) -> None:
    """Write a network and what is known of it."""
    tensors = {name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, path, metadata.header())


def load_model(path: Path) -> tuple[nn.Module, ModelMetadata]:
    """Rebuild a network, in evaluation mode.

    Raises
    ------
    InputError
        Where there is no such file.
    ModelError
        Where the file is no model, or its tensors do not fit the network it names.
    """
    metadata = read_metadata(path)
    try:
        network = build(metadata.architecture, metadata.settings)
        network.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(str(path), f"its network cannot be rebuilt ({error})") from error
    return network.eval(), metadata
