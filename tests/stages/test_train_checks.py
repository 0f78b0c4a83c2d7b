"""What would stop a training, or spoil it, is found before it begins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from phantom import phantom
from stages.networks import SIZE, write_model, write_phantom, write_volume

from mitotools.errors import InputError
from mitotools.learn.models import build
from mitotools.parameters import TrainParameters
from mitotools.run.running import Running
from mitotools.stages.train import train_model
from mitotools.stages.training.checks import check_norm, warn_of_other_voxels
from mitotools.stages.training.data import Labelled, labelled
from mitotools.stages.training.plan import TrainingFiles

TINY = TrainParameters(
    filters=(4, 8), patch_voxels=(8, 16, 16), iterations=1, device="cpu", precision="float32", seed=1,
    loaders=0, recipe="none",
)  # fmt: skip
QUIET = Running(threads=1, status=pytest.fail)


def refused(tmp_path, data, files, **change):
    """Return why a training is refused, which has not begun."""
    with pytest.raises(InputError) as error:
        train_model(data, tmp_path / "model.safetensors", replace(TINY, **change), QUIET, files)
    assert not list(tmp_path.glob("model*"))
    return str(error.value)


def constant(array):
    return np.full_like(array, 300)


def with_nan(array):
    changed = array.astype("float32")
    changed[0, 0, 0] = np.nan
    return changed


@pytest.mark.parametrize(
    ("spoiled", "dtype", "words"),
    [
        (with_nan, "float32", "other.h5: holds NaN or infinite values in "),
        (constant, "uint16", "other.h5: has the same value everywhere it was looked at"),
    ],
)
def test_grey_values_that_cannot_be_scored_on_are_refused(pair, tmp_path, spoiled, dtype, words):
    raw = write_volume(tmp_path / "other.h5", spoiled(phantom(SIZE, 0)[0].astype(dtype)))
    assert words in refused(tmp_path, [Labelled(*pair)], TrainingFiles([(raw, pair[1])]))


def test_a_slice_is_nothing_to_score_a_network_of_several_on(pair, tmp_path):
    data, held_out = labelled([pair], [], "12:13,:,:")
    why = refused(tmp_path, data, TrainingFiles(held_out))
    assert "raw.h5[12:13,0:,0:]: has one slice, and the network sees 8 at once" in why


def test_affinities_are_not_scored_between_other_voxels(pair, tmp_path):
    other = write_phantom(tmp_path, voxel_size_nm=(5.0, 10.0, 10.0))
    why = refused(tmp_path, [Labelled(*pair)], TrainingFiles([other]), targets=("affinity",))
    assert "has voxels of 5 x 10 x 10 nm, the model's affinities are between voxels of 5 x 5 x 5 nm" in why
    assert why.endswith("Use convert --scale, or predict --rescale none.")


@pytest.mark.parametrize("which", ["learnt from", "scored on"])
def test_negative_ids_are_refused(pair, tmp_path, which):
    ids = phantom(SIZE, 0)[1].astype("int32")
    ids[-1, -1, -1] = -1
    negative = pair[0], write_volume(tmp_path / "ids.h5", ids)
    learnt, scored = (negative, pair) if which == "learnt from" else (pair, negative)
    why = refused(tmp_path, [Labelled(*learnt)], TrainingFiles([scored]))
    assert "ids.h5: holds the negative id -1. Ids are 0 and above" in why
    assert ("--ignore" in why) is (which == "learnt from")


def test_a_crop_that_is_held_out_is_seen_as_the_rest_is(tmp_path, said):
    raw, labels = phantom(SIZE, 0)
    brighter = raw.astype("uint16") + 1000 * (np.arange(SIZE[2]) >= 20).astype("uint16")
    pair = write_volume(tmp_path / "raw.h5", brighter), write_volume(tmp_path / "labels.h5", labels)
    data, held_out = labelled([pair], [], "0:24,0:40,0:20")
    parameters = replace(TINY, validations=1)
    files = TrainingFiles(held_out)
    train_model(data, tmp_path / "model.safetensors", parameters, Running(threads=1), files)
    (line,) = [text for text in said.messages if "are stretched" in text]
    low, high = np.percentile(brighter, (0.5, 99.5))
    assert f"grey values from {low:g} to {high:g} " in line
    assert high > 1000 > raw.max()


def network(filters, norm):
    settings = {"filters": filters, "out_channels": 1, "isotropic": True, "norm": norm}
    return build("residual-unet", settings)


@pytest.mark.parametrize(
    ("filters", "norm", "batch", "is_refused"),
    [
        ((8, 16, 16), "instance", 2, True),
        ((8, 8, 8), "group", 1, True),
        ((8, 8, 8), "group", 2, False),
        ((8, 16, 8), "group", 1, True),
        ((8, 8, 16), "group", 1, True),
        ((8, 16, 16), "group", 1, False),  # groups of two channels
        ((8, 8, 8), "batch", 4, False),
    ],
)
def test_a_patch_of_which_a_norm_makes_nothing_is_refused(filters, norm, batch, is_refused):
    parameters = replace(TINY, filters=filters, norm=norm, batch=batch)
    one = network(filters, norm)  # which halves twice
    images = torch.zeros(batch, 1, 4, 4, 4)
    if is_refused:
        with pytest.raises(InputError) as error:
            check_norm((4, 4, 4), one, parameters, 1)
        why = f"leave the coarsest level one voxel, of which {norm} norm makes nothing"
        assert (
            str(error.value) == f"patches of 4 x 4 x 4 voxels: {why}. Use a larger --patch, or fewer filters."
        )
        with pytest.raises(ValueError, match="Expected more than 1"):
            one(images)
    else:
        check_norm((4, 4, 4), one, parameters, 1)
        one(images)
    check_norm((4, 4, 8), one, parameters, 1)
    one(torch.zeros(batch, 1, 4, 4, 8))


def test_each_of_several_processes_has_a_part_of_the_batch():
    parameters = replace(TINY, filters=(8, 8, 8), norm="group", batch=2)
    with pytest.raises(InputError, match="of which group norm makes nothing"):
        check_norm((4, 4, 4), network((8, 8, 8), "group"), parameters, 2)


def test_voxels_unlike_those_of_the_model_to_train_on_are_told(pair, tmp_path, said):
    old = write_model(tmp_path / "old.safetensors", voxel_size_nm=(10.0, 10.0, 10.0))
    files = TrainingFiles(init=old)
    train_model([Labelled(*pair)], tmp_path / "model.safetensors", TINY, Running(threads=1), files)
    (line,) = [text for text in said.messages if "resamples nothing" in text]
    assert f"raw.h5 has voxels of 5 x 5 x 5 nm, {old} of 10 x 10 x 10 nm" in line
    assert "'mitotools convert --scale 0.5,0.5,0.5' makes them alike" in line


def test_voxels_unlike_those_of_the_first_volume_are_told_once_a_volume(pair, tmp_path, said):
    (tmp_path / "other").mkdir()
    other = write_phantom(tmp_path / "other", voxel_size_nm=(30.0, 8.0, 8.0))
    data = [Labelled(*pair), Labelled(*other), Labelled(*other), Labelled(*pair)]
    train_model(data, tmp_path / "model.safetensors", TINY, Running(threads=1))
    (line,) = [text for text in said.messages if "resamples nothing" in text]
    assert f"{other[0].file} has voxels of 30 x 8 x 8 nm, {pair[0].file} of 5 x 5 x 5 nm" in line
    assert "--scale 6,1.6,1.6'" in line


@pytest.mark.parametrize(
    ("size_nm", "like_nm", "patch"),
    [
        ((5.0, 5.0, 6.0), (5.0, 5.0, 5.0), (8, 8, 8)),
        (None, (5.0, 5.0, 5.0), (8, 8, 8)),
        ((30.0, 8.0, 8.0), None, (8, 8, 8)),
        ((30.0, 8.0, 8.0), (8.0, 8.0, 8.0), (1, 8, 8)),  # of a network that sees one slice
    ],
)
def test_voxels_that_are_alike_or_unknown_are_not_told(said, size_nm, like_nm, patch):
    warn_of_other_voxels({"a.h5": size_nm}, "b.h5", like_nm, patch)
    assert said.messages == []
