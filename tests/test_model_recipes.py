"""examples/models: what the models that we give away are trained on, and how."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import ndimage

from mitotools.learn.models import build, settings_of
from mitotools.parameters import TrainParameters
from mitotools.presets import with_config

MODELS = Path(__file__).parent.parent / "examples" / "models"
MOST_BYTES = 10e6
SIZES_NM = {"lucchi": (5, 5, 5), "medulla": (10, 10, 10), "cortex": (30, 6, 6), "larva": (50, 4.6, 4.6)}
SLICES = {"lucchi": 40, "medulla": 40, "cortex": 20, "larva": 20}
FILES = {
    "lucchi": "lucchi_train",
    "medulla": "medulla_1",
    "cortex": "cortex_z010-029",
    "larva": "larva_stack1",
}


@pytest.fixture
def environment(tmp_path):
    """What a script finds: `mitotools` and `python` are those of this test."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, words in {"mitotools": "-m mitotools ", "python": ""}.items():
        (commands / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words}"$@"\n')
        (commands / name).chmod(0o755)
    path = os.pathsep.join(filter(None, (str(MODELS.parent.parent), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PATH": f"{commands}:{os.environ['PATH']}", "PYTHONPATH": path, "PHANTOM_SIDE": "48"}


def run(words, folder, environment):
    result = subprocess.run(
        list(map(str, words)), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stderr


def write_collections(folder):
    """Write stand-ins of the four volumes: the grey value of a voxel is its slice, counted along z."""
    for name, file_name in FILES.items():
        (folder / name).mkdir(parents=True)
        size = (SLICES[name], 48, 48) if name != "lucchi" else (SLICES[name], 48, 700)
        with h5py.File(folder / name / f"{file_name}.h5", "w") as file:
            for dataset in ("raw", "labels", "labels_linked", "ambiguous"):
                file[dataset] = np.zeros(size, np.uint8)
                file[dataset].attrs["voxel_size_nm"] = SIZES_NM[name]
            file["raw"][:] = np.arange(size[0], dtype=np.uint8)[:, np.newaxis, np.newaxis]
            for dataset in ("labels", "labels_linked"):
                file[dataset][2:-2, 10:30, 10:30] = 1


def read(path):
    with h5py.File(path) as file:
        return file["main"][:], file["main"].attrs["voxel_size_nm"]


def test_phantoms_are_the_same_for_a_seed_and_their_instances_are_whole_and_apart_from_membranes(
    tmp_path, environment
):
    script = MODELS / "bundled" / "phantoms.py"
    arrays = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        run([sys.executable, script, f"{name}.h5", 64, seed], tmp_path, environment)
        with h5py.File(tmp_path / f"{name}.h5") as file:
            arrays.append((file["raw"][:], file["labels"][:]))
    assert np.array_equal(arrays[0][0], arrays[1][0])
    assert np.array_equal(arrays[0][1], arrays[1][1])
    assert not np.array_equal(arrays[0][1], arrays[2][1])
    raw, labels = arrays[0]
    assert (raw.dtype, raw.shape, labels.dtype) == (np.uint8, (64, 64, 64), np.uint16)
    assert labels.max() >= 2
    for number in range(1, labels.max() + 1):
        assert ndimage.label(labels == number)[1] == 1
        assert np.count_nonzero(labels == number) >= 300
    assert raw[labels > 0].mean() < raw[labels == 0].mean()


def test_sections_of_an_ion_beam_volume_are_its_slices_and_those_of_sections_stay(tmp_path, environment):
    write_collections(tmp_path / "data")
    run([sys.executable, MODELS / "research" / "prepare.py", "data", "out"], tmp_path, environment)
    for first in (0, 3):
        raw, size_nm = read(tmp_path / "out" / f"lucchi_z{first}_raw.h5")
        assert raw.shape == (7, 30, 420)  # every 6th of 40; x 0-671 of 700; 5 to 8 nm
        assert raw[:, 0, 0].tolist() == list(range(first, 40, 6))
        assert size_nm.tolist() == pytest.approx([30, 8, 8])
    raw, _ = read(tmp_path / "out" / "lucchi_x0_raw.h5")
    assert raw.shape == (112, 25, 30)  # x is the axis across the sections, z and y are in the plane
    assert [raw[0, 0, 0], raw[0, -1, 0]] == [0, 39]
    raw, size_nm = read(tmp_path / "out" / "cortex_z0_raw.h5")
    assert raw.shape == (15, 36, 36)  # z 0-14: the rest validates
    assert read(tmp_path / "out" / "larva_z0_raw.h5")[0].shape == (14, 28, 28)
    labels, _ = read(tmp_path / "out" / "medulla_y1_labels.h5")
    ignored, _ = read(tmp_path / "out" / "medulla_y1_ignore.h5")
    assert set(np.unique(labels)) == {0, 1}
    assert labels.shape == ignored.shape
    assert not list((tmp_path / "out").glob("*.tmp*"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bundled", "research"])
def test_the_script_trains_on_all_volumes_and_leaves_out_what_is_unsure(tmp_path, environment, name):
    write_collections(tmp_path / "data")
    if name == "research":
        run([sys.executable, MODELS / name / "prepare.py", "data", "out"], tmp_path, environment)
        words, volumes = ["out"], 18
    else:
        words, volumes = ["data/medulla/medulla_1.h5", "out"], 7
    tiny = ["--iterations", 2, "--patch", "4,32,32" if name == "research" else "32,32,32"]
    run(["sh", MODELS / name / "train.sh", *words, "model.safetensors", *tiny], tmp_path, environment)
    command = subprocess.run(
        [sys.executable, "-m", "mitotools", "info", "model.safetensors", "--history"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert command.count("--also ") == volumes - 1
    ignored = [one for one, _ in pairwise(command.split()) if one in {"--ignore", "--also-ignore"}]
    assert len(ignored) == (6 if name == "research" else 4)


@pytest.mark.parametrize("name", ["bundled", "research"])
def test_the_weights_fit_where_they_go_in_half_precision(name):
    config = MODELS / name / f"{name}.toml"
    parameters = with_config(TrainParameters(), config)
    network = build(
        parameters.architecture, settings_of(parameters, len(parameters.targets), isotropic=name == "bundled")
    )
    assert 2 * sum(tensor.numel() for tensor in network.parameters()) < MOST_BYTES
    assert set(tomllib.loads(config.read_text())) <= set(vars(parameters))
