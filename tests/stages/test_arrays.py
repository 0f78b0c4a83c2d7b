"""The commands on arrays: what they return is what the commands write."""

from __future__ import annotations

import doctest
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from stages.networks import write_model, write_phantom, write_volume

import mitotools
from mitotools.cli.main import run
from mitotools.errors import InputError
from mitotools.learn.checkpoint import load_model, save_model
from mitotools.stages import arrays

ROOT = Path(__file__).parent.parent.parent
VOXEL_SIZE = (5.0, 5.0, 5.0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_phantom(tmp_path)
    write_model(tmp_path / "model.safetensors")
    return tmp_path


def test_the_examples_in_the_documentation_are_right(monkeypatch):
    monkeypatch.chdir(ROOT)
    result = doctest.testmod(arrays)
    assert result.attempted >= 10
    assert result.failed == 0


def test_a_notebook_gets_what_the_commands_write(folder):
    raw, size_nm = mitotools.read("raw.h5")
    assert size_nm == VOXEL_SIZE
    words = ["--precision", "float32", "--backend", "torch", "-q"]
    assert run(["predict", "raw.h5", "maps.h5", "-m", "model.safetensors", *words]) == 0
    maps = mitotools.predict(raw, "model.safetensors", size_nm, precision="float32", backend="torch")
    assert np.array_equal(maps, mitotools.read("maps.h5")[0])
    options = ["--foreground", ".4", "--seed-foreground", ".5", "--min-size", "9", "--min-seed", "4"]
    assert run(["decode", "maps.h5", "found.h5", *options, "-q"]) == 0
    labels = mitotools.decode(maps, foreground=0.4, seed_foreground=0.5, min_size_voxels=9, min_seed_voxels=4)
    assert labels.max() > 1
    assert np.array_equal(labels, mitotools.read("found.h5")[0])


def test_where_the_model_is_named_its_options_are_those_that_are_not_given(folder):
    network, metadata = load_model(folder / "model.safetensors")
    save_model(folder / "tuned.safetensors", network, replace(metadata, decode={"min_size_voxels": 50}))
    maps = np.zeros((2, 8, 8, 16))
    maps[0, 2:6, 2:6, 2:6] = maps[0, 2:5, 2:6, 10:14] = 0.95  # 64 and 48 voxels
    assert mitotools.decode(maps, "tuned.safetensors", VOXEL_SIZE).max() == 1
    assert mitotools.decode(maps, "tuned.safetensors", VOXEL_SIZE, min_size_voxels=40).max() == 2
    # 50 voxels of 5 nm are 6 of 10 nm.
    assert mitotools.decode(maps, "tuned.safetensors", (10.0, 10.0, 10.0)).max() == 2


def test_scores_are_those_of_the_command(folder, capsys):
    truth = mitotools.read("labels.h5")[0]
    prediction = np.where(truth % 3 == 0, 0, truth)
    write_volume(folder / "prediction.h5", prediction)
    assert run(["evaluate", "prediction.h5", "labels.h5", "--format", "json", "--bootstrap", "20", "-q"]) == 0
    told = json.loads(capsys.readouterr().out)
    report = json.loads(json.dumps(mitotools.evaluate(prediction, truth, bootstrap=20)))  # tuples are lists
    assert {key: told[key] for key in ("ap", "detection", "bootstrap", "voi")} == {
        key: report[key] for key in ("ap", "detection", "bootstrap", "voi")
    }


def test_measurements_are_those_of_the_command(folder, capsys):
    labels, size_nm = mitotools.read("labels.h5")
    columns = mitotools.stats(labels, size_nm, mitotools.read("raw.h5")[0])
    assert run(["stats", "labels.h5", "--raw", "raw.h5", "-q"]) == 0
    header, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert list(columns) == header
    place = header.index("surface_um2")
    assert np.allclose(columns["surface_um2"], [float(row[place]) for row in rows])


def test_a_volume_that_is_written_keeps_type_ids_and_voxel_size(folder):
    labels = np.array([[[0, 2**40]]], np.uint64)
    mitotools.write("a.zarr", labels, (30.0, 8.0, 8.0), labels=True)
    array, size_nm = mitotools.read(Path("a.zarr"))
    assert (array.dtype, array.tolist(), size_nm) == (np.uint64, [[[0, 2**40]]], (30.0, 8.0, 8.0))
    with pytest.raises(mitotools_error("TargetError"), match="exists already"):
        mitotools.write("a.zarr", labels)
    mitotools.write("a.zarr", labels, force=True)
    assert mitotools.read("a.zarr")[1] is None


def mitotools_error(name):
    from mitotools import errors

    return getattr(errors, name)


def test_a_plane_is_not_taken_for_a_volume(tmp_path):
    for call in (lambda: mitotools.predict(np.zeros((8, 8))), lambda: mitotools.write("v.tif", np.zeros(5))):
        with pytest.raises(InputError, match=r"has shape .*, expected \(z, y, x\)"):
            call()


def test_floats_that_are_no_probabilities_are_refused():
    with pytest.raises(InputError, match=r"expected probabilities from 0 to 1, found 1\.5 to 1\.5"):
        mitotools.decode(np.full((2, 4, 4, 4), 1.5))
    with pytest.raises(InputError, match="found nan to nan"):
        mitotools.decode(np.full((2, 4, 4, 4), np.nan))


def test_a_voxel_of_float16_is_foreground_where_the_command_says_so(folder):
    # 0.8037 of 255 is 204.95: not above the threshold of 204 as a whole number, and in float16 it is 205.
    maps = np.zeros((2, 8, 8, 16), np.float16)
    maps[0, 2:6, 2:6, 2:6], maps[0, 2:6, 2:6, 10:14] = 0.81, 0.8037
    mitotools.write("maps.h5", maps)
    options = ["--foreground", ".8", "--seed-foreground", ".8", "--min-size", "9", "--min-seed", "4"]
    assert run(["decode", "maps.h5", "found.h5", *options, "-q"]) == 0
    labels = mitotools.decode(maps, foreground=0.8, seed_foreground=0.8, min_size_voxels=9, min_seed_voxels=4)
    assert labels[3, 3, 3] == labels.max() == 1
    assert np.array_equal(labels, mitotools.read("found.h5")[0])


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, mitotools; print(*sorted({'numpy', 'torch', 'h5py', 'click'} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert result.stdout == "\n"


def test_a_name_that_is_not_there_is_an_attribute_error():
    assert set(mitotools.__all__) >= {"read", "write", "predict", "decode", "evaluate", "stats"}
    with pytest.raises(AttributeError, match="no attribute 'segment_all'"):
        _ = mitotools.segment_all
    with h5py.File(ROOT / "examples" / "data" / "medulla_test.h5") as file:
        assert set(file) == {"raw", "labels"}
