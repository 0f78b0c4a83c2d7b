"""How weights are changed: the optimiser, its learning rate, and the average that is kept."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from mitotools.errors import ModelError
from mitotools.learn.device import arithmetic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

    from mitotools.parameters import TrainParameters

OPTIMIZERS = ("sgd", "adam")

WARMUP_SHARE = 0.05
"""The warm-up takes at most this part of the run."""

AVERAGED_SOONER = 10
"""The average of a run that has just begun forgets its first weights: it decays by (1 + n) / (this + n) after
n iterations, unless it would decay slower than it is told to."""

LEAST_BATCH_FOR_BATCH_NORM = 4


def optimizer_of(network: nn.Module, parameters: TrainParameters) -> torch.optim.Optimizer:
    """Return an optimiser that decays weights, but neither norms nor biases, which have one dimension.

    Raises
    ------
    ModelError
        Where there is no optimiser of that name.
    """
    weights = [tensor for tensor in network.parameters() if tensor.ndim > 1]
    others = [tensor for tensor in network.parameters() if tensor.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": parameters.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if parameters.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=parameters.learning_rate, momentum=parameters.momentum, fused=True)
    if parameters.optimizer == "adam":
        return torch.optim.AdamW(groups, lr=parameters.learning_rate, fused=True)
    raise ModelError(parameters.optimizer, f"no such optimizer; there are {', '.join(OPTIMIZERS)}")


def check_batch(parameters: TrainParameters, processes: int = 1) -> None:
    """Raise ModelError where a batch cannot be shared evenly, or a share is too small for batch norm."""
    if parameters.batch % processes:
        why = f"{processes} processes cannot share a batch evenly"
        raise ModelError(f"--batch {parameters.batch}", why, f"Use a multiple of {processes}")
    if parameters.norm == "batch" and parameters.batch // processes < LEAST_BATCH_FOR_BATCH_NORM:
        raise ModelError(
            f"--batch {parameters.batch}",
            f"batch norm needs {LEAST_BATCH_FOR_BATCH_NORM} patches or more"
            + (f" in each of {processes} processes" if processes > 1 else ""),
            "Use --set norm=group, or norm=instance",
        )


def schedule(done: float, warmup: float) -> float:
    """Return the factor of the learning rate: linear up during the warm-up, then half a cosine to 0.

    Parameters
    ----------
    done : float
        Part of the run that is over, 0..1.
    warmup : float
        Part of the run that is warm-up.
    """
    if done < warmup:
        return max(done / warmup, 0.01)
    return 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))


def warmup(iteration: int, done: float, parameters: TrainParameters) -> float:
    """Return the part of the run that is warm-up: of a run ended by the clock, as its pace so far has it."""
    if iteration == 0:
        return WARMUP_SHARE if parameters.warmup_iterations else 0.0
    return min(parameters.warmup_iterations * done / iteration, WARMUP_SHARE)


class Average:
    """The exponential moving average of a network's weights, which scores better than its last ones.

    Parameters
    ----------
    network : nn.Module
    decay : float
        How much of the average is left after an iteration; 0: the average is the network itself.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network) if decay else network
        if decay:
            self.network.requires_grad_(requires_grad=False)

    @torch.no_grad()
    def add(self, network: nn.Module, iteration: int) -> None:
        """Take in the weights after an iteration, counted from 1; norms' statistics too."""
        if self.network is network:
            return
        decay = min(self.decay, (1 + iteration) / (AVERAGED_SOONER + iteration))
        mine, theirs = list(_floats(self.network)), list(_floats(network))
        torch._foreach_lerp_(mine, theirs, 1 - decay)


def estimate_norms(network: nn.Module, batches: Iterable[Tensor], precision: str) -> None:
    """Replace the statistics of batch norms by those of `batches`: averaged weights have others.

    Parameters
    ----------
    network : nn.Module
    batches : iterable of (N, 1, Z, Y, X)
        Images as in training, on the network's device. They are not asked for where there is no batch norm.
    precision : {"float32", "bfloat16"}
        Of the training, and of those who will apply the network.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    if not norms:
        return
    was_training, momenta = network.training, [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
    network.train()
    with torch.no_grad():
        for images in batches:
            with arithmetic(precision, images.device):
                network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.train(was_training)


def _floats(network: nn.Module) -> Iterator[Tensor]:
    return (tensor for tensor in network.state_dict().values() if tensor.is_floating_point())
