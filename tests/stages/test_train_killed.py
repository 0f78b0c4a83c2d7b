"""Trainings that are killed or interrupted, for real, and continued."""

from __future__ import annotations

import json
import os
import signal
from types import SimpleNamespace

import pytest
from command_runs import finished, journal_of, lines, names_in, started, stopped, succeeds, wait_until
from stages.test_train_resumed import Run, assert_same

OPTIONS = [
    "--patch", "8,16,16", "--iterations", "20", "--batch", "4", "--set", "filters=4,8", "--recipe", "mild",
    "--device", "cpu", "--precision", "float32", "-t", "1", "--set", "save_minutes=0.001",
]  # fmt: skip


def test_a_training_that_is_killed_continues(pair, tmp_path):
    command = ["train", pair[0].file, pair[1].file, "m.safetensors", *OPTIONS, "--log", "log"]
    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        folder.mkdir()
    succeeds(folders[0], *command, "--set", "loaders=0")
    killed = folders[1]
    target = killed / "m.safetensors"
    status, _ = stopped(started(killed, *command, "--set", "loaders=1"), journal_of(target), 2)
    assert status == -signal.SIGKILL
    words = succeeds(killed, *command, "--resume", "--set", "loaders=1")
    assert "continuing after" in words
    assert names_in(killed) == ["log", "m.safetensors"]
    runs = [SimpleNamespace(log=folder / "log", model=folder / "m.safetensors") for folder in folders]
    for run in runs:
        run.table = lambda run=run: Run.table(run)
    assert_same(*runs)


@pytest.mark.parametrize("to_all", [False, True], ids=["one process", "its loaders too"])
def test_ctrl_c_saves_what_there_is(pair, tmp_path, to_all):
    command = ["train", pair[0].file, pair[1].file, "m.safetensors", *OPTIONS, "--iterations", "100000"]
    command += ["--set", "save_minutes=60", "--set", "loaders=1", "--log", "log"]
    process, table = started(tmp_path, *command), tmp_path / "log" / "training.tsv"
    try:
        wait_until(lambda: table.exists() and len(table.read_text().splitlines()) > 3, process)
    finally:
        (os.killpg if to_all else os.kill)(process.pid, signal.SIGINT)
    status, words = finished(process)
    assert status == 130
    assert words.splitlines()[-2:] == [
        "mitotools train: 1 checkpoint is saved, and --resume continues",
        "mitotools train: interrupted.",
    ]
    ((iteration,),) = map(json.loads, lines(journal_of(tmp_path / "m.safetensors")))
    assert iteration == len(table.read_text().splitlines()) - 1
