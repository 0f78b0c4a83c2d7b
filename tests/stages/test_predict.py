"""Maps of volumes and of plans; the windows themselves are tested in tests/learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from stages.networks import SIZE, VOXEL_SIZE, write_model, write_phantom, write_volume

from mitotools.errors import InputError, ModelError, TargetError, UsageError
from mitotools.learn import normalise
from mitotools.learn.checkpoint import load_model, save_model
from mitotools.parameters import PredictParameters
from mitotools.run.running import Running
from mitotools.stages.predict import predict_volume
from mitotools.stages.prediction.applying import quantised
from mitotools.volume.path import parse_volume_path

EXACT = PredictParameters(precision="float32", backend="torch")
QUIET = Running(threads=2, command_line="mitotools predict")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("phantom"))[0]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture
def target(tmp_path):
    return parse_volume_path(str(tmp_path / "maps.h5"))


def content(path):
    with h5py.File(path.file) as file:
        return file["main"][:]


def predicted(raw, target, model, running=QUIET, **change):
    predict_volume(raw, target, model, replace(EXACT, **change), running)
    return content(target)


def test_maps_have_a_channel_a_target_and_the_voxels_of_the_volume(raw, target, model):
    spec = predict_volume(raw, target, model, EXACT, QUIET)
    maps = content(target)
    assert maps.shape == spec.shape == (2, *SIZE)
    assert maps.dtype == np.uint8
    assert maps.min() < 50 < 200 < maps.max()
    with h5py.File(target.file) as file:
        assert tuple(file["main"].attrs["voxel_size_nm"]) == VOXEL_SIZE


def test_the_history_begins_with_the_models_and_says_all_that_was_chosen(raw, target, model):
    spec = predict_volume(raw, target, model, EXACT, QUIET)
    trained, applied = spec.history
    assert trained["command_line"] == "mitotools train"
    assert applied["command_line"] == "mitotools predict"
    assert [entry["path"] for entry in applied["inputs"]] == [raw.file, str(model)]
    assert applied["parameters"] == {
        "overlap": 0.25,
        "blend": "bump",
        "tta": 1,
        "device": "cpu",  # what "auto" was
        "precision": "float32",
        "backend": "torch",
        "as_program": "",
        "rescale": "auto",
        "dtype": "uint8",
        "targets": ("mask", "contour"),
        "window_voxels": (8, 16, 16),
        "grey_values": {"low": 0.0, "high": 255.0},
    }


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_the_number_of_threads_changes_nothing(raw, tmp_path, norm, precision):
    # Large enough for torch to divide a window's work: norms of groups were then summed in another order.
    how = {"patch": (8, 32, 32), "filters": [16, 32], "norm": norm}
    model = write_model(tmp_path / "m.safetensors", voxel_size_nm=(30.0, 8.0, 8.0), **how)
    one, three = (
        predicted(raw, parse_volume_path(str(tmp_path / f"{n}.h5")), model, Running(n), precision=precision)
        for n in (1, 3)
    )
    assert np.array_equal(one, three)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_maps_are_rounded_to_their_type_and_no_more(raw, tmp_path, model, dtype):
    exact = predicted(raw, parse_volume_path(str(tmp_path / "exact.h5")), model, dtype="float32")
    maps = predicted(raw, parse_volume_path(str(tmp_path / "maps.h5")), model, dtype=dtype)
    assert maps.dtype == dtype
    assert np.array_equal(maps, quantised(exact, np.dtype(dtype)))


def test_bytes_are_rounded_down_and_never_beyond_255():
    probabilities = np.array([0.0, 0.5, 0.9999, 1.0, 1.0000001, -1e-9], np.float32).reshape(1, 1, 1, 6)
    assert quantised(probabilities, np.dtype(np.uint8)).ravel().tolist() == [0, 127, 254, 255, 255, 0]
    # Of floats, too, decode takes no others.
    assert quantised(probabilities, np.dtype(np.float32)).ravel().tolist()[3:] == [1, 1, 0]


def test_a_volume_smaller_than_a_window_is_predicted(tmp_path, target, model):
    raw, _ = write_phantom(tmp_path, (3, 5, 60))
    assert predicted(raw, target, model).shape == (2, 3, 5, 60)


def test_one_slice_is_predicted_by_networks_that_see_one(tmp_path, target, model):
    raw, _ = write_phantom(tmp_path, (1, 40, 40))
    with pytest.raises(InputError, match=r"has one slice, and the network sees 8 at once\. Train a 2D one"):
        predicted(raw, target, model)
    flat = write_model(tmp_path / "flat.safetensors", patch=(1, 16, 16), flat_levels=2)
    assert predicted(raw, target, flat).shape == (2, 1, 40, 40)


def test_slices_of_which_one_is_left_at_the_voxel_size_of_the_training_are_too_few(tmp_path, target):
    model = write_model(tmp_path / "m.safetensors", voxel_size_nm=(30.0, 8.0, 8.0))
    raw, _ = write_phantom(tmp_path, (6, 40, 40), voxel_size_nm=(5.0, 8.0, 8.0))
    with pytest.raises(InputError, match=r"has one slice at the voxel size of the training, and the network"):
        predicted(raw, target, model)


def test_voxels_that_are_resampled_to_cubes_may_be_turned_all_ways(tmp_path, target):
    # 51 slices of 5 nm become 26 of 10 nm, as near as whole slices are.
    raw, _ = write_phantom(tmp_path, (51, 24, 24), voxel_size_nm=(5.0, 5.0, 5.0))
    model = write_model(tmp_path / "m.safetensors", patch=(16, 16, 16), voxel_size_nm=(10.0, 10.0, 10.0))
    assert predicted(raw, target, model, tta=48).shape == (2, 51, 24, 24)


@pytest.mark.parametrize("option", [{"dtype": "uint16"}, {"overlap": 1.0}, {"rescale": "no"}], ids=str)
def test_options_that_no_command_line_has_are_refused(raw, target, model, option):
    with pytest.raises(UsageError, match=r"expected (one|a part) of"):
        predicted(raw, target, model, **option)


def test_a_crop_is_predicted_as_a_volume_of_its_own(raw, target, tmp_path, model):
    crop = parse_volume_path(f"{raw.file}[2:14,3:30,0:44]")
    alone = write_volume(tmp_path / "alone.h5", content(raw)[2:14, 3:30, 0:44])
    other = parse_volume_path(str(tmp_path / "other.h5"))
    assert np.array_equal(predicted(crop, target, model), predicted(alone, other, model))


def test_floating_point_grey_values_are_scaled_by_their_percentiles(raw, target, tmp_path, model, said):
    grey = content(raw)
    low, high = np.percentile(grey, (0.5, 99.5))
    scaled = np.clip((grey - low) / (high - low) * 255, 0, 255).astype(np.float32)
    maps = predicted(write_volume(tmp_path / "float.h5", grey * np.float32(3.7) - 90), target, model)
    assert (
        f"grey values from {low * 3.7 - 90:g} to {high * 3.7 - 90:g} (percentiles .5 and 99.5)" in said.text
    )
    other = parse_volume_path(str(tmp_path / "other.h5"))
    again = predicted(write_volume(tmp_path / "scaled.h5", scaled), other, model)
    # Both are stretched to the same range, up to the percentiles of the second, and rounding.
    assert np.abs(maps.astype(int) - again).max() <= 12
    assert np.abs(maps.astype(int) - again).mean() < 1


def test_nan_in_a_block_that_was_not_sampled_is_refused_too(raw, target, tmp_path, model, monkeypatch):
    monkeypatch.setattr(normalise, "SAMPLED_BLOCKS", 1)
    grey = content(raw).astype(np.float32)
    grey[-1, -1, -1] = np.nan
    source = write_volume(tmp_path / "nan.h5", grey)
    with pytest.raises(InputError, match=r"nan\.h5: holds NaN"):
        predicted(source, target, model)
    assert [file.name for file in tmp_path.iterdir()] == ["nan.h5"]


def test_an_existing_output_is_refused_before_any_work_and_left_as_it_is(raw, target, tmp_path, model):
    (tmp_path / "maps.h5").write_text("precious")
    with pytest.raises(TargetError, match="exists already"):
        predicted(raw, target, tmp_path / "a model that is not even looked for")
    assert (tmp_path / "maps.h5").read_text() == "precious"
    assert predicted(raw, target, model, replace(QUIET, force=True)).shape == (2, *SIZE)


@pytest.mark.parametrize("name", ["raw", "nothing"])
def test_a_file_that_is_no_model_is_refused_and_nothing_is_left(raw, target, tmp_path, name):
    wrong = raw.file if name == "raw" else tmp_path / name
    with pytest.raises((ModelError, InputError), match=r"not a mitotools model|no such file"):
        predicted(raw, target, Path(wrong))
    assert list(tmp_path.iterdir()) == []


def test_exchanging_y_and_x_is_refused_where_voxels_are_not_square(tmp_path, target, model):
    raw, _ = write_phantom(tmp_path, voxel_size_nm=(30, 8, 4))
    with pytest.raises(InputError, match=r"tta 8 exchanges y and x, .* Use --tta 4"):
        predicted(raw, target, model, tta=8, rescale="none")
    assert predicted(raw, target, model, tta=4, rescale="none").shape == (2, *SIZE)


def test_exchanging_y_and_x_is_refused_where_windows_are_not_square(raw, tmp_path, target):
    oblong = write_model(tmp_path / "oblong.safetensors", patch=(8, 8, 16))
    with pytest.raises(InputError, match="tta 16 exchanges y and x"):
        predicted(raw, target, oblong, tta=16)


def test_all_symmetries_of_a_cube_are_refused_where_voxels_or_windows_are_none(raw, tmp_path, target):
    cube = write_model(tmp_path / "cube.safetensors", patch=(16, 16, 16))
    flat = write_model(tmp_path / "flat.safetensors", patch=(8, 16, 16))
    with pytest.raises(InputError, match=r"tta 48 exchanges z, y and x, .* Use --tta 16"):
        predicted(raw, target, flat, tta=48)
    sections, _ = write_phantom(tmp_path, voxel_size_nm=(30, 8, 8))
    with pytest.raises(InputError, match=r"tta 48 exchanges z, y and x, .* Use --tta 16"):
        predicted(sections, target, cube, tta=48, rescale="none")
    assert predicted(raw, target, cube, tta=48).shape == (2, *SIZE)


@pytest.mark.parametrize("channels", [("z", "y"), ("mask", "y-9")])
def test_affinities_are_averaged_over_mirror_images_and_turns_that_have_the_same(
    raw, tmp_path, target, model, channels
):
    network, metadata = load_model(model)
    affine = tmp_path / "affine.safetensors"
    save_model(affine, network, replace(metadata, targets=channels))
    with pytest.raises(UsageError, match=r"^--tta: turns affinities at 0,-\d,0 into .* Use fewer\.$"):
        predicted(raw, target, affine, tta=8)
    assert predicted(raw, target, affine, tta=4).shape == (2, *SIZE)
