"""Networks saved to and rebuilt from model files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from mitotools.errors import ModelError, TargetError
from mitotools.learn.metadata import ModelMetadata, read_metadata
from mitotools.learn.models import build, fits, stride_of

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


def save_model(path: Path, network: nn.Module, metadata: ModelMetadata) -> None:
    """Write a network and what is known of it.

    Raises
    ------
    TargetError
        Where the file cannot be written.
    """
    tensors = {name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()}
    write_tensors(path, tensors, metadata.header())


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], header: dict[str, str]) -> None:
    """Write tensors and texts, in one step, to a file that others may read if they may read new ones.

    Those that safetensors itself writes are for their owner alone.

    Raises
    ------
    TargetError
        Where the file cannot be written.
    """
    new = path.with_name(path.name + ".new")
    try:
        new.write_bytes(save(tensors, header))
        new.replace(path)
    except BaseException as error:
        new.unlink(missing_ok=True)
        if isinstance(error, SafetensorError | OSError):
            raise TargetError(str(path), f"cannot be written ({error})") from error
        raise


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
        network = _outline(metadata)
        tensors = load_file(path)
        _check_tensors(network, tensors)
        floats = {name: tensor.to(_loaded(tensor.dtype), copy=True) for name, tensor in tensors.items()}
        network.load_state_dict(floats, assign=True)
    except (SafetensorError, ModelError, RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(str(path), f"its network cannot be rebuilt ({error})") from error
    return network.eval(), metadata


def _outline(metadata: ModelMetadata) -> nn.Module:
    """Return the network without memory for its weights, of which a broken header may promise any number."""
    settings, patch = metadata.settings, metadata.patch_voxels
    if (settings.get("in_channels"), settings.get("out_channels")) != (1, len(metadata.targets)):
        raise ValueError("its channels are not its targets")
    with torch.device("meta"):
        network = build(metadata.architecture, settings)
    if not fits(network, patch):
        raise ValueError(f"its patches of {patch} voxels are no multiples of {stride_of(network)}")
    return network


def _loaded(dtype: torch.dtype) -> torch.dtype:
    """Return what a tensor becomes: halves, in a model that is to be small, the floats they are made of."""
    return torch.float32 if dtype == torch.float16 else dtype


def _check_tensors(network: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    expected = {name: (tensor.shape, tensor.dtype) for name, tensor in network.state_dict().items()}
    found = {name: (tensor.shape, _loaded(tensor.dtype)) for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ValueError(f"its tensor {name} is not what the network has under that name")
