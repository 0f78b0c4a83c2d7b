"""What lies where an output will be is never written through, and one run at a time writes an output."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress

import numpy as np
import pytest
from volume_files import read, refusal, values, write

from mitotools import history
from mitotools.errors import TargetError
from mitotools.volume import atomic
from mitotools.volume.atomic import create_file
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.outputs import create_volume
from mitotools.volume.path import VolumePath

NAMES = ["v.h5", "v.zarr", "v.tif", "v"]
OLD, NEW = values((2, 3, 4), seed=1), values((2, 3, 4), seed=2)


def write_table(path, *, force=False):
    with create_file(path, force=force) as unfinished:
        unfinished.write_text("new")
        history.write_sidecar(unfinished, ({"command": "stats"},))


def write_volume(path, *, force=False):
    write(path, NEW, force=force)


@pytest.fixture(params=["is there", "is not there"])
def victim(tmp_path, request):
    """Return a file that no command was told to write."""
    file = tmp_path / "elsewhere" / "precious"
    file.parent.mkdir()
    if request.param == "is there":
        file.write_text("precious")
    return file


def is_as_before(victim):
    return not victim.exists() or victim.read_text() == "precious"


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    "suffix", [".unfinished", ".unfinished.journal", ".unfinished.history.json", ".history.json"]
)
@pytest.mark.parametrize(
    ("name", "make"), [("t.tsv", write_table), *((name, write_volume) for name in NAMES)]
)
def test_a_link_is_not_written_through(tmp_path, victim, name, make, suffix, force):
    (tmp_path / (name + suffix)).symlink_to(victim)
    is_there = victim.exists()
    with suppress(TargetError):
        make(tmp_path / name, force=force)
        assert not (tmp_path / name).is_symlink()
    assert victim.exists() == is_there
    assert is_as_before(victim)


@pytest.mark.parametrize("name", NAMES)
def test_a_volume_that_one_run_writes_is_refused_to_another_even_with_force(tmp_path, name):
    spec = VolumeSpec(NEW.shape, NEW.dtype)
    with create_volume(VolumePath(str(tmp_path / name)), spec) as writer:
        error = refusal(write, tmp_path / name, OLD, force=True)
        assert "another run is writing this output. Wait for it" in str(error)
        writer.write(Box.whole(NEW.shape), NEW)
    assert np.array_equal(read(tmp_path / name)[0], NEW)
    assert sorted(entry.name for entry in tmp_path.iterdir()) in (
        [name],
        [name, f"{name}.history.json"],
    )


@pytest.mark.parametrize("force", [False, True])
def test_a_file_that_one_run_writes_is_refused_to_another(tmp_path, force):
    target = tmp_path / "p.png"
    with create_file(target) as path:
        path.write_text("first")
        with pytest.raises(TargetError, match="another run is writing this output"):
            write_table(target, force=force)
    assert target.read_text() == "first"


def many_times(path, letter, count, barrier):
    for _ in range(count):
        barrier.wait()
        try:
            with create_file(path, force=True) as unfinished, unfinished.open("w") as file:
                for _ in range(200):
                    file.write(letter)
                    file.flush()
        except TargetError:
            pass


def test_of_two_runs_that_start_together_the_output_is_of_one(tmp_path):
    target, rounds = tmp_path / "p.png", 60
    barrier = threading.Barrier(3, timeout=60)
    # A lock is one of an open file, whichever thread or process has it.
    runs = [threading.Thread(target=many_times, args=(target, letter, rounds, barrier)) for letter in "ab"]
    for run in runs:
        run.start()
    seen = []
    for _ in range(rounds):
        barrier.wait()  # what the round before left stands until both have passed
        if target.exists():
            seen.append(target.read_text())
    for run in runs:
        run.join()
    assert len(seen) > rounds // 2
    assert set(seen) <= {"a" * 200, "b" * 200}
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.png"]


def test_what_is_left_of_a_replaced_folder_does_not_stand_in_the_way(tmp_path, monkeypatch, caplog):
    write(tmp_path / "v.zarr", OLD)
    remove = atomic.remove

    def interrupted(path):
        if path.name.endswith(".replaced") and path.exists():
            signal.raise_signal(signal.SIGINT)
        remove(path)

    monkeypatch.setattr(atomic, "remove", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "v.zarr", NEW, force=True)
    monkeypatch.undo()
    assert "v.zarr is complete" in caplog.text
    assert "v.zarr.replaced is what is left of the one that it replaced, and may be deleted" in caplog.text
    assert np.array_equal(read(tmp_path / "v.zarr")[0], NEW)
    assert "exists already" in str(refusal(write, tmp_path / "v.zarr", OLD))
    write(tmp_path / "v.zarr", OLD, force=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["v.zarr"]
