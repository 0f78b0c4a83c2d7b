"""The training loop."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mitotools.interruption import uninterrupted
from mitotools.learn.device import chosen_device
from mitotools.learn.optimise import check_batch, schedule, warmup
from mitotools.learn.processes import Processes
from mitotools.learn.step import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mitotools.learn.feed import Batch
    from mitotools.learn.targets import Target
    from mitotools.learn.training import Training
    from mitotools.parameters import TrainParameters

SMOOTHED_OVER = 20
"""Iterations over which the reported loss is averaged, exponentially."""

Row = dict[str, Any]


def nothing(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Hooks:
    """What is told of a training while it runs, in the first process alone.

    Parameters
    ----------
    status : callable
        Takes a line with the loss, the rate and the time left.
    logged : callable
        Takes the numbers of an iteration: iteration, counted from 1; seconds of training so far; loss;
        learning_rate; waited, the part of this run's time in which the network waited for patches.
    saved : callable
        Called when the training should be saved.
    validated : callable
        Called when the averaged weights should be scored.
    """

    status: Callable[[str], None] = nothing
    logged: Callable[[Row], None] = nothing
    saved: Callable[[Training], None] = nothing
    validated: Callable[[Training], None] = nothing


@dataclass(frozen=True)
class Fit:
    """How a training went.

    Parameters
    ----------
    iterations : int
    loss : float
        Smoothed.
    seconds : float
    waited : float
        Part of the time in which the network waited for patches, 0..1.
    """

    iterations: int
    loss: float
    seconds: float
    waited: float = 0.0


@dataclass
class _Clock:
    """The time of training, all runs together; what validation and saving take does not count.

    So a training that is scored or saved more often learns no less.
    """

    before_s: float
    start: float
    aside_s: float = 0.0

    @property
    def seconds(self) -> float:
        return self.before_s + time.monotonic() - self.start - self.aside_s

    @contextmanager
    def stopped(self) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            self.aside_s += time.monotonic() - begun


class _Telling:
    """What the first process does beside the steps."""

    def __init__(self, training: Training, parameters: TrainParameters, hooks: Hooks) -> None:
        self._training, self._parameters, self._hooks = training, parameters, hooks
        self._saved_s = training.seconds
        self._begun = _progress(training, parameters), training.seconds

    def score_and_save(self) -> None:
        """Do what is due before the next step: an interrupted run that is continued comes to it again."""
        training = self._training
        if _is_due(training, self._parameters):
            self._hooks.validated(training)
            training.validations += 1
        if training.seconds - self._saved_s > 60 * self._parameters.save_minutes:
            self._hooks.saved(training)
            self._saved_s = training.seconds

    def tell(self, loss: float, rate: float, mvoxels_per_s: float, waited: float) -> None:
        training = self._training
        left = self._left_s()
        self._hooks.status(
            f"iteration {training.iteration}, loss {training.loss:.3f}, {mvoxels_per_s:.2f} Mvoxel/s, "
            f"{left // 60}:{left % 60:02d} left"
        )
        self._hooks.logged(
            {
                "iteration": training.iteration,
                "seconds": round(training.seconds, 3),
                "loss": loss,
                "learning_rate": rate,
                "waited": round(waited, 4),
            }
        )

    def _left_s(self) -> int:
        """Return the time left at the pace of this run, whatever that of an earlier one was."""
        training = self._training
        done_before, seconds_before = self._begun
        done = _progress(training, self._parameters)
        return max(round((training.seconds - seconds_before) * (1 - done) / (done - done_before)), 0)


def fit(
    training: Training,
    feed: Iterator[Batch],
    targets: Sequence[Target],
    parameters: TrainParameters,
    hooks: Hooks,
    processes: Processes | None = None,
) -> Fit:
    """Train a network in place: warm-up, then cosine decay of the learning rate.

    Several processes, or batches that are accumulated, change the weights as one batch of all their patches
    would; but norms over a batch take in the patches of one process and batch.

    Parameters
    ----------
    training : Training
        Begun, or brought to where an earlier run was.
    feed : iterator of Batch
        Of that run's next iteration on; a batch holds this process's patches.
    targets : sequence of Target
    parameters : TrainParameters
    hooks : Hooks
    processes : Processes, optional
        Of one training; by default this one alone.

    Returns
    -------
    Fit

    Raises
    ------
    ModelError
        Where the loss or its gradient is no longer a number: weights and average are those of the iteration
        before. Or where the batch is too small for batch norm, or cannot be shared evenly.
    InputError
        Where the device's memory is too small, or the processes were not brought to the same iteration.
    """
    processes = processes or Processes()
    check_batch(parameters, processes.count)
    device = chosen_device(parameters.device)
    processes.require_same(training.iteration, device)
    clock = _Clock(training.seconds, time.monotonic())
    step = Step(training, feed, targets, parameters, device, processes)
    telling = _Telling(training, parameters, hooks)
    while True:
        if processes.is_first:
            with clock.stopped():
                telling.score_and_save()
        if (done := _progress(training, parameters)) >= 1:
            break
        rate = parameters.learning_rate * schedule(done, warmup(training.iteration, done, parameters))
        loss = step.learn()
        with uninterrupted():
            step.change(rate)
            training.iteration += 1
            training.loss = _smoothed(training.loss, loss)
            training.average.add(training.network, training.iteration)
            training.seconds = processes.of_first(clock.seconds, device)  # or they would not stop together
            spent_s = max(training.seconds - clock.before_s, 1e-9)
            if processes.is_first:
                with clock.stopped():
                    mvoxels = step.voxels * processes.count / 1e6
                    telling.tell(loss, rate, mvoxels / spent_s, step.waited_s / spent_s)
    if processes.is_first:
        hooks.status("")
    waited = step.waited_s / max(training.seconds - clock.before_s, 1e-9)
    return Fit(training.iteration, training.loss, training.seconds, waited)


def _progress(training: Training, parameters: TrainParameters) -> float:
    """Return the part of the run that is over; there is one iteration at least."""
    if training.iteration == 0:
        return 0.0
    by_iterations = training.iteration / parameters.iterations
    by_time = training.seconds / (60 * parameters.minutes) if parameters.minutes else 0.0
    return max(by_iterations, by_time)


def _is_due(training: Training, parameters: TrainParameters) -> bool:
    """Whether fewer validations are over than belong to the part of the run that is."""
    done = min(_progress(training, parameters), 1.0)
    return done * parameters.validations >= training.validations + 1


def _smoothed(smooth: float, loss: float) -> float:
    return loss if math.isnan(smooth) else smooth + (loss - smooth) / SMOOTHED_OVER
