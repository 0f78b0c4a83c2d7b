"""Training on volumes; losses, patches and the loop are tested in tests/learn."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

import h5py
import numpy as np
import pytest
from phantom import phantom
from stages.networks import SIZE, VOXEL_SIZE, write_phantom, write_volume

from mitotools.errors import InputError, ModelError, TargetError
from mitotools.learn.checkpoint import load_model
from mitotools.learn.metadata import read_metadata
from mitotools.learn.targets import ContourShape
from mitotools.parameters import PredictParameters, TrainParameters
from mitotools.run.running import Running
from mitotools.stages import train as stage
from mitotools.stages.predict import predict_volume
from mitotools.stages.train import train_model
from mitotools.volume.path import parse_volume_path

TINY = TrainParameters(
    filters=(4, 8), patch_voxels=(16, 16, 16), iterations=2, device="cpu", precision="float32", seed=1
)
QUIET = Running(threads=2, command_line="mitotools train raw.h5 labels.h5")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("phantom"))


@pytest.fixture
def model(tmp_path):
    return tmp_path / "model.safetensors"


def trained(pair, model, running=QUIET, **change):
    train_model(*pair, model, replace(TINY, **change), running)
    return read_metadata(model)


def weights(model):
    return {name: tensor.numpy() for name, tensor in load_model(model)[0].state_dict().items()}


def differing(one, other):
    return [name for name, array in weights(one).items() if not np.array_equal(array, weights(other)[name])]


def test_a_model_says_how_it_came_to_be(pair, model):
    metadata = trained(pair, model)
    (record,) = metadata.history
    assert record["command_line"] == "mitotools train raw.h5 labels.h5"
    assert [entry["path"] for entry in record["inputs"]] == [pair[0].file, pair[1].file]
    assert [entry["dtype"] for entry in record["inputs"]] == ["uint8", "uint16"]
    assert record["parameters"]["filters"] == [4, 8]
    assert record["parameters"]["seed"] == 1
    assert metadata.training["iterations_done"] == 2
    assert 0 < metadata.training["loss"] < 100
    assert metadata.targets == ("mask", "contour")
    assert metadata.patch_voxels == (16, 16, 16)
    assert metadata.voxel_size_nm == VOXEL_SIZE


def test_what_auto_was_is_recorded(pair, model):
    parameters = trained(pair, model, device="auto", precision="auto").history[0]["parameters"]
    assert parameters["device"] in ("cpu", "cuda", "mps")
    assert parameters["precision"] in ("float32", "bfloat16")


def test_a_seed_gives_the_same_model_and_another_seed_another(pair, tmp_path):
    first, again, other = (tmp_path / f"{name}.safetensors" for name in ("first", "again", "other"))
    for path, seed in ((first, 1), (again, 1), (other, 2)):
        trained(pair, path, seed=seed)
    assert differing(first, again) == []
    assert "stem.0.weight" in differing(first, other)


@pytest.mark.parametrize(
    ("voxel_size_nm", "isotropic", "radius"),
    # A band of 32 nm is 6 voxels of 5 nm, 2 (2 + 1), or 4 of 8 nm, 2 (1 + 1).
    [((5, 5, 5), True, 2), ((30, 8, 8), False, 1), (None, False, 1)],
)
def test_kernels_and_contours_follow_the_voxels(
    tmp_path, model, monkeypatch, voxel_size_nm, isotropic, radius
):
    shapes = []
    monkeypatch.setattr(
        stage, "ContourShape", lambda *how: shapes.append(ContourShape(*how)) or ContourShape(*how)
    )
    pair = write_phantom(tmp_path, voxel_size_nm=voxel_size_nm)
    assert trained(pair, model).settings["isotropic"] is isotropic
    assert shapes == [ContourShape(radius, in_plane=not isotropic)]


def test_the_voxel_size_may_be_known_from_the_labels_alone(tmp_path, model):
    raw, labels = phantom(SIZE, 0)
    pair = write_volume(tmp_path / "raw.h5", raw, None), write_volume(tmp_path / "labels.h5", labels)
    assert trained(pair, model).voxel_size_nm == VOXEL_SIZE


@pytest.mark.parametrize(
    ("voxel_size_nm", "patch"),
    # 112 or 32 x 256 x 256, cut to multiples of 2, or of 1 x 2 x 2, in 24 x 41 x 44.
    [((5, 5, 5), (24, 40, 44)), ((30, 8, 8), (24, 40, 44))],
)
def test_a_patch_that_was_not_chosen_fits_the_volume_and_is_told(
    tmp_path, model, caplog, monkeypatch, voxel_size_nm, patch
):
    monkeypatch.setattr(logging.getLogger("mitotools"), "propagate", True)
    caplog.set_level(logging.INFO, "mitotools")
    pair = write_phantom(tmp_path, (24, 41, 44), voxel_size_nm=voxel_size_nm)
    assert trained(pair, model, patch_voxels=None, iterations=1).patch_voxels == patch
    assert "patches of 24 x 40 x 44 voxels" in caplog.text


@pytest.mark.parametrize("patch", [(16, 16, 15), (16, 0, 16), (-2, 16, 16)])
def test_a_patch_that_does_not_fit_the_network_is_refused_with_what_would(pair, model, patch):
    with pytest.raises(InputError, match="this network takes multiples of 2,2,2 voxels"):
        trained(pair, model, patch_voxels=patch)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"targets": ("mask", "halo")}, "halo: no such target; there are mask, contour"),
        ({"architecture": "resnet"}, "resnet: no such network"),
        ({"norm": "none"}, "norm none: no such norm"),
        ({"fold": (2, 2)}, "fold: expected three positive numbers"),
        ({"batch": 2}, "batch norm needs 4 patches or more"),
        ({"learning_rate": 1e30, "iterations": 9}, "the loss is"),
    ],
)
def test_a_training_that_cannot_be_is_refused_and_leaves_nothing(pair, model, change, words):
    threads = threading.active_count()
    with pytest.raises(ModelError) as error:
        trained(pair, model, **change)
    assert words in str(error.value)
    assert list(model.parent.iterdir()) == []
    assert threading.active_count() == threads


def test_an_existing_model_is_refused_before_any_work(pair, model):
    model.write_text("precious")
    with pytest.raises(TargetError, match="exists already"):
        trained(pair, model, running=replace(QUIET, status=pytest.fail))
    assert model.read_text() == "precious"
    assert trained(pair, model, running=replace(QUIET, force=True)).architecture == "residual-unet"


def test_volumes_of_different_sizes_are_refused(pair, tmp_path, model):
    labels = write_volume(tmp_path / "short.h5", phantom((24, 40, 43), 0)[1])
    with pytest.raises(InputError, match=r"short\.h5: has size"):
        trained((pair[0], labels), model)


def test_raw_and_labels_may_lie_in_one_file_and_be_cropped(tmp_path, model):
    raw, labels = phantom(SIZE, 0)
    with h5py.File(tmp_path / "cell.h5", "w") as file:
        file["raw"], file["mito"] = raw, labels
    names = (f"{tmp_path / 'cell.h5'}:{name}[0:20,4:40,:]" for name in ("raw", "mito"))
    metadata = trained([parse_volume_path(name) for name in names], model)
    assert [entry["shape"] for entry in metadata.history[0]["inputs"]] == [[20, 36, 44]] * 2


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_other_grey_values_are_learned_from_too(tmp_path, model, dtype):
    raw, labels = phantom(SIZE, 0)
    pair = write_volume(tmp_path / "raw.h5", raw.astype(dtype) * 9), write_volume(tmp_path / "l.h5", labels)
    assert trained(pair, model).training["iterations_done"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("voxel_size_nm", [(5, 5, 5), (30, 8, 8)], ids=["isotropic", "sections"])
def test_a_trained_network_finds_the_mitochondria_of_another_phantom(tmp_path, model, voxel_size_nm):
    pair = write_phantom(tmp_path, (48, 96, 96), voxel_size_nm=voxel_size_nm)
    trained(pair, model, filters=(8, 16), iterations=100)
    grey, labels = phantom((32, 64, 64), seed=1)
    raw = write_volume(tmp_path / "other.h5", grey, voxel_size_nm)
    maps = parse_volume_path(str(tmp_path / "maps.h5"))
    predict_volume(raw, maps, model, PredictParameters(), QUIET)
    with h5py.File(maps.file) as file:
        inside = file["main"][0] > 127
    shared = np.count_nonzero(inside & (labels > 0)) / np.count_nonzero(inside | (labels > 0))
    assert shared > 0.6  # .7 to .97 in some trainings; all of it inside would be .3
