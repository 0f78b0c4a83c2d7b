"""Commands on volumes behind URLs: an S3 server on this machine."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from mitotools.cli.main import run
from mitotools.volume.plan import read_plan

VOLUME = np.random.default_rng(0).integers(0, 256, (20, 30, 40), dtype="uint8")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with h5py.File("raw.h5", "w") as file:
        file["main"] = VOLUME
        file["main"].attrs["voxel_size_nm"] = (30.0, 8.0, 8.0)
    return tmp_path


def voxels(name):
    with h5py.File(name) as file:
        return file["main"][:]


@pytest.mark.parametrize(
    "options", ["", "--zarr-format 2", "--chunks 5,10,10 --shards 10,20,20", "--workers 2"]
)
def test_a_volume_goes_to_a_bucket_and_comes_back(folder, bucket, request, options):
    url = f"{bucket}/{abs(hash(options))}.zarr"
    assert run(["convert", "raw.h5", url, "--levels", "2", "-q", *options.split()]) == 0
    assert run(["convert", f"{url}[5:20,:,3:9]", "back.h5", "-q"]) == 0
    assert np.array_equal(voxels("back.h5"), VOLUME[5:20, :, 3:9])
    assert run(["convert", f"{url}:1", "coarse.h5", "-q"]) == 0
    assert voxels("coarse.h5").shape == (20, 15, 20)


def test_what_is_in_a_bucket_is_described(folder, bucket, capsys):
    assert run(["convert", "raw.h5", f"{bucket}/described.zarr", "-q"]) == 0
    assert run(["info", f"{bucket}/described.zarr"]) == 0
    assert "voxel_size_nm\t30.0 8.0 8.0" in capsys.readouterr().out


def test_what_is_in_a_bucket_is_replaced_by_force_alone(folder, bucket, capsys):
    url = f"{bucket}/kept.zarr"
    assert run(["convert", "raw.h5", url, "-q"]) == 0
    assert run(["convert", "raw.h5", url]) == 1
    assert "exists already. Use --force to replace it." in capsys.readouterr().err
    assert run(["convert", "raw.h5", url, "--resume"]) == 0
    assert f"{url} is complete already" in capsys.readouterr().err
    assert run(["convert", "raw.h5[0:3,:,:]", url, "--resume"]) == 1
    assert "was made with other crop" in capsys.readouterr().err
    assert run(["convert", "raw.h5[0:3,:,:]", url, "--force", "-q"]) == 0
    assert run(["convert", url, "new.h5", "-q"]) == 0
    assert np.array_equal(voxels("new.h5"), VOLUME[0:3])


def test_a_failure_leaves_nothing_in_a_bucket(folder, bucket, capsys):
    url = f"{bucket}/failed.zarr"
    assert run(["convert", "raw.h5", url, "--dtype", "int8"]) == 1
    assert "do not fit int8" in capsys.readouterr().err
    assert run(["convert", url, "back.h5"]) == 1
    assert run(["convert", "raw.h5", url, "-q"]) == 0


def test_a_bucket_that_does_not_exist_is_one_line(folder, bucket, capsys):
    assert run(["convert", "raw.h5", "s3://nowhere/v.zarr"]) == 1
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "s3://nowhere/v.zarr" in printed


def test_what_is_in_a_bucket_is_planned_cut_and_merged(folder, bucket):
    url = f"{bucket}/tiled.zarr"
    assert run(["convert", "raw.h5", url, "-q"]) == 0
    assert run(["tile", url, "plan.json", "--size", "10,15,20", "-q"]) == 0
    assert str(read_plan(Path("plan.json")).volume) == url
    assert run(["tile", url, "tiles", "--size", "10,15,20", "--halo", "2,2,2", "-q"]) == 0
    assert run(["merge", "tiles", f"{bucket}/merged.zarr", "-q"]) == 0
    assert run(["convert", f"{bucket}/merged.zarr", "merged.h5", "-q"]) == 0
    assert np.array_equal(voxels("merged.h5"), VOLUME)


def test_maps_in_a_bucket_are_decoded_into_a_bucket(folder, bucket):
    maps = np.zeros((1, 20, 30, 40), np.uint8)
    maps[0, 2:12, 3:20, 4:30] = 250
    with h5py.File("maps.h5", "w") as file:
        file["main"] = maps
    assert run(["convert", "maps.h5", f"{bucket}/maps.zarr", "-q"]) == 0
    assert run(["decode", f"{bucket}/maps.zarr", f"{bucket}/labels.zarr", "-q"]) == 0
    assert run(["convert", f"{bucket}/labels.zarr", "labels.h5", "-q"]) == 0
    assert np.array_equal(voxels("labels.h5"), (maps[0] > 0).astype(np.uint8))
