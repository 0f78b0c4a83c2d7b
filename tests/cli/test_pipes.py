"""Commands joined by pipes, in a real shell."""

from __future__ import annotations

import signal
import subprocess
import time

import h5py
import numpy as np
import pytest

from mitotools.volume.files import open_volume
from mitotools.volume.path import parse_volume_path


@pytest.fixture
def shell(tmp_path, commands):
    """Run a command line in bash with pipefail, in a folder with labels.h5, temporaries in tmp/."""
    (tmp_path / "tmp").mkdir()
    labels = np.zeros((4, 6, 8), "uint16")
    labels[:, :2, :2], labels[0, 4:, 4:], labels[3, 5, 7] = 3, 5, 9
    with h5py.File(tmp_path / "labels.h5", "w") as file:
        file["main"] = labels
        file["main"].attrs["voxel_size_nm"] = (30.0, 8.0, 8.0)
    environment = commands.environment | {"MITOTOOLS_TMPDIR": str(tmp_path / "tmp")}

    def run(line, **options):
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, **options,
        )  # fmt: skip

    run.folder, run.environment = tmp_path, environment
    return run


def temporaries(shell):
    return list((shell.folder / "tmp").iterdir())


def test_a_pipe_leaves_its_result_and_nothing_else(shell):
    line = "mitotools convert labels.h5 - | mitotools filter - - --min-size 4"
    line += " | mitotools filter - out.h5 --relabel"
    result = shell(line)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert temporaries(shell) == []
    with h5py.File(shell.folder / "out.h5") as file:
        assert np.unique(file["main"], return_counts=True)[1].tolist() == [192 - 24, 16, 8]
    with open_volume(parse_volume_path(str(shell.folder / "out.h5"))) as volume:
        assert volume.spec.voxel_size_nm == (30.0, 8.0, 8.0)
        commands = [record["command_line"].split()[:2] for record in volume.spec.history]
    assert commands == [["mitotools", "convert"], ["mitotools", "filter"], ["mitotools", "filter"]]


def test_a_failure_in_the_middle_fails_the_whole_and_cleans_up(shell):
    line = "mitotools convert labels.h5 - | mitotools decode - - | mitotools filter - out.h5"
    result = shell(line)
    assert result.returncode == 1
    assert "expected maps" in result.stderr
    assert "nothing came through the pipe" in result.stderr
    assert "Traceback" not in result.stderr
    assert temporaries(shell) == []
    assert not (shell.folder / "out.h5").exists()


def test_a_command_whose_reader_is_gone_ends_quietly_and_cleans_up(shell):
    result = shell("mitotools convert labels.h5 - -q | true; echo ${PIPESTATUS[0]}")
    assert result.stderr == ""
    assert temporaries(shell) == []


def test_a_table_cut_by_head_ends_quietly(shell):
    ids = np.arange(1, 200_001, dtype="uint32").reshape(2, 100, 1000)
    with h5py.File(shell.folder / "many.h5", "w") as file:
        file["main"] = ids
    result = shell("mitotools stats many.h5 -q | head -n 2")
    assert result.returncode == 0
    assert result.stderr == ""
    assert result.stdout.splitlines()[1].split("\t")[:2] == ["1", "1"]


def test_what_tune_found_best_is_written_though_nobody_reads_the_table(shell):
    with h5py.File(shell.folder / "maps.h5", "w") as file:
        file["main"] = np.stack([np.full((4, 6, 8), 255, "uint8"), np.zeros((4, 6, 8), "uint8")])
    result = shell("mitotools tune maps.h5 labels.h5 --grid min-size=1 -o best.toml -q | true")
    assert result.stderr == ""
    assert "min-size = 1\n" in (shell.folder / "best.toml").read_text()


def test_a_volume_of_the_users_is_read_through_a_pipe_but_not_removed(shell):
    result = shell("echo labels.h5 | mitotools stats -")
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == 4
    assert (shell.folder / "labels.h5").exists()


def test_a_crop_may_follow_the_pipe(shell):
    result = shell("mitotools convert labels.h5 - -q | mitotools convert '-[0:3,:,4:]' out.h5")
    assert result.returncode == 0, result.stderr
    assert temporaries(shell) == []
    with h5py.File(shell.folder / "out.h5") as file, h5py.File(shell.folder / "labels.h5") as labels:
        assert np.array_equal(file["main"], labels["main"][0:3, :, 4:])


def test_one_of_two_inputs_may_come_through_the_pipe(shell):
    result = shell("mitotools convert labels.h5 - | mitotools evaluate - labels.h5 --format json")
    assert result.returncode == 0, result.stderr
    assert '"0.75": {' in result.stdout
    assert temporaries(shell) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_removes_temporaries_and_says_interrupted(shell, number):
    """The command waits for its input, a pipe that never says anything, with a temporary made already."""
    process = subprocess.Popen(
        ["mitotools", "filter", "-", "-"],
        cwd=shell.folder, env=shell.environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A test run that was started in the background hands an ignored SIGINT down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while not temporaries(shell) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert temporaries(shell) != []
    process.send_signal(number)
    _, words = process.communicate(timeout=20)
    assert process.returncode == 130
    assert words == "mitotools filter: interrupted.\n"
    assert temporaries(shell) == []


def test_info_describes_what_comes_through_a_pipe_and_takes_it_away(shell):
    result = shell("mitotools convert labels.h5 - -q | mitotools info -")
    assert result.returncode == 0, result.stderr
    assert "shape\t4 6 8" in result.stdout
    assert temporaries(shell) == []


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_lead_nowhere(shell, closed):
    assert shell(f"mitotools convert labels.h5 copy.h5 {closed}").returncode == 0
    assert shell(f"mitotools info labels.h5 {closed}").returncode == 0
    with h5py.File(shell.folder / "labels.h5") as file, h5py.File(shell.folder / "copy.h5") as copy:
        assert np.array_equal(copy["main"], file["main"])
