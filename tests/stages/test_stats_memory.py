"""What stats has in memory where everything touches everything."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import zarr
from command_runs import environment
from peak_memory import IMPORT

from mitotools.errors import MachineError
from mitotools.parameters import StatsParameters
from mitotools.run.budget import SLACK
from mitotools.run.memory import resident_bytes
from mitotools.run.running import Running
from mitotools.stages.measuring import one_pass
from mitotools.stages.stats import measure_instances
from mitotools.volume.path import VolumePath

RUN = f"""
{IMPORT}
from mitotools.cli.main import run
status = run(sys.argv[1:])
print("PEAK", peak_kib() // 1024, file=sys.stderr)
sys.exit(status)
"""


@pytest.fixture
def noise(tmp_path):
    """Of 500 instances that all touch each other: 125 000 pairs."""
    labels = np.random.default_rng(0).integers(1, 501, (64, 256, 256), dtype="u2")
    zarr.create_array(tmp_path / "noise.zarr", data=labels, chunks=(32, 64, 64))
    return tmp_path


def test_tables_that_leave_no_room_are_refused_and_more_is_named(tmp_path, monkeypatch):
    zarr.create_array(tmp_path / "a.zarr", data=np.array([[[1, 2, 3]]], "uint8"))
    path = VolumePath(str(tmp_path / "a.zarr"))
    monkeypatch.setattr(one_pass, "COPIES", 2**20)  # of about 1 kB
    enough_for_blocks = 2**28 + int(resident_bytes() / SLACK)  # other tests leave something in memory
    with pytest.raises(MachineError, match=r"M is too little for the table of instances that touch. Give"):
        measure_instances(path, StatsParameters(), Running(1, memory_bytes=enough_for_blocks))
    assert len(measure_instances(path, StatsParameters(), Running(1, memory_bytes=2**36)).rows) == 3


def measured(folder, memory):
    """Return the status of stats, its words, and the most memory that it had, in MiB."""
    command = [sys.executable, "-c", RUN, "stats", "noise.zarr", "-q", "-t", "2", "--memory", f"{memory}M"]
    result = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True)
    return result.returncode, result.stderr, int(re.search(r"PEAK (\d+)", result.stderr)[1])


@pytest.mark.slow
def test_pairs_that_touch_are_counted_in_the_budget(noise):
    status, words, _ = measured(noise, 1)
    assert status == 1
    least = int(re.search(r"The least is (\d+)M", words)[1])
    status, words, peak = measured(noise, least + 10)
    assert status == 1, words
    assert peak <= least + 10
    enough = int(re.search(r"Give more than (\d+)M", words)[1]) + 10
    status, words, peak = measured(noise, enough)
    assert status == 0, words
    assert peak <= enough
