"""A training under way: all that a later run needs to go on as if nothing had happened."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open

from mitotools.errors import ModelError
from mitotools.learn.checkpoint import write_tensors
from mitotools.learn.optimise import Average, optimizer_of

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from mitotools.parameters import TrainParameters

KEY = "mitotools-training"
"""Name of the entry in the file's header."""


@dataclass(frozen=True)
class Best:
    """The weights that scored best in validation so far.

    Parameters
    ----------
    score : float
        AP-75, 0..1.
    jaccard : float
        Of the foreground, 0..1: of networks whose instances score the same, the one with the better mask.
    iteration : int
    decode : dict
        The options of decode with which it was reached.
    tensors : dict of str to Tensor
        The network's.
    """

    score: float
    jaccard: float
    iteration: int
    decode: dict[str, Any]
    tensors: dict[str, Tensor]


@dataclass(eq=False)
class Training:
    """A network, what changes it, and how far that has come.

    Parameters
    ----------
    network : nn.Module
    average : Average
        Of its weights.
    optimizer : torch.optim.Optimizer
    iteration : int
        Steps that are done.
    seconds : float
        What they took, in all runs together.
    loss : float
        Smoothed.
    validations : int
        That are done.
    best : Best, optional
    """

    network: nn.Module
    average: Average
    optimizer: torch.optim.Optimizer
    iteration: int = 0
    seconds: float = 0.0
    loss: float = math.nan
    validations: int = 0
    best: Best | None = field(default=None, repr=False)

    @classmethod
    def begun(cls, network: nn.Module, parameters: TrainParameters) -> Training:
        """Return the training of a network, before its first step."""
        average = Average(network, parameters.ema_decay)
        return cls(network, average, optimizer_of(network, parameters))


def save_training(path: Path, training: Training) -> None:
    """Write everything to a file that replaces what is there in one step.

    Raises
    ------
    TargetError
        Where it cannot be written.
    """
    tensors = dict(_named("network", training.network.state_dict()))
    if training.average.network is not training.network:
        tensors |= _named("average", training.average.network.state_dict())
    for number, state in training.optimizer.state_dict()["state"].items():
        tensors |= _named(f"optimizer.{number}", {k: v for k, v in state.items() if v is not None})
    known: dict[str, Any] = {
        "iteration": training.iteration,
        "seconds": training.seconds,
        "loss": training.loss,
        "validations": training.validations,
    }
    if training.best is not None:
        tensors |= _named("best", training.best.tensors)
        known["best"] = {
            "score": training.best.score,
            "jaccard": training.best.jaccard,
            "iteration": training.best.iteration,
            "decode": training.best.decode,
        }
    write_tensors(path, tensors, {KEY: json.dumps(known)})


def load_training(path: Path, training: Training) -> None:
    """Bring a training that has just begun to where another one was.

    Raises
    ------
    ModelError
        Where the file is no training, or one of another network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            known = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        _restore(training, known, tensors)
    except (
        SafetensorError,
        OSError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        reason = f"its header has no {error}" if isinstance(error, KeyError) else error
        why = f"is no training that can be continued ({reason})"
        raise ModelError(str(path), why, "Use --force to start over") from error


def _restore(training: Training, known: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    _fill(training.network, _under("network", tensors))
    if training.average.network is not training.network:
        _fill(training.average.network, _under("average", tensors))
    groups = training.optimizer.state_dict()["param_groups"]
    states = _states(training.optimizer, _under("optimizer", tensors))
    training.optimizer.load_state_dict({"state": states, "param_groups": groups})
    training.iteration, training.seconds = int(known["iteration"]), float(known["seconds"])
    training.loss, training.validations = float(known["loss"]), int(known["validations"])
    if "best" in known:
        training.best = Best(**known["best"], tensors=_under("best", tensors))


def _fill(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    own = network.state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        if name not in own or name not in tensors or own[name].shape != tensors[name].shape:
            raise ValueError(f"its tensor {name} is not what the network has under that name")
    network.load_state_dict(tensors)


def _states(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """Return what an optimiser remembers of each weight, in the weight's order in memory: else it is slow."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        weight = weights[int(number)]
        if tensor.ndim and tensor.shape != weight.shape:
            raise ValueError(f"its optimiser's {name} is not of the weight's shape")
        ordered = torch.empty_like(weight).copy_(tensor) if tensor.ndim else tensor
        states.setdefault(int(number), {})[key] = ordered.detach()
    return states


def _named(prefix: str, tensors: dict[str, Any]) -> dict[str, Tensor]:
    """Return copies under longer names: the file format refuses tensors that share memory."""
    return {
        f"{prefix}.{name}": torch.as_tensor(tensor)
        .detach()
        .cpu()
        .clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}
