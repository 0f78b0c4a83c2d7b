"""The model that comes along: found by name, small, with a card, and of some use on what it has not seen."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr

import mitotools
from mitotools.cli.main import run
from mitotools.learn.installed import BUNDLED, model_file
from mitotools.learn.metadata import read_metadata

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "examples" / "data" / "medulla_test.h5"
CROP = "[32:96,32:128,32:128]"


def test_it_is_found_by_its_name_and_fits_into_a_wheel():
    assert model_file(Path("bundled")) == BUNDLED
    assert BUNDLED.stat().st_size < 10 * 10**6
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    assert BUNDLED.is_relative_to(ROOT / settings["wheel"]["packages"][0])


def test_its_card_says_what_it_was_made_from_and_what_it_is_for(capsys):
    assert run(["info", "bundled"]) == 0
    lines = dict(line.split("\t", 1) for line in capsys.readouterr().out.splitlines())
    assert "starting point" in lines["title"]
    assert "CC BY" in lines["terms"]
    assert "silver standard" in lines["scores"]
    assert {"data", "cite", "limits"} <= lines.keys()


def test_it_was_trained_on_nothing_but_medulla_1_and_phantoms():
    inputs = read_metadata(BUNDLED).history[-1]["inputs"]
    names = {Path(used["path"]).name for used in inputs}
    assert names == {"medulla_1.h5", "phantoms_1.h5", "phantoms_2.h5", "phantoms_3.h5"}


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    target = tmp_path_factory.mktemp("bundled") / "maps.zarr"
    assert run(["predict", f"{SAMPLE}:raw{CROP}", str(target), "--backend", "torch"]) == 0
    return target


def test_without_a_model_predict_applies_it_and_the_maps_say_so(maps, capsys):
    assert run(["info", str(maps), "--history", "--json"]) == 0
    history = json.loads(capsys.readouterr().out)["history"]
    assert "CC BY" in json.dumps(history[-1])


def test_it_finds_mitochondria_of_a_cube_that_it_has_not_seen(maps):
    with h5py.File(SAMPLE) as file:
        truth = file["labels"][32:96, 32:128, 32:128] > 0
    mask = zarr.open_array(maps / "0")[0] > 127
    jaccard = (mask & truth).sum() / (mask | truth).sum()
    assert jaccard > 0.7


def test_notebooks_have_it_too():
    raw, voxel_size = mitotools.read(f"{SAMPLE}:raw[0:32,0:64,0:64]")
    maps = mitotools.predict(raw, voxel_size_nm=voxel_size, backend="torch")
    assert maps.shape == (2, 32, 64, 64)
    assert np.ptp(maps[0]) > 200
