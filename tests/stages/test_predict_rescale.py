"""Volumes whose voxels are unlike those that the model was trained on (5 x 5 x 5 nm here)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from stages.networks import write_model, write_phantom, write_volume

from mitotools.errors import InputError
from mitotools.learn.checkpoint import load_model, save_model
from mitotools.learn.infer import WindowPredictor
from mitotools.parameters import PredictParameters
from mitotools.run.running import Running
from mitotools.segment.images.resample import resample_image
from mitotools.stages.predict import predict_volume
from mitotools.stages.prediction.picking import Between, Picked
from mitotools.stages.prediction.rescaling import factors
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.path import parse_volume_path

HOW = PredictParameters(precision="float32", backend="torch", dtype="float32")


CUBES, SECTIONS = (5.0, 5.0, 5.0), (30.0, 8.0, 8.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "model.safetensors")


def predicted(raw, target, model, **change):
    spec = predict_volume(raw, parse_volume_path(str(target)), model, replace(HOW, **change), Running(2))
    with open_volume(parse_volume_path(str(target))) as volume:
        return volume.read(Box.whole(volume.spec.size)), spec


@pytest.mark.parametrize(
    ("trained_nm", "size_nm", "expected"),
    [
        (CUBES, (5, 5, 5), (1, 1, 1)),
        (CUBES, (4, 6.25, 5), (1, 1, 1)),  # just alike: 1.25 times
        (CUBES, (10, 5, 5), (2, 1, 1)),
        (CUBES, (2, 5, 5), (0.4, 1, 1)),
        (CUBES, (5, 10, 10), (1, 2, 2)),
        (CUBES, (5, 3, 5), (1, 0.6, 1)),
        (CUBES, (30, 8, 8), (6, 1.6, 1.6)),
        (SECTIONS, (60, 10, 6.4), (1, 1, 1)),  # just alike: twice in z, 1.25 times in the plane
        (SECTIONS, (63, 8, 8), (2.1, 1, 1)),
        (SECTIONS, (8, 8, 8), (8 / 30, 1, 1)),
        (SECTIONS, (40, 4, 4), (1, 0.5, 0.5)),
    ],
)
def test_axes_are_resampled_whose_voxels_differ_much_from_the_trainings(trained_nm, size_nm, expected):
    np.testing.assert_allclose(factors(size_nm, trained_nm, sees_one_slice=False), expected)


def test_a_network_that_sees_one_slice_is_shown_every_slice():
    assert factors((8, 8, 8), SECTIONS, sees_one_slice=True) == (1, 1, 1)
    assert factors((8, 4, 4), SECTIONS, sees_one_slice=True) == (1, 0.5, 0.5)


def test_of_too_many_slices_the_middle_ones_are_picked(tmp_path):
    # Of slices 0..11, two stand for six each, and their middles are 3 and 9.
    array = np.arange(12, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(5, 2)
    with open_volume(write_volume(tmp_path / "raw.h5", array, (5, 5, 5))) as volume:
        picked = Picked.of(volume, 2)
        assert picked.spec.shape == (2, 4, 5)
        assert picked.spec.voxel_size_nm == (30, 5, 5)
        assert picked.read(Box((0, 1, 0), (2, 3, 5))).tolist() == [[[3] * 5] * 2, [[9] * 5] * 2]
        assert picked.read(Box((1, 0, 0), (2, 4, 5)))[0, 0, 0] == 9


def between(z, picked):
    how = Between.of(z, picked)
    values = np.array(picked, np.float32)[np.newaxis, how.before : how.after + 1, np.newaxis, np.newaxis]
    return how.of_slices(values, how.before).item()


def test_what_lies_between_slices_that_were_picked_is_a_mean_of_both_by_distance():
    # A map that says where its slice lies says so between slices too, and stays at the ends what it is there.
    assert [between(z, [1, 3, 6]) for z in range(8)] == [1, 1, 2, 3, pytest.approx(4), pytest.approx(5), 6, 6]
    assert [between(z, [4]) for z in (3, 4, 5)] == [4, 4, 4]


@pytest.mark.parametrize("size_nm", [(2.5, 5, 5), (1.25, 10, 2.5), (5 / 3, 2.5, 2.5)], ids=str)
def test_maps_lie_where_the_slices_lay_that_were_picked(tmp_path, model, monkeypatch, size_nm):
    # A network that gives back the grey values, which rise by 8 a slice.
    monkeypatch.setattr(WindowPredictor, "__call__", lambda _, windows: windows[np.newaxis] / np.float32(256))
    rise = np.arange(24, dtype=np.uint8)[:, None, None].repeat(12, 1).repeat(12, 2) * 8
    raw = write_volume(tmp_path / "raw.h5", rise, size_nm)
    maps, _ = predicted(raw, tmp_path / "maps.h5", model)
    step = round(5 / size_nm[0])
    ends = slice(step, -step)  # outside the slices that were picked, nothing rises
    np.testing.assert_allclose(maps[0, ends] * 256, rise[ends], atol=1e-3)


def test_maps_are_those_of_the_resampled_volume_on_the_volumes_own_grid(tmp_path, model, said):
    raw, _ = write_phantom(tmp_path, (10, 30, 24), voxel_size_nm=(5, 10, 10))
    maps, spec = predicted(raw, tmp_path / "maps.h5", model)
    with open_volume(raw) as volume:
        grey = volume.read(Box.whole((10, 30, 24)))
    finer = resample_image(grey, (0, 0, 0), (10, 60, 48), (10, 30, 24), (10, 60, 48))
    by_hand, _ = predicted(write_volume(tmp_path / "finer.h5", finer), tmp_path / "finer_maps.h5", model)
    expected = resample_image(by_hand, (0, 0, 0), (10, 30, 24), (10, 60, 48), (10, 30, 24))
    np.testing.assert_allclose(maps, expected, atol=1e-6)
    assert spec.voxel_size_nm == (5, 10, 10)
    assert spec.history[-1]["parameters"]["resampled_voxels"] == (10, 60, 48)
    assert "trained on voxels of 5 x 5 x 5 nm, " in said.text
    assert "has 5 x 10 x 10 nm: it is resampled to 10 x 60 x 48 voxels" in said.text


def test_with_rescale_none_the_voxels_are_left_alone_and_warned_of(tmp_path, model, said):
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    raw, _ = write_phantom(tmp_path, (8, 16, 16), voxel_size_nm=(5, 10, 10))
    other, _ = write_phantom(other_folder, (8, 16, 16), voxel_size_nm=(5, 5, 5))
    maps, spec = predicted(raw, tmp_path / "maps.h5", model, rescale="none")
    assert "resampled_voxels" not in spec.history[-1]["parameters"]
    assert np.array_equal(maps, predicted(other, tmp_path / "other.h5", model)[0])
    assert "the model was trained on voxels of 5 x 5 x 5 nm, " in said.text


def test_an_unknown_voxel_size_is_taken_to_be_that_of_the_training_and_this_is_said(tmp_path, model, said):
    raw, _ = write_phantom(tmp_path, (8, 16, 16), voxel_size_nm=None)
    maps, spec = predicted(raw, tmp_path / "maps.h5", model)
    assert maps.shape == (2, 8, 16, 16)
    assert spec.voxel_size_nm is None
    assert "does not say its voxel size: taken to be that of the training, 5 x 5 x 5 nm" in said.text


def test_sections_that_meet_a_model_of_cubic_voxels_are_warned_of(tmp_path, model, said):
    raw, _ = write_phantom(tmp_path, (4, 16, 16), voxel_size_nm=(30, 5, 5))
    predicted(raw, tmp_path / "maps.h5", model)
    assert "raw.h5 has sections, the model is one of cubic voxels: look at what it finds" in said.text


def test_voxels_that_are_alike_are_not_mentioned(tmp_path, model, said):
    raw, _ = write_phantom(tmp_path, (8, 16, 16), voxel_size_nm=(5, 5, 6))
    predicted(raw, tmp_path / "maps.h5", model)
    assert "voxel" not in said.text


def test_affinities_between_other_voxels_are_refused(tmp_path, model):
    network, metadata = load_model(model)
    affine = tmp_path / "affine.safetensors"
    save_model(affine, network, replace(metadata, targets=("z", "y")))
    raw, _ = write_phantom(tmp_path, (8, 16, 16), voxel_size_nm=(5, 10, 10))
    with pytest.raises(
        InputError, match=r"affinities are between voxels of 5 x 5 x 5 nm\. Use convert --scale"
    ):
        predicted(raw, tmp_path / "maps.h5", affine)
    assert predicted(raw, tmp_path / "maps.h5", affine, rescale="none")[0].shape == (2, 8, 16, 16)


@pytest.mark.parametrize(
    ("size_nm", "least"),
    [
        ((5, 5, 5), {"min_size_voxels": 100, "min_seed_voxels": 3}),
        ((5, 10, 10), {"min_size_voxels": 25, "min_seed_voxels": 1}),
        ((2.5, 2.5, 2.5), {"min_size_voxels": 800, "min_seed_voxels": 24}),
        ((30, 8, 8), {"min_size_voxels": 7, "min_seed_voxels": 1}),  # 6.5, .2
        (None, {"min_size_voxels": 100, "min_seed_voxels": 3}),
    ],
    ids=str,
)
def test_options_of_the_model_that_count_voxels_mean_the_same_volume_in_other_voxels(
    tmp_path, model, size_nm, least
):
    network, metadata = load_model(model)
    tuned = {"method": "mw", "foreground": 0.5, "min_size_voxels": 100, "min_seed_voxels": 3}
    save_model(tmp_path / "tuned.safetensors", network, replace(metadata, decode=tuned))
    raw, _ = write_phantom(tmp_path, (8, 16, 16), voxel_size_nm=size_nm)
    _, spec = predicted(raw, tmp_path / "maps.h5", tmp_path / "tuned.safetensors")
    assert spec.history[-1]["parameters"]["decode"] == tuned | least


@pytest.mark.parametrize(
    "value", [-5, 10**400, True, "many", 7.5, None, [8]], ids=lambda value: str(value)[:9]
)
def test_an_option_that_counts_nothing_is_left_to_decode_to_refuse(tmp_path, model, value):
    _, metadata = load_model(model)
    odd = replace(metadata, decode={"min_size_voxels": value})
    assert odd.decode_at((1, 1, 1)) == {"min_size_voxels": value}


def test_no_least_size_stays_none(model):
    _, metadata = load_model(model)
    assert replace(metadata, decode={"min_size_voxels": 0}).decode_at((1, 1, 1)) == {"min_size_voxels": 0}
