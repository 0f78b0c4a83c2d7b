"""Trainings that end half-way and are continued: the numbers and the model are those of one run."""

from __future__ import annotations

import itertools
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from command_runs import journal_of
from safetensors.numpy import load_file
from stages.networks import write_phantom

from mitotools.errors import InputError, MachineError, MitotoolsError, ModelError, TargetError
from mitotools.learn import fit as loop
from mitotools.learn.metadata import read_metadata
from mitotools.parameters import TrainParameters
from mitotools.run.running import Running
from mitotools.stages import train as stage
from mitotools.stages.train import train_model
from mitotools.stages.training.data import Labelled
from mitotools.stages.training.plan import TrainingFiles
from mitotools.stages.training.validation import Score

TINY = TrainParameters(
    filters=(4, 8), patch_voxels=(8, 16, 16), iterations=8, device="cpu", precision="float32", seed=1,
    loaders=0, recipe="none",
)  # fmt: skip
RUNNING = Running(threads=1, command_line="mitotools train", resume=False)
RESUME = replace(RUNNING, resume=True)
OF_THE_CLOCK = ("seconds", "waited")


def processes_with_two_gibibytes():
    child = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=2**30))
    return SimpleNamespace(memory_info=child.memory_info, children=lambda **_: [child])


class Run:
    """Trainings of one model in a folder of its own, with a log."""

    def __init__(self, pair, folder, validation=()):
        folder.mkdir()
        self.pair, self.model, self.log = pair, folder / "model.safetensors", folder / "log"
        self.files = TrainingFiles(validation=validation, log=self.log)

    def __call__(self, running=RUNNING, **change):
        return train_model([Labelled(*self.pair)], self.model, replace(TINY, **change), running, self.files)

    def interrupted(self, iteration, running=RUNNING, **change):
        """Have Ctrl-C pressed while an iteration is computed."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
        try:
            with pytest.raises(KeyboardInterrupt):
                self(replace(running, status=pressing(signal.SIGINT, iteration)), **change)
        finally:
            signal.signal(signal.SIGINT, before)

    def table(self, name="training.tsv"):
        header, *rows = (self.log / name).read_text().splitlines()
        columns = header.split("\t")
        table = [dict(zip(columns, row.split("\t"), strict=True)) for row in rows]
        return [{name: value for name, value in row.items() if name not in OF_THE_CLOCK} for row in table]


def pressing(signal_number, iteration):
    def status(line):
        if line.startswith(f"iteration {iteration},"):
            signal.raise_signal(signal_number)

    return status


def assert_same(one, other):
    assert one.table() == other.table()
    expected, found = load_file(one.model), load_file(other.model)
    assert [name for name in expected if not np.array_equal(expected[name], found[name])] == []
    was, now = (read_metadata(run.model).training for run in (one, other))
    assert was == now
    assert not journal_of(other.model).exists()


@pytest.fixture(scope="module")
def whole(pair, tmp_path_factory):
    run = Run(pair, tmp_path_factory.mktemp("whole") / "run")
    run()
    return run


@pytest.mark.parametrize("iteration", [1, 5, 8])
def test_an_interrupted_training_is_continued_as_if_nothing_had_happened(
    pair, tmp_path, whole, iteration, said
):
    run = Run(pair, tmp_path / "run")
    run.interrupted(iteration)
    assert "1 checkpoint is saved, and --resume continues" in said.text
    assert not run.model.exists()
    assert len(run.table()) == iteration
    run(RESUME)
    assert_same(whole, run)


def test_a_training_may_be_interrupted_often(pair, tmp_path, whole):
    run = Run(pair, tmp_path / "run")
    for iteration in (1, 2, 6):
        run.interrupted(iteration, RESUME)
    run(RESUME, loaders=1)  # which changes nothing, and so may change
    assert_same(whole, run)


def test_adam_and_accumulated_batches_are_continued_too(pair, tmp_path):
    change = {"optimizer": "adam", "learning_rate": 0.001, "accumulate": 2, "norm": "group", "batch": 2}
    runs = Run(pair, tmp_path / "whole"), Run(pair, tmp_path / "half")
    runs[0](**change)
    runs[1].interrupted(3, **change)
    runs[1](RESUME, **change)
    assert_same(*runs)


def test_rows_that_will_come_again_are_dropped(pair, tmp_path, whole):
    run = Run(pair, tmp_path / "run")
    run.interrupted(3)
    path = run.log / "training.tsv"
    path.write_text(path.read_text() + "4\t1.0\t9.0\t9.0\t0.0\n5\t1.0\t9")  # killed before it was saved again
    run(RESUME)
    assert_same(whole, run)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.replace(b"\n2\t", b"\nsecond\t"),
        lambda table: table.replace(b"\n2\t", b"\n2.0\t"),
        lambda table: table.replace(b"loss", b"Verlust"),
        lambda table: b"\xff" + table,
        lambda _: b"",
    ],
)
def test_tables_that_people_changed_stop_no_training_that_continues_nor_its_plot(
    pair, tmp_path, whole, change
):
    run = Run(pair, tmp_path / "run")
    run.files = replace(run.files, plot=tmp_path / "run.png")
    run.interrupted(3)
    path = run.log / "training.tsv"
    path.write_bytes(change(path.read_bytes()))
    run(RESUME)
    assert run.table()[-5:] == whole.table()[-5:]
    assert read_metadata(run.model).training == read_metadata(whole.model).training


def test_a_training_that_ends_by_the_clock_continues_its_clock(pair, tmp_path, monkeypatch):
    ticks = itertools.count()  # every look at the clock takes a second
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    change = {"minutes": 1.0, "iterations": 1000}
    runs = Run(pair, tmp_path / "whole"), Run(pair, tmp_path / "half")
    whole = runs[0](**change)
    runs[1].interrupted(whole.iterations - 2, **change)
    rest = runs[1](RESUME, **change)
    assert 60 <= whole.seconds < 70
    assert 60 <= rest.seconds < 70
    assert abs(rest.iterations - whole.iterations) <= 2
    assert float(runs[1].table()[-1]["learning_rate"]) < 0.01 * TINY.learning_rate * 10


@pytest.mark.parametrize(
    ("change", "name"),
    [({"learning_rate": 0.01}, "learning_rate"), ({"iterations": 9}, "iterations"), ({"seed": 2}, "seed")],
)
def test_a_changed_parameter_is_refused_by_name(pair, tmp_path, change, name):
    run = Run(pair, tmp_path / "run")
    run.interrupted(2)
    before = run.table()
    with pytest.raises(TargetError) as error:
        run(RESUME, **change)
    assert f"was begun with other {name}. Use --force to start over" in str(error.value)
    assert run.table() == before


def test_a_changed_input_is_refused_by_name(tmp_path):
    pair = write_phantom(tmp_path)
    run = Run(pair, tmp_path / "run")
    run.interrupted(2)
    write_phantom(tmp_path, (24, 40, 41))
    with pytest.raises(TargetError) as error:
        run(RESUME)
    assert f"was begun with other {pair[0].file}, {pair[1].file}" in str(error.value)


def test_a_training_continues_with_copies_of_its_inputs_elsewhere_which_is_said(pair, tmp_path, whole, said):
    run = Run(pair, tmp_path / "run")
    run.interrupted(4)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    run.pair = tuple(replace(path, file=shutil.copy(path.file, scratch)) for path in pair)
    run(RESUME)
    assert_same(whole, run)
    assert f"was begun with other {run.pair[0].file}, {run.pair[1].file}" in said.text
    assert run(RESUME) is None


def test_volumes_that_were_written_anew_are_other_inputs_to_a_training_and_to_a_model(tmp_path):
    pair = write_phantom(tmp_path)
    begun, complete = Run(pair, tmp_path / "begun"), Run(pair, tmp_path / "complete")
    begun.interrupted(2)
    complete(iterations=1)
    write_phantom(tmp_path, seed=1)
    names = f"{pair[0].file}, {pair[1].file}"
    with pytest.raises(TargetError, match=f"was begun with other {names}"):
        begun(RESUME)
    with pytest.raises(TargetError, match=f"was made with other {names}"):
        complete(RESUME, iterations=1)


def test_a_copy_of_another_size_or_another_part_of_a_copy_is_another_input(tmp_path, pair):
    run = Run(pair, tmp_path / "run")
    run(iterations=1)
    raw = replace(pair[0], file=shutil.copy(pair[0].file, tmp_path))
    run.pair = (raw, pair[1])
    assert run(RESUME, iterations=1) is None
    part = ((0, 20), (0, None), (0, None))
    run.pair = tuple(replace(path, ranges=part) for path in (raw, pair[1]))
    with pytest.raises(TargetError, match=f"was made with other {raw.file}, crop of {pair[1].file}"):
        run(RESUME, iterations=1)
    with Path(raw.file).open("ab") as file:
        file.write(b"more")
    run.pair = (raw, pair[1])
    with pytest.raises(TargetError, match=f"was made with other {raw.file}"):
        run(RESUME, iterations=1)


def test_force_starts_over(pair, tmp_path, whole):
    run = Run(pair, tmp_path / "run")
    run.interrupted(4, seed=9)
    run(replace(RUNNING, force=True))
    assert_same(whole, run)


def test_without_resume_an_unfinished_training_is_reported(pair, tmp_path):
    run = Run(pair, tmp_path / "run")
    run.interrupted(4)
    with pytest.raises(TargetError, match="Use --resume to continue, or --force to start over"):
        run()


def test_a_complete_model_is_left_as_it_is(pair, tmp_path, said):
    run = Run(pair, tmp_path / "run")
    run(RESUME)  # nothing to continue: it starts
    before = run.model.stat().st_mtime_ns, (run.log / "training.tsv").read_text()
    assert run(RESUME) is None
    assert f"{run.model} is complete already" in said.messages
    assert (run.model.stat().st_mtime_ns, (run.log / "training.tsv").read_text()) == before
    with pytest.raises(TargetError, match="was made with other seed"):
        run(RESUME, seed=2)


def test_a_run_that_finds_nothing_to_continue_keeps_the_numbers_and_the_plot_of_others(pair, tmp_path):
    run = Run(pair, tmp_path / "run")
    run.log.mkdir()
    table, plot = run.log / "training.tsv", tmp_path / "run.png"
    table.write_text("precious")
    with pytest.raises(TargetError, match=r"training\.tsv: exists already"):
        run(RESUME)
    assert table.read_text() == "precious"
    plot.write_text("precious")
    run.files = TrainingFiles(plot=plot)
    with pytest.raises(TargetError, match=r"run\.png: exists already"):
        run(RESUME)
    assert plot.read_text() == "precious"


def test_a_run_that_continues_draws_its_plot_again_and_no_other_one(pair, tmp_path):
    run = Run(pair, tmp_path / "run")
    own, other = tmp_path / "own.png", tmp_path / "other.png"
    run.files = TrainingFiles(plot=own)
    run.interrupted(3)
    drawn = own.read_bytes()
    other.write_text("precious")
    run.files = TrainingFiles(plot=other)
    with pytest.raises(TargetError, match=r"other\.png: exists already"):
        run(RESUME)
    assert other.read_text() == "precious"
    run.files = TrainingFiles(plot=own)
    run(RESUME)
    assert own.read_bytes() != drawn


def test_what_is_no_training_is_not_continued(pair, tmp_path):
    run = Run(pair, tmp_path / "run")
    run.interrupted(2)
    run.model.with_name("model.safetensors.unfinished").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="is no training that can be continued"):
        run(RESUME)


@pytest.mark.parametrize(
    ("error", "is_saved"),
    [
        (InputError("raw.h5", "cannot be read"), True),
        (MitotoolsError("a loader process", "ended"), True),
        (TargetError("maps", "cannot be written (No space left on device)"), True),
        (ModelError("training", "the loss is nan at iteration 4"), False),
        (RuntimeError("a defect"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_failed_training_learnt_is_saved_where_it_may_go_on(
    pair, tmp_path, whole, monkeypatch, error, is_saved
):
    run = Run(pair, tmp_path / "run")
    with monkeypatch.context() as patch:
        feed = stage.batches

        def failing(*args):
            yield from itertools.islice(feed(*args), 3)
            raise error

        patch.setattr(stage, "batches", failing)
        with pytest.raises(type(error)) as raised:
            run()
    assert journal_of(run.model).exists() is is_saved
    assert ("--resume continues" in str(raised.value)) is is_saved
    if is_saved:
        run(RESUME)
        assert_same(whole, run)


def test_where_a_loss_is_no_number_nothing_says_that_it_would_be_one_the_next_time(pair, tmp_path):
    run = Run(pair, tmp_path / "run")
    with pytest.raises(ModelError) as error:
        run(learning_rate=1e30, save_minutes=0.0, warmup_iterations=0)
    assert journal_of(run.model).exists()
    words = str(error.value)
    assert words.endswith(". Begin again with a lower learning rate: --set learning_rate=5e+29.")


def test_a_training_that_is_done_is_kept_where_there_is_no_memory_for_the_statistics_of_its_norms(
    pair, tmp_path, whole, monkeypatch
):
    def full(network, batches, precision):
        for _ in batches:
            raise torch.OutOfMemoryError

    run = Run(pair, tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(stage, "estimate_norms", full)
        with pytest.raises(InputError) as raised:
            run()
    assert str(raised.value) == (
        "device cpu: its memory is too small. End other programs that use it. "
        "1 checkpoint is saved, and --resume continues."
    )
    run(RESUME)
    assert_same(whole, run)


def test_a_training_is_validated_as_often_as_if_nothing_had_happened(pair, tmp_path, monkeypatch):
    def score(validation, network, metadata):
        weight = float(next(network.parameters()).abs().sum())  # stands for how good it is
        return Score(weight % 1, {"method": "cc", "foreground": weight}, 0.5)

    monkeypatch.setattr(stage.Validation, "score", score)
    change = {"validations": 4}
    runs = Run(pair, tmp_path / "whole", [pair]), Run(pair, tmp_path / "half", [pair])
    runs[0](**change)
    for iteration in (2, 5):
        runs[1].interrupted(iteration, RESUME, **change)
    runs[1](RESUME, **change)
    assert_same(*runs)
    tables = [run.table("validation.tsv") for run in runs]
    assert [row["iteration"] for row in tables[0]] == ["2", "4", "6", "8"]
    assert tables[0] == tables[1]


def test_a_validation_that_is_interrupted_comes_again(pair, tmp_path, monkeypatch):
    scores = iter([0.5, KeyboardInterrupt, 0.25])

    def score(validation, network, metadata):
        found = next(scores)
        if found is KeyboardInterrupt:
            raise found
        return Score(found, {"method": "cc"}, 0.5)

    monkeypatch.setattr(stage.Validation, "score", score)
    run = Run(pair, tmp_path / "run", [pair])
    with pytest.raises(KeyboardInterrupt):
        run(validations=2)
    run(RESUME, validations=2)
    assert [(row["iteration"], row["ap75"]) for row in run.table("validation.tsv")] == [
        ("4", "0.5"),
        ("8", "0.25"),
    ]
    assert read_metadata(run.model).training["best_iteration"] == 4


def test_of_networks_that_score_the_same_the_one_with_the_better_mask_is_kept(pair, tmp_path, monkeypatch):
    jaccards = iter([0.7, 0.9, 0.9, 0.8])
    monkeypatch.setattr(stage.Validation, "score", lambda *_: Score(0.5, {"method": "cc"}, next(jaccards)))
    run = Run(pair, tmp_path / "run", [pair])
    run(validations=4)  # of 8 iterations
    assert read_metadata(run.model).training["best_iteration"] == 6  # of equals, the one that learnt longer


def test_a_validation_that_was_noted_but_not_counted_is_noted_once(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(stage.Validation, "score", lambda *_: Score(0.5, {"method": "cc"}, 0.5))
    run = Run(pair, tmp_path / "run", [pair])
    with monkeypatch.context() as patch:

        def stopped(*_):
            raise KeyboardInterrupt

        patch.setattr(stage, "Best", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(validations=2)
    run(RESUME, validations=2)
    assert [row["iteration"] for row in run.table("validation.tsv")] == ["4", "8"]


def test_a_training_stops_where_its_processes_take_more_than_the_budget_and_goes_on_with_more(
    pair, whole, tmp_path, monkeypatch
):
    run = Run(pair, tmp_path / "run")
    monkeypatch.setattr("mitotools.run.memory.psutil.Process", processes_with_two_gibibytes)
    with pytest.raises(
        MachineError, match=r"--memory: 1024M is too little for this training, which takes 2048M\."
    ):
        run(replace(RUNNING, memory_bytes=2**30))
    run(replace(RESUME, memory_bytes=2**31))
    assert_same(whole, run)
