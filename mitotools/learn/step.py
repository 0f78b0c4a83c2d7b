"""One step of a training: the gradient of a batch, or of several, and the weights changed by it."""

from __future__ import annotations

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
    from collections.abc import Iterator, Sequence

    from mitotools.learn.feed import Batch
    from mitotools.learn.processes import Processes
    from mitotools.learn.targets import Target
    from mitotools.learn.training import Training
    from mitotools.parameters import TrainParameters

SMALLER = "Use a smaller --patch, or half the --batch with --set accumulate=2"


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
        """Find the gradient, and return the loss: that of all batches and processes as one batch.

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
            batches = [self._next() for _ in range(count)]
            voxels = [batch.valid_voxels for batch in batches]
            mean = self._processes.mean(sum(voxels) / count, self._device) or 1.0  # of none
            total = sum(
                self._learnt(batch, count, own / mean) for batch, own in zip(batches, voxels, strict=True)
            )
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

    def _learnt(self, batch: Batch, count: int, share: float) -> float:
        """Add one of so many batches, with its share of valid voxels, to the gradient; return its part."""
        images = batch.images.to(self._device, memory_format=torch.channels_last_3d, non_blocking=True)
        with arithmetic(self._precision, self._device):
            logits = self._network(images)
        truths = batch.targets.to(self._device, non_blocking=True)
        valid = None if batch.valid is None else batch.valid.to(self._device, non_blocking=True)
        loss = total_loss(logits, truths, valid, self._targets, self._parameters.loss, share) / count
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def _clipped(self) -> float:
        """Shorten the gradient where it is too long, and return how long it was."""
        longest = self._parameters.clip_gradient or math.inf
        return float(nn.utils.clip_grad_norm_(self._training.network.parameters(), longest))

    def _check(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            why = f"the {name} is {value} at iteration {self._training.iteration + 1}"
            lower = f"--set learning_rate={self._parameters.learning_rate / 2:g}"
            raise ModelError("training", why, f"Begin again with a lower learning rate: {lower}")


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
