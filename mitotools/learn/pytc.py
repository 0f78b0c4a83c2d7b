"""Checkpoints of PyTorch Connectomics v1, read without executing anything in them."""

from __future__ import annotations

import warnings
import zipfile
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from mitotools.errors import InputError, ModelError
from mitotools.learn.models import build

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

LEVELS = 5

ARCHIVE = b"PK\3\4"
"""What a file begins with that torch reads as an archive; older ones are pickles."""

NEXT = "Only the unet_3d and unet_plus_3d of version 1, with residual blocks, can be read"


class Checkpoint(NamedTuple):
    """A network, in evaluation mode, and what `mitotools.learn.models.build` rebuilds it from."""

    network: nn.Module
    architecture: str
    settings: dict[str, Any]


def read_checkpoint(path: Path, *, pooling: bool) -> Checkpoint:
    """Read a checkpoint of one of the two residual U-Nets.

    Parameters
    ----------
    path : Path
        Holds a dict with a `state_dict`, as torch saves it.
    pooling : bool
        Whether the network downsamples by pooling, which its tensors do not tell, or by strides.

    Returns
    -------
    Checkpoint

    Raises
    ------
    InputError
        Where there is no such file.
    ModelError
        Where it is no checkpoint, or one of another network.
    """
    tensors = _tensors(path)
    try:
        architecture, settings = _inferred(tensors)
        settings["pooling"] = pooling
        with torch.device("meta"):
            network = build(architecture, settings)
        _check(network.state_dict(), tensors)
    except (ModelError, ValueError, RuntimeError) as error:
        raise ModelError(str(path), f"is of another network ({error})", NEXT) from error
    network = network.to_empty(device="cpu")
    network.load_state_dict(tensors)
    return Checkpoint(network.eval(), architecture, settings)


def _tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint; in those of several GPUs every name begins with "module."."""
    if not path.is_file():
        raise InputError(str(path), "no such file")
    try:
        _check_archive(path)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no pickle, or a broken one, may raise anything
        # Torch's own words are long, and advise to execute what is in the file.
        reason = f" ({error.strerror})" if isinstance(error, OSError) else ""
        why = f"is no PyTorch checkpoint, or a damaged one, or holds more than tensors{reason}"
        raise ModelError(str(path), why, NEXT) from error
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(map(_is_entry, state.items())):
        raise ModelError(str(path), "holds no 'state_dict' of tensors", NEXT)
    if sum(tensor.nbytes for tensor in state.values()) > path.stat().st_size:
        raise ModelError(str(path), "is damaged: its tensors are larger than the file", NEXT)
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def _check_archive(path: Path) -> None:
    """Raise ValueError where reading an archive would take more memory than the file is large.

    Torch compresses nothing that it writes, and no two of its entries share bytes.
    """
    with path.open("rb") as file:
        if file.read(len(ARCHIVE)) != ARCHIVE:
            return
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("compressed")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise ValueError("larger than the file")


def _is_entry(item: tuple[Any, Any]) -> bool:
    name, tensor = item
    return isinstance(name, str) and isinstance(tensor, torch.Tensor)


def _inferred(tensors: dict[str, Tensor]) -> tuple[str, dict[str, Any]]:
    """Return the name and the settings of the network that tensors belong to.

    Raises
    ------
    ValueError
        Where a tensor that tells them is missing.
    """
    stem = _shape(tensors, "conv_in.0.weight")
    filters = [_shape(tensors, f"down_layers.{level}.1.0.weight")[0] for level in range(LEVELS)]
    settings = {
        "in_channels": stem[1],
        "out_channels": _shape(tensors, "conv_out.0.weight")[0],
        "filters": filters,
        "norm": _norm(tensors),
        "squeeze": "down_layers.0.2.conv.1.fc.0.weight" in tensors,
    }
    return ("pytc-unet-plus" if "non_local.g.weight" in tensors else "pytc-unet"), settings


def _shape(tensors: dict[str, Tensor], name: str) -> tuple[int, ...]:
    if name not in tensors:
        raise ValueError(f"it has no tensor {name}")
    shape = tuple(tensors[name].shape)
    if len(shape) != 5 or 0 in shape:
        raise ValueError(f"its tensor {name} is {shape}")
    return shape


def _norm(tensors: dict[str, Tensor]) -> str:
    if "conv_in.1.running_mean" in tensors:
        return "batch"
    if "conv_in.1.weight" in tensors:
        return "group"
    raise ValueError("it has no norm, or instance norm, which its tensors do not tell apart")


def _check(expected: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            raise ValueError(f"it has no tensor {name}")
        if name not in expected:
            raise ValueError(f"it has a tensor {name}")
        if found[name].shape != expected[name].shape:
            shapes = f"{tuple(found[name].shape)}, not {tuple(expected[name].shape)}"
            raise ValueError(f"its tensor {name} is {shapes}")
        if not _is_number(found[name]):
            raise ValueError(f"its tensor {name} holds {found[name].dtype}")


def _is_number(tensor: Tensor) -> bool:
    """Return whether a tensor can be copied into the network: not complex, sparse or quantised."""
    return tensor.layout == torch.strided and not tensor.is_complex() and not tensor.is_quantized
