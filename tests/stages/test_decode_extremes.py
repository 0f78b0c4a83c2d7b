"""Maps that are all foreground, or all seeds, are decoded in the memory that was given."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import zarr
from peak_memory import IMPORT

from mitotools.run.running import Running
from mitotools.stages.blocks.blockwise import write_volume
from mitotools.stages.blocks.work import Work
from mitotools.volume.base import VolumeSpec
from mitotools.volume.path import VolumePath

MIB = 2**20


def write(target, size, block):
    """Write maps of one channel; `block` returns the voxels of a box."""
    spec = VolumeSpec((1, *size), np.dtype(np.uint8))
    write_volume(VolumePath(str(target)), spec, Work(lambda box, _: block(box)[None], "make"), Running())


def full(box):
    return np.full(box.shape, 255, np.uint8)


def lattice(box):
    """Every second voxel along every axis: no two touch, not even by a corner."""
    voxels = np.zeros(box.shape, np.uint8)
    voxels[tuple(slice(a % 2, None, 2) for a in box.start)] = 255
    return voxels


def peak_bytes(folder, *command):
    """Run a command in a process of its own, and return the most memory that it had."""
    script = IMPORT + (
        "from mitotools.cli.main import run; status = run(sys.argv[1:]); "
        "print(peak_kib(), file=sys.stderr); sys.exit(status)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, *map(str, command)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return int(result.stderr.splitlines()[-1]) * 1024, result.stderr


@pytest.mark.slow
def test_a_gigabyte_of_foreground_is_one_instance_in_half_of_it(tmp_path):
    size = (256, 2048, 2048)
    write(tmp_path / "maps.zarr", size, full)
    peak, words = peak_bytes(tmp_path, "decode", "maps.zarr", "labels.zarr", "--memory", "512M")
    assert "1 instances" in words
    assert peak < 512 * MIB
    labels = zarr.open_array(tmp_path / "labels.zarr" / "0")
    for z, y, x in [(0, 0, 0), (255, 2047, 2047), (127, 1023, 1024)]:
        assert labels[z, y, x] == 1


@pytest.mark.slow
def test_25_million_seeds_of_one_voxel_take_no_more_memory_than_was_given(tmp_path):
    size = (200, 1000, 1000)
    write(tmp_path / "maps.zarr", size, lattice)
    peak, words = peak_bytes(tmp_path, "decode", "maps.zarr", "labels.zarr", "--memory", "512M")
    assert "no seed has --min-seed 32 voxels" in words
    assert peak < 512 * MIB
