"""Training on volumes; losses, patches and the loop are tested in tests/learn."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import replace

import h5py
import numpy as np
import pytest
from phantom import phantom
from stages.networks import SIZE, VOXEL_SIZE, write_model, write_phantom, write_volume

from mitotools.errors import InputError, MitotoolsError, ModelError, TargetError, UsageError
from mitotools.learn.augment.recipes import RECIPES
from mitotools.learn.checkpoint import load_model, save_model
from mitotools.learn.metadata import read_metadata
from mitotools.learn.processes import Processes
from mitotools.parameters import PredictParameters, TrainParameters
from mitotools.run.running import Running
from mitotools.stages import train as stage
from mitotools.stages.predict import predict_volume
from mitotools.stages.train import train_model
from mitotools.stages.training.data import Labelled, labelled
from mitotools.stages.training.fine_tuning import settings_of_model
from mitotools.stages.training.plan import TrainingFiles
from mitotools.volume.path import parse_volume_path

TINY = TrainParameters(
    filters=(4, 8), patch_voxels=(8, 16, 16), iterations=2, device="cpu", precision="float32", seed=1,
    loaders=0, recipe="none",
)  # fmt: skip
QUIET = Running(threads=1, command_line="mitotools train raw.h5 labels.h5")
NO_FILES = TrainingFiles()


@pytest.fixture
def model(tmp_path):
    return tmp_path / "model.safetensors"


def trained(pair, model, running=QUIET, files=NO_FILES, data=None, **change):
    train_model(data or [Labelled(*pair)], model, replace(TINY, **change), running, files)
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
    assert record["parameters"]["patch_voxels"] == [8, 16, 16]
    assert not {"loaders", "save_minutes"} & record["parameters"].keys()
    assert metadata.training["iterations_done"] == 2
    assert 0 < metadata.training["final_loss"] < 100
    assert metadata.targets == ("mask", "contour")
    assert metadata.patch_voxels == (8, 16, 16)
    assert metadata.voxel_size_nm == VOXEL_SIZE
    assert metadata.decode == {}


def test_affinities_of_chosen_steps_are_learnt(pair, model):
    metadata = trained(pair, model, targets=("affinity",), affinity_offsets=((-1, 0, 0), (0, -9, 0)))
    assert metadata.targets == ("z", "y-9")
    assert metadata.settings["out_channels"] == 2


def test_every_volume_that_was_learnt_from_is_an_input(tmp_path, pair, model):
    (tmp_path / "other").mkdir()
    other = write_phantom(tmp_path / "other", seed=3)
    ignored = write_volume(
        tmp_path / "ignored.h5", np.eye(44, dtype="uint8")[:40] * np.ones((24, 1, 1), "u1")
    )
    data, held_out = labelled([pair, other], [None, ignored], "0:24,0:40,0:10")
    assert held_out == [(data[0].held_out, replace(pair[1], ranges=held_out[0][1].ranges))]
    record = trained(pair, model, data=data).history[-1]
    files = [path.file for path in (*pair, *other, ignored)]
    assert [entry["path"] for entry in record["inputs"]] == files
    assert record["parameters"]["held_out"] == ["[0:24,0:40,0:10]", ""]


@pytest.mark.parametrize("kind", ["held_out", "ignore"])
def test_labels_that_are_held_out_or_ignored_change_nothing(tmp_path, pair, kind):
    labels, part = phantom(SIZE, 0)[1], (slice(None), slice(None), slice(30, None))
    ignored = np.zeros(SIZE, "uint8")
    ignored[part] = 1
    how = {
        "held_out": replace(pair[0], ranges=parse_volume_path("v[0:24,0:40,30:44]").ranges),
        "ignore": write_volume(tmp_path / "ignored.h5", ignored),
    }
    models = []
    for inside in (0, 7):
        labels[part] = inside
        path = write_volume(tmp_path / f"labels{inside}.h5", labels)
        models.append(tmp_path / f"model{inside}.safetensors")
        data = [Labelled(pair[0], path, **{kind: how[kind]})]
        trained(pair, models[-1], data=data, targets=("mask",), patch_voxels=(16, 32, 32))
    assert differing(*models) == []


def test_what_auto_was_is_recorded(pair, model):
    parameters = trained(pair, model, device="auto", precision="auto").history[0]["parameters"]
    assert parameters["device"] in ("cpu", "cuda", "mps")
    assert parameters["precision"] in ("float32", "bfloat16")


def test_a_seed_gives_the_same_model_and_another_seed_another(pair, tmp_path):
    first, again, other = (tmp_path / f"{name}.safetensors" for name in ("first", "again", "other"))
    for path, seed, loaders in ((first, 1, 0), (again, 1, 1), (other, 2, 0)):
        trained(pair, path, seed=seed, loaders=loaders, recipe="2021")
    assert differing(first, again) == []
    assert "stem.0.weight" in differing(first, other)


def test_augmentations_are_added_to_a_recipe_and_recorded(pair, tmp_path):
    plain, flipped, named, listed = (tmp_path / f"{name}.safetensors" for name in ("p", "f", "n", "l"))
    assert trained(pair, plain).history[0]["parameters"]["augment"] is None
    assert trained(pair, flipped, augment=("flip:1",)).history[0]["parameters"]["augment"] == ["flip:1"]
    assert "stem.0.weight" in differing(plain, flipped)
    trained(pair, named, recipe="2020")
    trained(pair, listed, augment=tuple(f"{name}:{chance}" for name, chance, _ in RECIPES["2020"]))
    assert differing(named, listed) == []


class Half(Processes):
    """One of two processes, without the other one."""

    def around(self, network, _):
        return network

    def mean(self, value, _):
        return value

    def of_first(self, value, _):
        return value


@pytest.mark.parametrize(("processes", "sizes"), [(Processes(), 4 * [8]), (Half(0, 2), 7 * [4])])
def test_norms_take_their_statistics_from_batches_of_the_share_of_a_process(
    pair, model, monkeypatch, processes, sizes
):
    """Of the 80 patches of 10 iterations a third; in the arithmetic of the training."""
    seen = []

    def estimate(network, batches, precision):
        seen.append(([len(images) for images in batches], precision))

    monkeypatch.setattr(stage, "joined", lambda _: nullcontext(processes))
    monkeypatch.setattr(stage, "estimate_norms", estimate)
    trained(pair, model, batch=8, iterations=10, patch_voxels=(8, 8, 8), precision="bfloat16")
    assert seen == [(sizes, "bfloat16")]


@pytest.mark.parametrize(
    ("voxel_size_nm", "isotropic"), [((5, 5, 5), True), ((30, 8, 8), False), (None, False)]
)
def test_kernels_follow_the_voxels(tmp_path, model, voxel_size_nm, isotropic):
    pair = write_phantom(tmp_path, voxel_size_nm=voxel_size_nm)
    assert trained(pair, model).settings["isotropic"] is isotropic


def test_the_voxel_size_may_be_known_from_the_labels_alone(tmp_path, model):
    raw, labels = phantom(SIZE, 0)
    pair = write_volume(tmp_path / "raw.h5", raw, None), write_volume(tmp_path / "labels.h5", labels)
    assert trained(pair, model).voxel_size_nm == VOXEL_SIZE


@pytest.mark.parametrize(
    ("voxel_size_nm", "preset"), [((5, 5, 5), "112 x 112 x 112"), ((30, 8, 8), "32 x 256 x 256")]
)
def test_a_patch_that_was_not_chosen_fits_the_volume_and_is_told(
    tmp_path, model, said, voxel_size_nm, preset
):
    # Multiples of 2, or of 1 x 2 x 2, in 24 x 41 x 44.
    pair = write_phantom(tmp_path, (24, 41, 44), voxel_size_nm=voxel_size_nm)
    assert trained(pair, model, patch_voxels=None, iterations=1).patch_voxels == (24, 40, 44)
    told = f"patches of 24 x 40 x 44 voxels, not of {preset}: the volume has 24 x 41 x 44"
    assert told in said.messages


def test_a_patch_larger_than_volumes_is_mirrored_and_that_is_said_once(tmp_path, pair, model, said):
    (tmp_path / "flat").mkdir()
    flat = write_phantom(tmp_path / "flat", (12, 40, 44))
    data = [Labelled(*pair), Labelled(*flat), Labelled(*flat)]
    assert trained(pair, model, data=data, patch_voxels=(16, 16, 16)).patch_voxels == (16, 16, 16)
    (line,) = [text for text in said.messages if "larger" in text]
    assert line.startswith("patches of 16 x 16 x 16 voxels are larger than ")
    assert line.count(flat[0].file) == 1
    assert pair[0].file not in line


@pytest.mark.parametrize("patch", [(16, 16, 15), (16, 0, 16), (-2, 16, 16)])
def test_a_patch_that_does_not_fit_the_network_is_refused_with_what_would(pair, model, patch):
    with pytest.raises(InputError, match="this network takes multiples of 2,2,2 voxels"):
        trained(pair, model, patch_voxels=patch)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"targets": ("mask", "halo")}, ModelError, "halo: no such target; there are mask, contour"),
        ({"architecture": "resnet"}, ModelError, "resnet: no such network"),
        ({"norm": "none"}, ModelError, "norm none: no such norm"),
        ({"optimizer": "sdg"}, ModelError, "sdg: no such optimizer; there are sgd, adam"),
        ({"loss": "heavy"}, UsageError, "weighted, plain"),
        ({"fold": (2, 2)}, ModelError, "fold: expected three positive numbers"),
        ({"batch": 2}, ModelError, "batch norm needs 4 patches or more"),
        ({"recipe": "2022"}, UsageError, "2022"),
        ({"augment": ("flip:2",)}, UsageError, "augment flip:2: has no probability"),
        ({"learning_rate": 1e30, "iterations": 9}, ModelError, "at iteration"),
    ],
)
def test_a_training_that_cannot_be_is_refused_and_leaves_nothing(pair, model, change, kind, words):
    threads = threading.active_count()
    with pytest.raises(kind) as error:
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


@pytest.mark.parametrize("name", ["training.tsv", "validation.tsv"])
def test_the_numbers_of_another_training_are_not_replaced_unasked(pair, tmp_path, model, name):
    (tmp_path / name).write_text("precious\n")
    files = TrainingFiles(log=tmp_path)
    with pytest.raises(TargetError, match="exists already"):
        trained(pair, model, files=files)
    assert (tmp_path / name).read_text() == "precious\n"
    trained(pair, model, files=files, running=replace(QUIET, force=True))
    assert len((tmp_path / "training.tsv").read_text().splitlines()) == 3


def test_a_log_is_a_row_an_iteration(pair, tmp_path, model):
    loss = trained(pair, model, files=TrainingFiles(log=tmp_path / "deep" / "log"), iterations=3).training[
        "final_loss"
    ]
    header, *rows = (tmp_path / "deep/log/training.tsv").read_text().splitlines()
    assert header.split("\t") == ["iteration", "seconds", "loss", "learning_rate", "waited"]
    table = [dict(zip(header.split("\t"), map(float, row.split("\t")), strict=True)) for row in rows]
    assert [row["iteration"] for row in table] == [1, 2, 3]
    first, second, third = (row["loss"] for row in table)
    smooth = first + (second - first) / 20
    assert loss == pytest.approx(smooth + (third - smooth) / 20)
    assert not (tmp_path / "deep/log/validation.tsv").exists()


@pytest.mark.parametrize("suffix", [".png", ".html", ".PNG"])
def test_a_plot_is_drawn_with_the_history_of_the_model(pair, tmp_path, model, suffix):
    plot = tmp_path / f"curves{suffix}"
    metadata = trained(pair, model, files=TrainingFiles(plot=plot))
    assert plot.read_bytes()[:4] == (b"<!DO" if suffix == ".html" else b"\x89PNG")
    (record,) = metadata.history
    assert record["command_line"] in (tmp_path / f"curves{suffix}.history.json").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [model.name, plot.name, f"{plot.name}.history.json"]
    )


def test_a_plot_that_cannot_be_drawn_is_refused_before_any_work(pair, tmp_path, model):
    running = replace(QUIET, status=pytest.fail)
    with pytest.raises(UsageError, match=r"a plot is one of \.png, \.html"):
        trained(pair, model, running=running, files=TrainingFiles(plot=tmp_path / "curves.pdf"))
    (tmp_path / "old.png").write_text("precious")
    with pytest.raises(TargetError, match="exists already"):
        trained(pair, model, running=running, files=TrainingFiles(plot=tmp_path / "old.png"))
    assert [path.name for path in tmp_path.iterdir()] == ["old.png"]


def test_volumes_of_different_sizes_are_refused(pair, tmp_path, model):
    labels = write_volume(tmp_path / "short.h5", phantom((24, 40, 43), 0)[1])
    different = r"raw\.h5 and .*short\.h5: have different shapes, \(24, 40, 44\) and \(24, 40, 43\)\.$"
    with pytest.raises(InputError, match=different):
        trained((pair[0], labels), model)
    with pytest.raises(InputError, match=different):
        trained(pair, model, data=[Labelled(*pair, ignore=labels)])
    with pytest.raises(InputError, match=different):
        trained(pair, model, files=TrainingFiles(validation=[(pair[0], labels)]))


def test_of_an_image_with_more_slices_than_labels_the_crop_that_would_fit_is_said(pair, tmp_path, model):
    labels = write_volume(tmp_path / "first.h5", phantom((16, 40, 44), 0)[1])
    advice = r"raw\.h5\[0:16,:,:\] would fit\.$"
    with pytest.raises(InputError, match=advice):
        trained((pair[0], labels), model)
    with pytest.raises(InputError, match=advice):
        trained(pair, model, files=TrainingFiles(validation=[(pair[0], labels)]))


def test_labels_without_foreground_are_refused(pair, tmp_path, model):
    empty = write_volume(tmp_path / "empty.h5", np.zeros(SIZE, "uint16"))
    with pytest.raises(InputError, match=r"empty\.h5: has no foreground to learn from"):
        trained((pair[0], empty), model)
    with pytest.raises(InputError, match=r"empty\.h5: has no instance to be scored on"):
        trained(pair, model, files=TrainingFiles(validation=[(pair[0], empty)]))
    everything = write_volume(tmp_path / "all.h5", np.ones(SIZE, "uint8"))
    with pytest.raises(InputError, match="outside what is held out or ignored"):
        trained(pair, model, data=[Labelled(*pair, ignore=everything)])


def test_raw_and_labels_may_lie_in_one_file_and_be_cropped(tmp_path, model):
    raw, labels = phantom(SIZE, 0)
    with h5py.File(tmp_path / "cell.h5", "w") as file:
        file["raw"], file["mito"] = raw, labels
    names = (f"{tmp_path / 'cell.h5'}:{name}[0:20,4:40,:]" for name in ("raw", "mito"))
    record = trained([parse_volume_path(name) for name in names], model).history[0]
    assert [entry["shape"] for entry in record["inputs"]] == [[20, 36, 44]] * 2
    assert [entry["dataset"] for entry in record["inputs"]] == ["raw", "mito"]
    assert [entry["crop"] for entry in record["inputs"]] == ["[0:20,4:40,0:]"] * 2


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_other_grey_values_are_learned_from_too(tmp_path, model, dtype):
    raw, labels = phantom(SIZE, 0)
    pair = write_volume(tmp_path / "raw.h5", raw.astype(dtype) * 9), write_volume(tmp_path / "l.h5", labels)
    assert trained(pair, model).training["iterations_done"] == 2


def test_a_grey_value_that_is_none_stops_the_training_and_leaves_nothing(tmp_path, model):
    raw, labels = phantom(SIZE, 0)
    raw = raw.astype("float32")
    raw[:, 20] = np.nan
    (tmp_path / "in").mkdir()
    pair = write_volume(tmp_path / "in" / "raw.h5", raw), write_volume(tmp_path / "in" / "l.h5", labels)
    with pytest.raises(MitotoolsError, match=r"raw\.h5"):
        trained(pair, model, patch_voxels=(16, 40, 40), iterations=99)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_model_may_be_trained_on(pair, tmp_path, model):
    old = write_model(tmp_path / "old.safetensors", seed=5)
    metadata = trained(pair, model, files=TrainingFiles(init=old), learning_rate=0.0, ema_decay=0.0)
    kinds = ("weight", "bias")  # the statistics of norms follow the new volume
    assert [name for name in differing(old, model) if name.endswith(kinds)] == []
    assert [entry["path"] for entry in metadata.history[-1]["inputs"]][-1] == str(old)
    assert metadata.history[:-1] == read_metadata(old).history


def test_a_model_that_is_trained_on_keeps_its_options_of_decode(pair, tmp_path, model):
    old = write_model(tmp_path / "old.safetensors", voxel_size_nm=(10.0, 10.0, 10.0))
    network, metadata = load_model(old)
    save_model(old, network, replace(metadata, decode={"foreground": 0.4, "min_size_voxels": 100}))
    # 100 voxels of 10 nm are 800 of 5 nm.
    files = TrainingFiles(init=old)
    assert trained(pair, model, files=files).decode == {"foreground": 0.4, "min_size_voxels": 800}
    # Other channels have other options.
    assert trained(pair, tmp_path / "other.safetensors", files=files, targets=("mask",)).decode == {}


def test_without_a_voxel_size_volumes_are_taken_for_sections_and_it_is_said(tmp_path, model, said):
    pair = write_phantom(tmp_path, voxel_size_nm=None)
    assert not trained(pair, model, iterations=1).settings["isotropic"]
    (line,) = [text for text in said.messages if "voxel size" in text]
    assert "raw.h5 does not say its voxel size: taken for sections" in line


def test_without_a_voxel_size_a_volume_is_taken_to_be_like_those_of_the_old_model(tmp_path, model, said):
    old = write_model(tmp_path / "old.safetensors", voxel_size_nm=(10.0, 10.0, 10.0))
    pair = write_phantom(tmp_path, voxel_size_nm=None)
    metadata = trained(pair, model, iterations=1, files=TrainingFiles(init=old))
    assert metadata.voxel_size_nm == (10.0, 10.0, 10.0)
    (line,) = [text for text in said.messages if "voxel size" in text]
    assert f"raw.h5 does not say its voxel size: taken to be that of {old}, 10 x 10 x 10 nm" in line


def test_raw_and_labels_that_were_exchanged_are_warned_of(tmp_path, model, said):
    raw, labels = write_phantom(tmp_path)
    trained((raw, labels), model, iterations=1)
    assert not [text for text in said.messages if "looks like an image" in text]
    trained((labels, raw), tmp_path / "other.safetensors", iterations=1)
    assert any("raw.h5 looks like an image, not like labels" in text for text in said.messages)


def test_a_model_with_other_channels_may_be_trained_on_but_for_its_end(pair, tmp_path, model, said):
    old = write_model(tmp_path / "old.safetensors", seed=5)
    change = {"learning_rate": 0.0, "ema_decay": 0.0, "targets": ("affinity",)}
    assert trained(pair, model, files=TrainingFiles(init=old), **change).targets == ("z", "y", "x")
    was, now = weights(old), weights(model)
    new = [name for name in was if was[name].shape != now[name].shape]
    assert 0 < len(new) <= 2
    assert all(
        np.array_equal(was[name], now[name]) for name in was if name.endswith("weight") and name not in new
    )
    (line,) = [text for text in said.messages if "puts out" in text]
    assert f"{len(new)} are new to put out z,y,x" in line


def test_a_model_that_is_trained_on_brings_its_network_along(pair, tmp_path, model):
    first = tmp_path / "first.safetensors"
    trained(pair, first, norm="group", filters=(4, 6), batch=1)
    # A batch of 1 is enough for its norms.
    parameters = replace(settings_of_model(first), patch_voxels=(8, 16, 16), batch=1, iterations=1)
    train_model([Labelled(*pair)], model, parameters, QUIET, TrainingFiles(init=first))
    metadata = read_metadata(model)
    assert metadata.settings == read_metadata(first).settings
    parameters = metadata.history[-1]["parameters"]
    assert (parameters["norm"], parameters["filters"]) == ("group", [4, 6])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"filters": (4, 9)}, "--set filters=4,9: filters is 4,8 in the network of "),
        ({"norm": "group"}, "--set norm=group: norm is batch in the network of "),
        ({"fold": (1, 2, 2)}, "--set fold=1,2,2: fold is 1,1,1 in the network of "),
        ({"architecture": "two-decoder-unet"}, "architecture is residual-unet in the network of "),
    ],
)
def test_another_network_than_that_of_the_model_to_train_on_is_refused(pair, tmp_path, model, change, words):
    old = write_model(tmp_path / "old.safetensors")
    with pytest.raises(UsageError) as error:
        trained(pair, model, files=TrainingFiles(init=old), **change)
    assert words in str(error.value)
    assert "Leave it out, or leave --init out" in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("voxel_size_nm", [(5, 5, 5), (30, 8, 8)], ids=["isotropic", "sections"])
def test_a_trained_network_finds_the_mitochondria_of_another_phantom(tmp_path, model, voxel_size_nm):
    pair = write_phantom(tmp_path, (48, 96, 96), voxel_size_nm=voxel_size_nm)
    trained(pair, model, filters=(8, 16), patch_voxels=(16, 16, 16), iterations=100)
    grey, labels = phantom((32, 64, 64), seed=1)
    raw = write_volume(tmp_path / "other.h5", grey, voxel_size_nm)
    maps = parse_volume_path(str(tmp_path / "maps.h5"))
    predict_volume(raw, maps, model, PredictParameters(), QUIET)
    with h5py.File(maps.file) as file:
        inside = file["main"][0] > 127
    shared = np.count_nonzero(inside & (labels > 0)) / np.count_nonzero(inside | (labels > 0))
    assert shared > 0.6  # .7 to .97 in some trainings; all of it inside would be .3
