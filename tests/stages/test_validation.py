"""Networks that are scored while they are trained; what their maps would be is given."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from phantom import phantom
from stages.networks import SIZE, write_volume

from mitotools.errors import MitotoolsError, UsageError
from mitotools.learn.checkpoint import load_model
from mitotools.learn.metadata import ModelMetadata, read_metadata
from mitotools.learn.models import build
from mitotools.learn.targets import channel_names, targets_named
from mitotools.parameters import DecodeParameters, TrainParameters
from mitotools.presets import PRESETS
from mitotools.run.running import Running
from mitotools.segment.decoders import decoder
from mitotools.stages import train as stage
from mitotools.stages.decoding.any_size import require_fit
from mitotools.stages.train import train_model
from mitotools.stages.training import validation as module
from mitotools.stages.training.data import Labelled, labelled
from mitotools.stages.training.plan import TrainingFiles
from mitotools.stages.training.validation import DECODING, Score, Validation
from mitotools.stages.tune import Trial
from mitotools.volume.path import parse_volume_path

TINY = TrainParameters(
    filters=(4, 8), patch_voxels=(8, 16, 16), iterations=6, device="cpu", precision="float32", seed=1,
    loaders=0, recipe="none", validations=3,
)  # fmt: skip
RUNNING = Running(threads=1)


@pytest.fixture
def model(tmp_path):
    return tmp_path / "model.safetensors"


def network(channels):
    settings = {"in_channels": 1, "out_channels": len(channels), "filters": [4, 8], "isotropic": True}
    return build("residual-unet", settings), ModelMetadata("residual-unet", settings, channels, (8, 16, 16))


def predicts(monkeypatch, *maps):
    """Have each prediction find the next of these maps."""
    left = iter(maps)

    def predict(raw, target, model, parameters, running, normalisation):
        write_volume(target.file.replace(".zarr", ".h5"), next(left))
        return target

    monkeypatch.setattr(module, "predict_volume", predict)
    path = module.VolumePath
    monkeypatch.setattr(module, "VolumePath", lambda name: path(name.replace("maps.zarr", "maps.h5")))


def score(pairs, channels):
    return Validation(pairs, TINY, RUNNING).score(*network(channels))


def cubes():
    """Return labels of three cubes of 6 x 6 x 6 = 216 voxels, and their mask as a map."""
    labels = np.zeros((10, 10, 40), "uint16")
    for number, start in enumerate((2, 14, 26), start=1):
        labels[2:8, 2:8, start : start + 6] = number
    return labels, ((labels > 0) * 255).astype("uint8")


def test_a_perfect_mask_is_scored_with_one(tmp_path, monkeypatch):
    labels, mask = cubes()
    pair = write_volume(tmp_path / "raw.h5", labels), write_volume(tmp_path / "labels.h5", labels)
    predicts(monkeypatch, mask[np.newaxis])
    found = score([pair], ("mask",))
    # 128 is the only least size that is tried which lets cubes of 216 voxels through.
    decode = {"method": "cc", "foreground": 0.35, "min_size_voxels": 128}
    assert (found.ap, found.jaccard) == (1.0, 1.0)
    assert decode.items() <= found.decode.items()


def test_the_threshold_that_fits_the_maps_is_found(tmp_path, monkeypatch):
    labels, _ = cubes()
    values = np.where(labels > 0, 0.7, 0.55)  # between these two .65 is the only threshold that is tried
    pair = write_volume(tmp_path / "raw.h5", labels), write_volume(tmp_path / "labels.h5", labels)
    predicts(monkeypatch, np.uint8(values * 255)[np.newaxis])
    assert score([pair], ("mask",)).decode["foreground"] == 0.65


def test_the_score_is_the_mean_over_volumes_at_the_same_options(tmp_path, monkeypatch):
    labels, mask = cubes()
    pair = write_volume(tmp_path / "raw.h5", labels), write_volume(tmp_path / "labels.h5", labels)
    none = np.zeros_like(mask)
    predicts(monkeypatch, mask[np.newaxis], none[np.newaxis])
    found = score([pair, pair], ("mask",))
    assert (found.ap, found.jaccard) == (0.5, 0.5)


def test_the_best_options_are_best_over_all_volumes():
    def trial(foreground, ap):
        report = {"ap": {"0.50:0.95": {"all": ap}}, "foreground": {"jaccard": ap / 2}}
        return Trial(DecodeParameters(method="cc", foreground=foreground), report, ap)

    first = [trial(0.5, 1.0), trial(0.6, 0.75), trial(0.7, 0.0)]
    second = [trial(0.7, 1.0), trial(0.6, 0.5), trial(0.5, 0.0)]
    found = module._best([first, second])  # means of .5, .625 and .5
    assert (found.ap, found.jaccard, found.decode["foreground"]) == (0.625, 0.3125, 0.6)


def test_options_that_leave_no_instance_are_not_warned_of(tmp_path, monkeypatch, said):
    labels, mask = cubes()
    pair = write_volume(tmp_path / "raw.h5", labels), write_volume(tmp_path / "labels.h5", labels)
    predicts(monkeypatch, np.zeros((1, *mask.shape), "uint8"))
    assert score([pair], ("mask",)).ap == 0
    assert "no instance" not in said.text
    logging.getLogger("mitotools.stages.decoding.any_size").warning("one of another decoding")
    assert "one of another decoding" in said.text


@pytest.mark.parametrize(("channels", "method", "grid"), [(c, *v) for c, v in DECODING.items()], ids=str)
def test_what_is_tried_fits_the_maps_and_holds_what_decode_does_unasked(channels, method, grid):
    known = decoder(method).options
    assert set(grid) <= set(known)
    require_fit(DecodeParameters(method=method), len(channels))
    for name, values in grid.items():
        assert list(values) == sorted(set(values))
        if name.startswith(("foreground", "seed_contour")):
            assert min(values) <= getattr(DecodeParameters, name) <= max(values)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_validated(name):
    module.check_channels(channel_names(targets_named(PRESETS[name].targets)))


@pytest.mark.parametrize("channels", sorted(DECODING), ids=",".join)
def test_a_network_is_scored_whatever_it_learns(pair, channels):
    found = score([pair], channels)
    method = DECODING[channels][0]
    assert set(found.decode) == {"method", *decoder(method).options}
    assert found.decode["method"] == method
    assert 0 <= found.ap <= 1
    assert 0 <= found.jaccard <= 1


def test_maps_that_are_not_decoded_here_are_refused_before_any_work(pair, model):
    parameters = replace(TINY, targets=("contour", "mask"))
    missing = parse_volume_path("nowhere.h5")
    with pytest.raises(UsageError) as error:
        train_model([Labelled(missing, missing)], model, parameters, RUNNING, TrainingFiles([pair]))
    known = "mask; mask,contour; mask,contour,distance; z,y,x"
    assert str(error.value).startswith(f"--validate: scores maps of {known}, and not of contour,mask.")


def test_the_best_network_is_kept_with_its_options(pair, tmp_path, model, monkeypatch, said):
    aps = iter([0.25, 0.75, 0.5])
    seen = []

    def found(_, network, metadata):
        assert not network.training
        seen.append({name: tensor.numpy().copy() for name, tensor in network.state_dict().items()})
        ap = next(aps)
        return Score(ap, {"method": "mw", "foreground": ap}, ap / 2)

    monkeypatch.setattr(stage.Validation, "score", found)
    files = TrainingFiles(validation=[pair], log=tmp_path / "log", plot=tmp_path / "curves.html")
    train_model([Labelled(*pair)], model, TINY, RUNNING, files)
    kept, metadata = load_model(model)[0].state_dict(), read_metadata(model)
    assert [name for name, array in seen[1].items() if not np.array_equal(kept[name].numpy(), array)] == []
    assert metadata.decode == {"method": "mw", "foreground": 0.75}
    assert metadata.training["best_iteration"] == 4
    assert metadata.training["validation_ap75"] == 0.75
    assert metadata.training["iterations_done"] == 6
    assert (tmp_path / "log" / "validation.tsv").read_text().splitlines() == [
        "iteration\tap75\tjaccard\tmethod\tforeground",
        "2\t0.25\t0.125\tmw\t0.25",
        "4\t0.75\t0.375\tmw\t0.75",
        "6\t0.5\t0.25\tmw\t0.5",
    ]
    assert "iteration 4: AP-75 0.750, Jaccard 0.375" in said.messages
    assert "<td>0.375</td>" in (tmp_path / "curves.html").read_text("utf-8")
    (*_, record) = metadata.history
    assert [entry["path"] for entry in record["inputs"]][2:] == [path.file for path in pair]


def test_validating_changes_nothing_in_what_is_learnt(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(stage.Validation, "score", lambda *_: Score(0.5, {"method": "mw"}, 0.5))
    losses = []
    for name, validation in (("without", []), ("with", [pair])):
        files = TrainingFiles(validation=validation, log=tmp_path / name)
        train_model([Labelled(*pair)], tmp_path / f"{name}.safetensors", TINY, RUNNING, files)
        rows = (tmp_path / name / "training.tsv").read_text().splitlines()[1:]
        losses.append([row.split("\t")[2] for row in rows])
    assert losses[0] == losses[1]


def test_a_crop_that_is_held_out_is_scored(tmp_path, model):
    raw, labels = phantom(SIZE, 0)
    pair = write_volume(tmp_path / "raw.h5", raw), write_volume(tmp_path / "labels.h5", labels)
    data, held_out = labelled([pair], [], "0:24,0:40,0:20")
    assert [path.crop for path in held_out[0]] == ["[0:24,0:40,0:20]"] * 2
    files = TrainingFiles(validation=held_out)
    train_model(data, model, replace(TINY, validations=1, iterations=1), RUNNING, files)
    metadata = read_metadata(model)
    assert set(metadata.decode) == {"method", *decoder("mw").options}
    crops = [entry.get("crop") for entry in metadata.history[-1]["inputs"]]
    assert crops == [None, None, "[0:24,0:40,0:20]", "[0:24,0:40,0:20]"]


@pytest.mark.parametrize("crop", ["0:24,0:40", "a:b,:,:", "3", "half", "0,0:9,:,:", "0:24,0:40,0:999"])
def test_a_crop_that_is_none_is_refused(pair, model, crop):
    def train():
        data, held_out = labelled([pair], [], crop)
        train_model(data, model, TINY, RUNNING, TrainingFiles(validation=held_out))

    with pytest.raises(MitotoolsError, match=r"is not Z0:Z1,Y0:Y1,X0:X1|does not lie in"):
        train()


@pytest.mark.parametrize("crop", ["0:4,2:9,:", "[0:4,2:9,:]", " [0:4,2:9,:] "])
def test_the_crop_that_is_held_out_may_stand_in_brackets(pair, crop):
    _, held_out = labelled([pair], [], crop)
    assert [path.crop for path in held_out[0]] == ["[0:4,2:9,0:]"] * 2


def test_a_crop_is_of_whole_volumes(pair):
    cropped = replace(pair[0], ranges=parse_volume_path("v[0:9,:,:]").ranges)
    with pytest.raises(UsageError, match=r"--validate-crop: is a crop of whole volumes\. Use --validate w"):
        labelled([(cropped, pair[1])], [], "0:4,:,:")
