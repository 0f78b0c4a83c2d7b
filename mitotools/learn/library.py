"""Models of ours, and checkpoints of another program, as one kind of thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitotools.errors import ModelError, UsageError
from mitotools.learn.checkpoint import load_model
from mitotools.learn.metadata import ModelMetadata
from mitotools.learn.models import stride_of, surplus_of
from mitotools.learn.pytc import read_checkpoint
from mitotools.learn.targets import TARGETS, channel_names

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from mitotools.conventions import Size

PYTC, POOLING = "pytc", "pooling"

PYTC_CHANNELS = {1: ("mask",), 2: ("mask", "contour"), 3: ("z", "y", "x")}
"""What a checkpoint with so many channels puts out, where nothing else is said."""

PYTC_WINDOW: Size = (17, 257, 257)
"""That program's windows: a multiple of the network's stride, and one more; with pooling, none more."""


def read_model(path: Path, as_program: str = "") -> tuple[nn.Module, ModelMetadata]:
    """Return a network, in evaluation mode, and what is known of it.

    Parameters
    ----------
    path : Path
    as_program : str
        "" for a model of ours; "pytc" for a checkpoint of PyTorch Connectomics, "pytc,pooling" for one that
        pools. Behind it, after commas, what its channels are, if they are not those of `PYTC_CHANNELS`.

    Raises
    ------
    InputError, ModelError, UsageError
    """
    if not as_program:
        return load_model(path)
    program, *words = as_program.split(",")
    if program != PYTC:
        raise UsageError(f"--as {as_program}", "expected pytc, or pytc,pooling")
    is_pooling = words[:1] == [POOLING]
    channels = tuple(words[is_pooling:])
    checkpoint = read_checkpoint(path, pooling=is_pooling)
    count = checkpoint.settings["out_channels"]
    known = channel_names(TARGETS)
    if unknown := [name for name in channels if name not in known]:
        why = f"no channel is called {unknown[0]}"
        raise UsageError(f"--as {as_program}", why, f"Channels are {', '.join(known)}")
    channels = channels or PYTC_CHANNELS.get(count, ())
    if len(channels) != count:
        why = f"puts out {count} channels, not {','.join(channels) or 'what we know'}"
        raise ModelError(str(path), why, "Name them: --as pytc,mask,contour")
    network, surplus = checkpoint.network, surplus_of(checkpoint.network)
    z, y, x = (
        length // step * step + surplus for length, step in zip(PYTC_WINDOW, stride_of(network), strict=True)
    )
    return network, ModelMetadata(checkpoint.architecture, checkpoint.settings, channels, (z, y, x))
