"""The training loop."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from mitotools.errors import ModelError
from mitotools.learn.device import arithmetic, chosen_device, chosen_precision, memory_in_words, placed
from mitotools.learn.losses import dice_loss, weighted_cross_entropy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor, nn

    from mitotools.learn.patches import Batch
    from mitotools.learn.targets import Target
    from mitotools.parameters import TrainParameters

WARMUP_SHARE = 0.05
"""The warm-up takes at most this part of the run."""

LEAST_BATCH_FOR_BATCH_NORM = 4

SMOOTHED_OVER = 20
"""Iterations over which the reported loss is averaged, exponentially."""


@dataclass(frozen=True)
class Fit:
    """How a training went."""

    iterations: int
    loss: float
    seconds: float


def fit(
    network: nn.Module,
    batches: Iterator[Batch],
    targets: Sequence[Target],
    parameters: TrainParameters,
    status: Callable[[str], None],
) -> Fit:
    """Train a network in place by stochastic gradient descent with warm-up and cosine decay.

    Parameters
    ----------
    network : nn.Module
        (N, 1, Z, Y, X) to logits (N, T, Z, Y, X), one channel a target.
    batches : iterator of Batch
    targets : sequence of Target
    parameters : TrainParameters
    status : callable
        Takes a line with the loss, the rate and the time left.

    Returns
    -------
    Fit

    Raises
    ------
    ModelError
        Where the loss is no longer a number, or the batch is too small for batch norm.
    """
    check_batch(parameters)
    device = chosen_device(parameters.device)
    precision = chosen_precision(parameters.precision, device)
    placed(network, device)
    network.train()
    optimizer = _optimizer(network, parameters)
    start = time.monotonic()
    iteration, smooth_loss = 0, math.nan
    while (done := _progress(iteration, time.monotonic() - start, parameters)) < 1:
        batch = next(batches)
        for group in optimizer.param_groups:
            group["lr"] = parameters.learning_rate * schedule(done, warmup(iteration, done, parameters))
        with memory_in_words(device, "Use a smaller --patch or --batch"):
            images = torch.from_numpy(batch.images).to(device, memory_format=torch.channels_last_3d)
            with arithmetic(precision, device):
                logits = network(images)
            loss = total_loss(logits.float(), torch.from_numpy(batch.targets).to(device), targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        iteration += 1
        smooth_loss = _smoothed(smooth_loss, loss.item(), iteration)
        status(_line(iteration, smooth_loss, batch, time.monotonic() - start, done))
    status("")
    return Fit(iteration, smooth_loss, time.monotonic() - start)


def check_batch(parameters: TrainParameters) -> None:
    """Raise ModelError where the batch is too small for batch norm."""
    if parameters.norm == "batch" and parameters.batch < LEAST_BATCH_FOR_BATCH_NORM:
        raise ModelError(
            f"--batch {parameters.batch}",
            f"batch norm needs {LEAST_BATCH_FOR_BATCH_NORM} patches or more",
            "Use --set norm=group",
        )


def total_loss(logits: Tensor, truths: Tensor, targets: Sequence[Target]) -> Tensor:
    """Return the sum over targets of cross entropy and weighted Dice.

    Parameters
    ----------
    logits, truths : (N, T, Z, Y, X)
    """
    losses = [
        weighted_cross_entropy(logits[:, channel], truths[:, channel])
        + target.dice_weight * dice_loss(logits[:, channel], truths[:, channel])
        for channel, target in enumerate(targets)
    ]
    return torch.stack(losses).sum()


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
        return WARMUP_SHARE
    return min(parameters.warmup_iterations * done / iteration, WARMUP_SHARE)


def _progress(iteration: int, seconds: float, parameters: TrainParameters) -> float:
    """Return the part of the run that is over; there is one iteration at least."""
    if iteration == 0:
        return 0.0
    by_iterations = iteration / parameters.iterations
    by_time = seconds / (60 * parameters.minutes) if parameters.minutes else 0.0
    return max(by_iterations, by_time)


def _optimizer(network: nn.Module, parameters: TrainParameters) -> torch.optim.SGD:
    """Return SGD that decays weights, but neither norms nor biases, which have one dimension."""
    weights = [tensor for tensor in network.parameters() if tensor.ndim > 1]
    others = [tensor for tensor in network.parameters() if tensor.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": parameters.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=parameters.learning_rate, momentum=parameters.momentum)


def _smoothed(smooth: float, loss: float, iteration: int) -> float:
    if not math.isfinite(loss):
        raise ModelError(
            "training", f"the loss is {loss} at iteration {iteration}", "Try a lower --set learning_rate=..."
        )
    return loss if math.isnan(smooth) else smooth + (loss - smooth) / SMOOTHED_OVER


def _line(iteration: int, loss: float, batch: Batch, seconds: float, done: float) -> str:
    count = batch.images.size * iteration / seconds / 1e6
    left = seconds * (1 - done) / max(done, 1e-3)
    return (
        f"iteration {iteration}, loss {loss:.3f}, {count:.2f} Mvoxel/s, "
        f"{int(left) // 60}:{int(left) % 60:02d} left"
    )
