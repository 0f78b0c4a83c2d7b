"""The scripts in examples/cluster do what they say, with Slurm's commands played by two lines of shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr
from stages.networks import write_model, write_phantom

from mitotools.learn.metadata import read_metadata

ROOT = Path(__file__).parent.parent
VOLUME = np.random.default_rng(0).integers(0, 256, (40, 50, 60), dtype="uint8")


@pytest.fixture
def environment(tmp_path, commands):
    """What a job finds: Slurm's variables, `srun` (which here starts one task), and the commands."""
    commands.add("srun", "")
    commands.add("hostname", "echo 127.0.0.1 #")
    commands.add("dask", f'"{sys.executable}" -m dask')
    commands.add("torchrun", f'"{sys.executable}" -m torch.distributed.run')
    return commands.environment | {
        "MITOTOOLS_VENV": str(tmp_path),
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_CPUS_PER_TASK": "2",
        "SLURM_JOB_NUM_NODES": "1",
        "TMPDIR": str(tmp_path),
    }


def test_the_slurm_script_computes_on_a_dask_cluster_of_its_own(tmp_path, environment):
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["main"] = VOLUME
    script = ROOT / "examples" / "cluster" / "slurm.sh"
    result = subprocess.run(
        ["sh", str(script), "convert", "raw.h5", "raw.zarr", "--levels", "2"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "raw.zarr: 40 x 50 x 60 uint8" in result.stderr
    assert np.array_equal(zarr.open_array(tmp_path / "raw.zarr" / "0")[:], VOLUME)


def test_the_slurm_script_ends_where_its_scheduler_cannot_start(tmp_path, commands, environment):
    commands.add("dask", "false")
    script = ["sh", str(ROOT / "examples" / "cluster" / "slurm.sh"), "convert", "raw.h5", "raw.zarr"]
    result = subprocess.run(
        script, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 1, result.stderr
    assert not list(tmp_path.glob("tmp.*"))


def test_the_tasks_of_the_job_array_write_one_zarr_and_a_killed_one_is_submitted_again(tmp_path, environment):
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["main"] = VOLUME
    write_model(tmp_path / "model.safetensors")
    script = ROOT / "examples" / "cluster" / "job-array.sh"
    command = ["sh", str(script), "raw.h5", "maps.zarr", "-m", "model.safetensors", "--backend", "torch"]
    for task in ("2", "2", "1"):  # the second time there is nothing left to do
        assert not (tmp_path / "maps.zarr").exists()
        numbers = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": "2"}
        result = subprocess.run(
            command, cwd=tmp_path, env=environment | numbers, capture_output=True, text=True, check=False,
            timeout=120,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert f"maps.zarr: part {task}/2, 2 x 40 x 50 x 60 uint8" in result.stderr
    assert zarr.open_array(tmp_path / "maps.zarr" / "0").shape == (2, 40, 50, 60)


@pytest.mark.slow
def test_jobs_that_dask_jobqueue_submits_compute_a_command_and_its_exit_status_is_that_of_the_script(
    tmp_path, environment
):
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["main"] = VOLUME
    script = [sys.executable, str(ROOT / "examples" / "cluster" / "jobqueue.py"), "local", "2"]
    asked = {"DASK_JOBQUEUE__LOCAL__CORES": "1", "DASK_JOBQUEUE__LOCAL__MEMORY": "1GB"}
    results = [
        subprocess.run(
            [*script, "convert", "raw.h5", "raw.zarr", "--levels", "2"],
            cwd=tmp_path, env=environment | asked, capture_output=True, text=True, check=False, timeout=120,
        )
        for _ in range(2)
    ]  # fmt: skip
    assert [result.returncode for result in results] == [0, 1], results[0].stderr
    assert "raw.zarr: exists already. Use --force" in results[1].stderr
    assert np.array_equal(zarr.open_array(tmp_path / "raw.zarr" / "0")[:], VOLUME)


@pytest.mark.slow
def test_the_training_script_trains_in_as_many_processes_as_the_node_has_gpus(tmp_path, environment):
    write_phantom(tmp_path)
    script = ROOT / "examples" / "cluster" / "train.sh"
    small = [
        "--set",
        "filters=4,8",
        "--set",
        "norm=group",
        "--patch",
        "8,16,16",
        "--batch",
        "2",
        "--iterations",
        "2",
        "--device",
        "cpu",
        "--log",
        "curves",
    ]
    command = ["sh", str(script), "raw.h5", "labels.h5", "model.safetensors", *small]
    for _ in range(2):  # the second time it is complete
        result = subprocess.run(
            command, cwd=tmp_path, env=environment | {"SLURM_GPUS_ON_NODE": "2"}, capture_output=True,
            text=True, check=False, timeout=300,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
    assert "is complete already" in result.stderr
    assert read_metadata(tmp_path / "model.safetensors").training["iterations_done"] == 2
    assert (tmp_path / "curves").is_dir()
