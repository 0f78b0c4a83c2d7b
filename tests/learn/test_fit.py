"""The training loop; one step is tested in test_step.py."""

import itertools
import signal
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from learn.trainings import MASK, QUICK, batch, begun, feed, fitted, weights

from mitotools.errors import InputError, MachineError, ModelError, UsageError
from mitotools.learn.feed import Batch
from mitotools.learn.fit import Hooks, fit
from mitotools.learn.processes import Processes

MINUTE = replace(QUICK, iterations=10**9, minutes=1.0)
"""At 6 seconds an iteration these are 10."""


class Clock:
    """A clock that a test moves."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        for module in ("fit", "step"):
            fake = SimpleNamespace(monotonic=lambda: self.now)
            monkeypatch.setattr(f"mitotools.learn.{module}.time", fake)

    def feed(self, seconds=6.0):
        for whole in feed():
            self.now += seconds
            yield whole

    def advance(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.mark.parametrize(
    "change",
    [
        {"norm": "batch"},
        {"norm": "group"},
        {"norm": "instance"},
        {"optimizer": "adam", "learning_rate": 0.01, "norm": "batch"},
        {"precision": "bfloat16"},
        {"clip_gradient": 1.0},
    ],
    ids=["sgd and batch norm", "group norm", "instance norm", "adam", "bfloat16", "clipped"],
)
def test_the_loss_falls_where_bright_voxels_are_inside(change):
    parameters = replace(QUICK, iterations=60, **change)
    losses = []
    fitted(parameters, logged=lambda row: losses.append(row["loss"]))
    assert len(losses) == 60
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_the_averaged_network_has_learnt_too():
    training, _ = fitted(replace(QUICK, iterations=60))
    whole = batch(1000)
    with torch.no_grad():
        inside = training.average.network(whole.images) > 0
    assert (inside == whole.targets.bool()).float().mean() > 0.85  # guessing reaches .5


def test_a_seed_gives_the_same_training():
    (one, first), (other, second) = fitted(), fitted()
    assert first.loss == second.loss
    assert all(torch.equal(tensor, weights(other)[name]) for name, tensor in weights(one).items())


def test_the_training_ends_with_its_iterations():
    training, result = fitted(replace(QUICK, iterations=5))
    assert result.iterations == training.iteration == 5
    assert result.loss == training.loss
    assert result.seconds == training.seconds > 0


def test_each_iteration_is_told_in_numbers_and_in_a_line(clock):
    rows, lines = [], []
    parameters = replace(QUICK, iterations=4, warmup_iterations=0)
    _, result = fitted(parameters, batches=clock.feed(), logged=rows.append, status=lines.append)
    assert [row["iteration"] for row in rows] == [1, 2, 3, 4]
    assert [row["seconds"] for row in rows] == [6, 12, 18, 24]
    # .05 (1 + cos(pi i / 4)) / 2
    assert [row["learning_rate"] for row in rows] == pytest.approx(
        [0.05, 0.0426777, 0.025, 0.0073223], rel=1e-5
    )
    smooth = rows[0]["loss"]
    for row in rows[1:]:
        smooth += (row["loss"] - smooth) / 20
    assert result.loss == pytest.approx(smooth)
    # 4 patches of 512 voxels in 6 seconds.
    assert lines[0] == f"iteration 1, loss {rows[0]['loss']:.3f}, 0.00 Mvoxel/s, 0:18 left"
    assert [line.split(",")[0] for line in lines] == [*(f"iteration {n}" for n in (1, 2, 3, 4)), ""]


def test_the_time_left_of_a_continued_run_follows_its_own_pace(clock):
    training, lines = begun(), []
    training.iteration, training.seconds = 2, 1000.0  # slowly, on another machine perhaps
    fitted(replace(QUICK, iterations=5), training, clock.feed(), status=lines.append)
    assert [line.rsplit(", ", 1)[-1] for line in lines] == ["0:12 left", "0:06 left", "0:00 left", ""]


def test_what_the_network_waits_for_patches_is_measured(clock):
    training = begun()
    training.network.register_forward_hook(lambda *_: clock.advance(2))
    rows = []
    _, result = fitted(training=training, batches=clock.feed(6), logged=rows.append)
    assert [row["waited"] for row in rows] == [0.75] * 3
    assert result.waited == pytest.approx(0.75)


def test_the_rate_has_decayed_when_the_time_is_over(clock):
    rows = []
    training, result = fitted(MINUTE, batches=clock.feed(), logged=rows.append)
    assert result.iterations == 10
    assert result.seconds == training.seconds == 60
    rates = [row["learning_rate"] / 0.05 for row in rows]
    expected = [0.01, *(0.5 * (1 + np.cos(np.pi * (i / 10 - 0.05) / 0.95)) for i in range(1, 10))]
    assert rates == pytest.approx(expected)
    assert rates[-1] < 0.03


def test_the_time_of_validation_and_saving_is_no_training_time(clock):
    scored, saved = [], []

    def validated(training):
        scored.append((training.iteration, training.validations))
        clock.advance(10_000)

    def save(training):
        saved.append(training.iteration)
        clock.advance(10_000)

    parameters = replace(MINUTE, validations=5, save_minutes=0.25)
    training, result = fitted(parameters, batches=clock.feed(), validated=validated, saved=save)
    assert scored == [(2, 0), (4, 1), (6, 2), (8, 3), (10, 4)]
    assert training.validations == 5
    assert saved == [3, 6, 9]  # after 18 seconds, which are more than 15, and after as many again
    assert result.seconds == 60
    assert result.waited == 1


def test_a_network_is_scored_after_its_last_iteration_however_few_there_are():
    scored = []
    fitted(replace(QUICK, iterations=2, validations=10), validated=lambda t: scored.append(t.iteration))
    assert scored == [1, 2]


def test_what_is_due_comes_before_the_next_step_of_a_continued_run():
    training = begun()
    training.iteration, training.validations = 2, 0
    events = []
    parameters = replace(QUICK, iterations=3, validations=2)
    fitted(
        parameters,
        training,
        validated=lambda t: events.append(("scored", t.iteration)),
        logged=lambda row: events.append(("done", row["iteration"])),
    )
    assert events == [("scored", 2), ("done", 3), ("scored", 3)]


def test_a_training_that_is_over_does_nothing():
    training = begun()
    training.iteration, training.loss, training.seconds = 3, 0.5, 7.0
    before = weights(training)
    _, result = fitted(training=training, batches=iter([]))
    assert (result.iterations, result.loss, result.seconds, result.waited) == (3, 0.5, 7.0, 0.0)
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(training).items())


def test_the_training_ends_with_its_minutes_by_a_real_clock():
    start = time.monotonic()
    _, result = fitted(replace(QUICK, iterations=10**9, minutes=0.01))
    assert 0.6 <= result.seconds <= time.monotonic() - start < 10
    assert result.iterations > 1


def test_there_is_one_iteration_however_little_time_there_is():
    _, result = fitted(replace(QUICK, minutes=1e-9))
    assert result.iterations == 1
    assert np.isfinite(result.loss)


def test_only_the_first_process_tells_saves_and_scores():
    def never(*_):
        raise AssertionError

    second = Processes(rank=1)
    parameters = replace(QUICK, validations=3, save_minutes=0.0)
    training, _ = fitted(
        parameters, processes=second, status=never, logged=never, saved=never, validated=never
    )
    assert training.iteration == 3


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("what", ["images", "targets"])
def test_a_loss_that_is_no_number_stops_the_training_and_spoils_nothing(what, norm):
    good, bad = batch(), batch()
    getattr(bad, what)[0, 0, 0, 0, 0] = np.nan
    training = begun(replace(QUICK, norm=norm))
    kept = []

    def state():
        average = {name: tensor.clone() for name, tensor in training.average.network.state_dict().items()}
        return weights(training), average

    with pytest.raises(ModelError, match=r"^training: the loss is nan at iteration 3\. Begin again with a"):
        fitted(
            replace(QUICK, norm=norm, iterations=9),
            training,
            iter([good, good, bad]),
            logged=lambda _: kept.append((state(), training.loss)),
        )
    before, loss = kept[-1]
    assert (training.iteration, training.loss) == (2, loss)
    for old, new in zip(before, state(), strict=True):
        assert all(torch.equal(old[name], tensor) for name, tensor in new.items())


def interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("where", "iterations"), [("while it learns", 1), ("while weights change", 2), ("while it tells", 2)]
)
def test_an_interruption_leaves_whole_iterations(number, where, iterations):
    """A batch norm has seen patches of the second iteration when the first is all that is kept."""
    parameters = replace(QUICK, norm="batch", accumulate=2)
    training, rows, seen = begun(parameters), [], itertools.count(-1)

    def when(place, count):
        if place == where and count == 2:
            signal.raise_signal(number)

    def logged(row):
        when("while it tells", row["iteration"])
        rows.append(row)

    training.network.register_forward_hook(lambda *_: when("while it learns", next(seen)))
    training.optimizer.register_step_pre_hook(lambda *_: when("while weights change", training.iteration + 1))
    before = signal.signal(number, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            fitted(parameters, training, feed(), logged=logged)
        assert signal.getsignal(number) is interrupt
    finally:
        signal.signal(number, before)
    assert training.iteration == len(rows) == iterations
    expected, whole = begun(parameters), []
    fitted(parameters, expected, feed(), logged=lambda _: whole.append(weights(expected)))
    assert all(torch.equal(tensor, weights(training)[name]) for name, tensor in whole[iterations - 1].items())


def test_processes_that_begin_apart_are_refused():
    class Second(Processes):
        def of_first(self, *_):
            return 40

    with pytest.raises(
        InputError, match=r"^the processes of this training: they begin at iterations 40 and 0\. All"
    ):
        fitted(batches=iter([]), processes=Second(rank=1))


@pytest.mark.parametrize(
    ("processes", "change", "message"),
    [
        (
            1,
            {"norm": "batch", "batch": 3},
            r"^--batch 3: batch norm needs 4 patches or more\. Use --set norm=",
        ),
        (2, {"norm": "batch", "batch": 6}, r"^--batch 6: batch norm needs 4 .* in each of 2 processes"),
        (2, {"batch": 3}, r"^--batch 3: 2 processes cannot share a batch evenly\. Use a multiple of 2"),
    ],
)
def test_a_batch_that_is_too_small_or_uneven_is_refused_before_anything_happens(processes, change, message):
    parameters = replace(QUICK, **change)
    with pytest.raises(ModelError, match=message):
        fitted(parameters, batches=iter([]), processes=Processes(0, processes))


@pytest.mark.parametrize("device", ["cuda:99", "meta"])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(MachineError, match=rf"^--device {device}: is not available"):
        fitted(replace(QUICK, device=device))


def test_what_is_no_device_is_wrong_usage():
    with pytest.raises(UsageError, match=r"^--device toaster: is no device"):
        fitted(replace(QUICK, device="toaster"))


def test_voxels_that_do_not_count_change_nothing():
    def losses(value):
        whole = batch()
        valid = torch.ones(whole.targets[:, 0].shape, dtype=torch.bool)
        valid[:, 4:] = False
        whole.targets[:, :, 4:] = value
        found = []
        parameters, training = replace(QUICK, iterations=2), begun()
        masked = Batch(whole.images, whole.targets, valid)
        fit(
            training,
            iter([masked] * 2),
            MASK,
            parameters,
            Hooks(logged=lambda row: found.append(row["loss"])),
        )
        return found

    assert losses(0.0) == losses(1.0)
