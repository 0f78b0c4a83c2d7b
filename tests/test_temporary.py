"""Folders for temporaries: private, gone at the end, and gone after a kill when another run makes one."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mitotools.cli.main import run
from mitotools.errors import TargetError
from mitotools.temporary import PIPE, SETTLED_S, in_use, left_behind, new_folder, temporary_folder

ROOT = Path(__file__).parent.parent
WAITING = """
import sys, time
from mitotools.temporary import temporary_folder
with temporary_folder() as folder:
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def room(tmp_path, monkeypatch):
    monkeypatch.setenv("MITOTOOLS_TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def user():
    """A process that uses a folder of an hour ago."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING], env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    aged(Path(process.stdout.readline().strip()))
    yield process
    process.kill()
    process.communicate()


def aged(folder):
    seconds = folder.stat().st_mtime - 3600
    os.utime(folder, (seconds, seconds))
    return folder


def test_only_the_user_may_enter_and_it_goes_with_all_that_is_in_it(room):
    with temporary_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "maps").mkdir()
        (folder / "maps" / "part").write_text("0")
    assert list(room.iterdir()) == []


def test_it_goes_when_the_work_fails(room):
    def fail():
        with temporary_folder():
            raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        fail()
    assert list(room.iterdir()) == []


def test_what_a_killed_run_left_is_removed_by_the_next_one(room, user):
    (folder,) = room.iterdir()
    user.kill()
    user.wait()
    assert left_behind() == [folder]
    with temporary_folder() as own:
        assert list(room.iterdir()) == [own]


def test_what_another_run_uses_stays(room, user):
    (folder,) = room.iterdir()
    assert left_behind() == []
    with temporary_folder():
        pass
    assert list(room.iterdir()) == [folder]


def test_a_folder_of_this_minute_stays_whose_lock_is_about_to_be_taken():
    folder = new_folder()
    assert left_behind() == []
    seconds = folder.stat().st_mtime - SETTLED_S - 1
    os.utime(folder, (seconds, seconds))
    assert left_behind() == [folder]


def test_a_link_and_what_others_made_are_not_touched(room, tmp_path_factory, monkeypatch):
    precious = tmp_path_factory.mktemp("precious")
    (precious / "thesis.txt").write_text("all of it")
    (room / "mitotools-link").symlink_to(aged(precious))
    theirs = aged(new_folder())
    real = os.geteuid()
    monkeypatch.setattr("os.geteuid", lambda: real + 1)
    assert left_behind() == []
    with temporary_folder():
        pass
    assert (precious / "thesis.txt").read_text() == "all of it"
    assert theirs.is_dir()


def test_a_volume_that_waits_in_a_pipe_stays_and_doctor_names_it(capsys):
    folder = aged(new_folder(PIPE))
    with temporary_folder():
        pass
    assert folder.is_dir()
    assert run(["doctor"]) == 0
    assert f"temporaries left by killed runs\t{folder}\n" in capsys.readouterr().out
    with in_use(folder):
        aged(folder)
        assert left_behind() == []


def test_a_place_that_is_not_there_is_an_error(room, monkeypatch):
    monkeypatch.setenv("MITOTOOLS_TMPDIR", str(room / "nowhere"))
    assert left_behind() == []
    with pytest.raises(TargetError, match="nowhere: cannot hold temporaries"), temporary_folder():
        pass
