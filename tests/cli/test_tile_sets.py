"""MitoEM's JSON tile sets as the SOURCE of commands, where their images are and where they are not."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from mitotools.cli.main import run

VOLUME = np.random.default_rng(0).integers(0, 256, (5, 12, 16), dtype="uint8")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A set as it is shipped, whose images have moved to another disk."""
    monkeypatch.chdir(tmp_path)
    Path("disk/im").mkdir(parents=True)
    for z, plane in enumerate(VOLUME):
        Image.fromarray(plane).save(f"disk/im/im{z:04d}.png")
    content = {
        "image": [f"/mnt/share/mito/im/im{z:04d}.png" for z in range(5)],
        "depth": 5, "height": 12, "width": 16, "tile_size": [12, 16], "tile_st": [0, 0], "tile_ratio": 1,
        "dtype": "uint8",
    }  # fmt: skip
    Path("im.json").write_text(json.dumps(content))
    return tmp_path


@pytest.mark.parametrize("engine", [[], ["--workers", "2"]], ids=["threads", "processes"])
def test_a_root_says_where_the_images_lie(engine):
    assert (
        run(["convert", "im.json", "raw.h5", "--root", "disk", "--voxel-size", "30,8,8", "-q", *engine]) == 0
    )
    with h5py.File("raw.h5") as file:
        assert np.array_equal(file["main"][:], VOLUME)
        assert tuple(file["main"].attrs["voxel_size_nm"]) == (30, 8, 8)


def test_images_that_are_not_where_the_set_says_are_named(capsys):
    assert run(["convert", "im.json", "raw.h5"]) == 1
    said = capsys.readouterr().err
    assert "/mnt/share/mito/im/im0000.png: is missing, and so are 4 others" in said
    assert "--root DIR" in said


def test_a_tile_set_is_cut_into_tiles():
    assert run(["tile", "im.json", "tiles", "--root", "disk", "--size", "5,6,8", "-q"]) == 0
    with h5py.File("tiles/im_0-5-6-12-8-16.h5") as file:
        assert np.array_equal(file["main"][:], VOLUME[:, 6:, 8:])
    assert run(["merge", "tiles", "merged.npy", "-q"]) == 0
    assert np.array_equal(np.load("merged.npy"), VOLUME)


def test_a_root_is_for_tile_sets_alone(capsys):
    Path("raw").mkdir()
    assert run(["convert", "disk/im", "raw.h5", "--root", "disk"]) == 2
    assert "--root: is for the images of a JSON tile set" in capsys.readouterr().err


def test_info_tells_a_tile_set_from_a_plan(capsys):
    assert run(["tile", "disk/im", "plan.json", "--size", "5,6,8", "-q"]) == 0
    assert run(["info", "plan.json"]) == 0
    assert "kind\tplan" in capsys.readouterr().out
    content = json.loads(Path("im.json").read_text())
    content["image"] = [f"disk/im/im{z:04d}.png" for z in range(5)]
    Path("here.json").write_text(json.dumps(content))
    assert run(["info", "here.json"]) == 0
    said = capsys.readouterr().out
    assert "format\ttile set" in said
    assert "shape\t5 12 16" in said


def test_a_plan_remembers_where_the_images_lie(tmp_path):
    from mitotools.volume.files import open_volume
    from mitotools.volume.plan import read_plan

    Path("plans").mkdir()
    assert run(["tile", "im.json", "plans/plan.json", "--root", "disk", "--size", "5,6,8", "-q"]) == 0
    with open_volume(read_plan(Path("plans/plan.json")).volume) as volume:
        assert volume.spec.shape == VOLUME.shape
