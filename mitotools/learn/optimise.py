"""How weights are changed: the optimiser, its learning rate, one step, and the average that is kept."""

from __future__ import annotations

import copy
import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from mitotools.errors import ModelError
from mitotools.learn.device import arithmetic, chosen_precision, memory_in_words
from mitotools.learn.losses import total_loss

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

    from mitotools.learn.feed import Batch
    from mitotools.learn.processes import Processes
    from mitotools.learn.targets import Target
    from mitotools.learn.training import Training
    from mitotools.parameters import TrainParameters

OPTIMIZERS = ("sgd", "adam")

WARMUP_SHARE = 0.05
"""The warm-up takes at most this part of the run."""

AVERAGED_SOONER = 10
"""The average of a run that has just begun forgets its first weights: it decays by (1 + n) / (this + n) after
n iterations, unless it would decay slower than it is told to."""

LEAST_BATCH_FOR_BATCH_NORM = 4

SMALLER = "Use a smaller --patch, or half the --batch with --set accumulate=2"


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


class Step:
    """One change of the weights, by a batch or by several in a row.

    Until it changes them it may be interrupted: all is as it was before.

    Parameters
    ----------
    training : Training
    feed : iterator of Batch
    targets : sequence of Target
    parameters : TrainParameters
    device : torch.device
    processes : Processes

    Attributes
    ----------
    voxels : int
        That this process has seen.
    waited_s : float
        For patches.
    """

    def __init__(
        self,
        training: Training,
        feed: Iterator[Batch],
        targets: Sequence[Target],
        parameters: TrainParameters,
        device: torch.device,
        processes: Processes,
    ) -> None:
        self._training, self._feed, self._targets = training, feed, targets
        self._parameters, self._device, self._processes = parameters, device, processes
        self._precision = chosen_precision(parameters.precision, device)
        self._network = processes.around(training.network.train(), device)
        self.voxels, self.waited_s = 0, 0.0

    def learn(self) -> float:
        """Find the gradient, and return the loss: the mean over all batches and processes.

        Raises
        ------
        ModelError
            Where the loss or its gradient is no number.
        InputError
            Where the device's memory is too small.
        """
        count = self._parameters.accumulate
        self._training.optimizer.zero_grad(set_to_none=True)
        with _statistics_kept(self._training.network), memory_in_words(self._device, SMALLER):
            total = sum(self._learnt(self._next(), count) for _ in range(count))
            loss = self._processes.mean(total, self._device)
            self._check("loss", loss)
            self._check("gradient", self._clipped())
        return loss

    def change(self, rate: float) -> None:
        """Change the weights by the gradient that was found.

        Raises
        ------
        InputError
            Where the device's memory is too small.
        """
        optimizer = self._training.optimizer
        for group in optimizer.param_groups:
            group["lr"] = rate
        with memory_in_words(self._device, SMALLER):
            optimizer.step()

    def _next(self) -> Batch:
        begun = time.monotonic()
        batch = next(self._feed)
        self.waited_s += time.monotonic() - begun
        self.voxels += batch.images.numel()
        return batch

    def _learnt(self, batch: Batch, count: int) -> float:
        """Add one of so many batches to the gradient, and return its part of the loss."""
        images = batch.images.to(self._device, memory_format=torch.channels_last_3d, non_blocking=True)
        with arithmetic(self._precision, self._device):
            logits = self._network(images)
        truths = batch.targets.to(self._device, non_blocking=True)
        valid = None if batch.valid is None else batch.valid.to(self._device, non_blocking=True)
        loss = total_loss(logits, truths, valid, self._targets, self._parameters.loss) / count
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def _clipped(self) -> float:
        """Shorten the gradient where it is too long, and return how long it was."""
        longest = self._parameters.clip_gradient or math.inf
        return float(nn.utils.clip_grad_norm_(self._training.network.parameters(), longest))

    def _check(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            why = f"the {name} is {value} at iteration {self._training.iteration + 1}"
            raise ModelError("training", why, "Try a lower --set learning_rate=...")


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


def estimate_norms(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the statistics of batch norms by those of `batches`: averaged weights have others.

    Parameters
    ----------
    network : nn.Module
    batches : iterable of (N, 1, Z, Y, X)
        Images as in training, on the network's device. They are not asked for where there is no batch norm.
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
            network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.train(was_training)


@contextmanager
def _statistics_kept(network: nn.Module) -> Iterator[None]:
    """Take back what norms have seen in a block that fails."""
    buffers = list(network.buffers())
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    except BaseException:
        for buffer, old in zip(buffers, before, strict=True):
            buffer.copy_(old)
        raise


def _floats(network: nn.Module) -> Iterator[Tensor]:
    return (tensor for tensor in network.state_dict().values() if tensor.is_floating_point())
