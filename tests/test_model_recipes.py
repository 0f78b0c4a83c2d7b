"""examples/models: what the models that we give away are trained on, and how."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import ndimage

from mitotools.learn.metadata import read_metadata
from mitotools.learn.models import build, settings_of
from mitotools.parameters import TrainParameters
from mitotools.presets import PRESETS, with_config

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
def environment(commands):
    """What a script finds: `mitotools` and `python` are those of this test."""
    return commands.environment | {"PHANTOM_SIDE": "48"}


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


@pytest.fixture
def made(tmp_path, environment):
    """Return a function that gives the folder of what a script of the research model makes of stand-ins."""

    def by(script, source="data"):
        write_collections(tmp_path / "data")
        run([sys.executable, MODELS / "research" / script, source, "out"], tmp_path, environment)
        return tmp_path / "out"

    return by


@pytest.fixture
def prepared(made):
    return made("prepare.py")


def test_the_research_model_learns_from_voxels_of_ten_nanometres_of_the_train_parts_alone(prepared):
    sizes = {
        "lucchi_z": (20, 24, 336),  # every second slice of 40; x 0-671 of 700
        "lucchi_x": (336, 20, 24),
        "medulla_y": (48, 40, 48),
        "cortex_z": (45, 29, 29),  # z 0-14, of 30 nm; the rest validates
        "larva_z": (70, 22, 22),
    }
    for name, size in sizes.items():
        raw, size_nm = read(prepared / f"{name}_raw.h5")
        labels, _ = read(prepared / f"{name}_labels.h5")
        assert raw.shape == labels.shape == size
        assert size_nm.tolist() == pytest.approx([10, 10, 10], rel=0.05)
        assert set(np.unique(labels)) == {0, 1}
    raw, _ = read(prepared / "lucchi_z_raw.h5")
    assert raw[:, 0, 0].tolist() == list(range(1, 40, 2))  # picked: no slice is a mean of two
    assert not list(prepared.glob("*.tmp*"))


def test_cut_volumes_show_a_slice_in_three_and_interpolate_the_others_under_the_labels_of_all(prepared):
    raw, _ = read(prepared / "medulla_z-cut_raw.h5")
    assert raw.shape == (39, 48, 48)  # thirteen slices stand for three each
    assert raw[1::3, 0, 0].tolist() == list(range(1, 39, 3))
    assert raw[4:8, 0, 0].tolist() == [4, 5, 6, 7]
    whole, _ = read(prepared / "medulla_z_labels.h5")
    labels, _ = read(prepared / "medulla_z-cut_labels.h5")
    assert np.array_equal(labels, whole[:39])
    assert read(prepared / "medulla_z-cut_ignore.h5")[0].shape == labels.shape
    assert not (prepared / "cortex_z-cut_raw.h5").exists()


@pytest.fixture
def sections(made):
    return made("sections.py")


def test_the_model_of_sections_learns_from_sections_and_from_slices_that_lie_as_far_apart(sections):
    volumes = {
        "cortex_z": ((15, 48, 48), (30, 6, 6)),  # z 0-14, the rest validates
        "larva_z": ((14, 37, 37), (50, 6, 6)),  # no slice between two others
        "lucchi_z": ((7, 40, 560), (30, 6, 6)),  # slices 3, 9, ... of 40 that are 5 nm apart; x 0-671
        "lucchi_x": ((112, 33, 40), (30, 6, 6)),
        "medulla_y": ((16, 67, 80), (30, 6, 6)),
    }
    for name, (size, nm) in volumes.items():
        raw, size_nm = read(sections / f"{name}_raw.h5")
        assert raw.shape == read(sections / f"{name}_labels.h5")[0].shape == size
        assert size_nm.tolist() == pytest.approx(nm, rel=0.02)
    raw, _ = read(sections / "lucchi_z_raw.h5")
    assert raw[:, 0, 0].tolist() == list(range(3, 40, 6))
    assert read(sections / "medulla_x_ignore.h5")[0].shape == (16, 67, 80)


@pytest.mark.slow
def test_the_model_of_sections_is_trained_on_all_of_them(sections, environment):
    words = [sections, "model.safetensors", "--iterations", 1, "--patch", "4,32,32"]
    run(["sh", MODELS / "research" / "sections.sh", *words], sections.parent, environment)
    history = read_metadata(sections.parent / "model.safetensors").history
    inputs = {Path(one["path"]).name for one in history[-1]["inputs"]}
    assert inputs == {path.name for path in sections.iterdir()} | {"model-first.safetensors"}


@pytest.fixture
def hippocampus(made):
    return made("hippocampus.py", "data/lucchi/lucchi_train.h5")


def test_every_slice_of_the_hippocampus_is_in_one_of_two_volumes_along_each_axis(hippocampus):
    raws = [read(hippocampus / f"z{first}_raw.h5")[0] for first in (0, 1)]
    assert [raw.shape for raw in raws] == [(20, 24, 336), (19, 24, 336)]  # of 40 slices; x 0-671 of 700
    slices = [raw[:, 0, 0].tolist() for raw in raws]
    assert slices == [list(range(1, 40, 2)), list(range(2, 39, 2))]
    for name, size in {"y0": (24, 20, 336), "x1": (335, 20, 24)}.items():
        labels, size_nm = read(hippocampus / f"{name}_labels.h5")
        assert labels.shape == size
        assert size_nm.tolist() == pytest.approx([10, 10, 10], rel=0.05)
        assert set(np.unique(labels)) == {0, 1}


@pytest.mark.slow
def test_the_research_model_is_trained_further_on_all_of_the_hippocampus(hippocampus, environment):
    script = MODELS / "research" / "hippocampus.sh"
    words = [hippocampus, "model.safetensors", "--iterations", 1, "--patch", "32,32,32"]
    run(["sh", script, *words], hippocampus.parent, environment)
    history = read_metadata(hippocampus.parent / "model.safetensors").history
    inputs = {Path(one["path"]).name for one in history[-1]["inputs"]}
    volumes = {f"{axis}{first}_{kind}.h5" for axis in "zyx" for first in (0, 1) for kind in ("raw", "labels")}
    assert inputs == volumes | {"research.safetensors"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bundled", "research"])
def test_the_script_trains_on_all_volumes_and_leaves_out_what_is_unsure(tmp_path, environment, name):
    write_collections(tmp_path / "data")
    if name == "research":
        run([sys.executable, MODELS / name / "prepare.py", "data", "out"], tmp_path, environment)
        words, volumes = ["out"], 18
    else:
        words, volumes = ["data/medulla/medulla_1.h5", "out"], 7
    tiny = ["--iterations", 2, "--patch", "32,32,32"]
    run(["sh", MODELS / name / "train.sh", *words, "model.safetensors", *tiny], tmp_path, environment)
    history = subprocess.run(
        [sys.executable, "-m", "mitotools", "info", "model.safetensors", "--history"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    command = history.splitlines()[-1]  # before it comes that of the model to begin with
    assert command.count("--also ") == volumes - 1
    ignored = [one for one, _ in pairwise(command.split()) if one in {"--ignore", "--also-ignore"}]
    assert len(ignored) == 4


@pytest.mark.parametrize("name", ["bundled/bundled", "research/sections"])
def test_the_weights_fit_where_they_go_in_half_precision(name):
    config = MODELS / f"{name}.toml"
    is_sections = name.endswith("sections")
    parameters = with_config(PRESETS["sections"] if is_sections else TrainParameters(), config)
    settings = settings_of(parameters, len(parameters.targets), isotropic=not is_sections)
    network = build(parameters.architecture, settings)
    assert 2 * sum(tensor.numel() for tensor in network.parameters()) < MOST_BYTES
    assert set(tomllib.loads(config.read_text())) <= set(vars(parameters))
