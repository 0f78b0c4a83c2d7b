"""Resampled, clipped, padded, numbered: the same voxels however the volume is cut."""

from __future__ import annotations

import json

import h5py
import nibabel
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mitotools.errors import InputError, TargetError, UsageError
from mitotools.parameters import ConvertParameters
from mitotools.run.running import Running
from mitotools.stages.convert import convert_volume
from mitotools.volume.files import open_volume
from mitotools.volume.path import parse_volume_path

RAMP = np.arange(4 * 6 * 8, dtype="uint8").reshape(4, 6, 8)
IDS = np.array([[[1, 1, 2, 2], [1, 3, 2, 0], [0, 0, 7, 7], [0, 5, 7, 7]]], dtype="uint16")


def save(path, array, **attributes):
    with h5py.File(path, "w") as file:
        file["main"] = array
        file["main"].attrs.update(attributes)
    return path


def convert(source, target, *, threads=2, force=False, **parameters):
    running = Running(threads, force, command_line="mitotools convert")
    spec = convert_volume(
        parse_volume_path(str(source)),
        parse_volume_path(str(target)),
        ConvertParameters(**parameters),
        running,
    )
    path = parse_volume_path(str(target))
    return zarr.open_array(f"{path.file}/{path.dataset or ''}/0")[:], spec


def copied(source, target, **parameters):
    """Convert to any format."""
    paths = (parse_volume_path(str(name)) for name in (source, target))
    return convert_volume(*paths, ConvertParameters(**parameters), Running(2))


def test_halving_an_image_takes_the_mean_of_eight_voxels_and_doubles_their_size(tmp_path):
    source = save(tmp_path / "raw.h5", RAMP, voxel_size_nm=(30.0, 8.0, 8.0))
    half, spec = convert(source, tmp_path / "half.zarr", scale=(0.5, 0.5, 0.5))
    assert half.shape == (2, 3, 4)
    # Voxels 0 1, 8 9, 48 49, 56 57 have the mean 28.5, which is rounded to the even 28.
    assert half[0, 0, 0] == 28
    assert half[0, 0, 1] == 30  # 30.5
    assert spec.voxel_size_nm == (60.0, 16.0, 16.0)


def test_doubling_an_image_interpolates_between_the_centres_of_voxels(tmp_path):
    source = save(tmp_path / "raw.h5", np.array([[[0, 100]]], dtype="uint8"))
    twice, _ = convert(source, tmp_path / "twice.zarr", scale=(1, 1, 2))
    assert twice.tolist() == [[[0, 25, 75, 100]]]


def test_halving_labels_takes_the_most_frequent_id_and_of_several_the_lowest(tmp_path):
    source = save(tmp_path / "labels.h5", IDS)
    half, spec = convert(source, tmp_path / "half.zarr", labels=True, scale=(1, 0.5, 0.5))
    # 1 1 1 3 -> 1; 2 2 2 0 -> 2; 0 0 0 5 -> 0; 7 7 7 7 -> 7.
    assert half.tolist() == [[[1, 2], [0, 7]]]
    assert spec.dtype == np.uint8, "the smallest type that holds 7"
    assert spec.is_labels


def test_ids_of_32_bits_are_never_averaged(tmp_path):
    source = save(tmp_path / "labels.h5", IDS.astype("uint32"))
    half, spec = convert(source, tmp_path / "half.zarr", scale=(1, 0.5, 0.5))
    assert half.tolist() == [[[1, 2], [0, 7]]]
    assert spec.dtype == np.uint32


def test_clipping_stretches_two_percentiles_to_the_range_of_uint8(tmp_path):
    values = np.arange(1000, 1100, dtype="uint16").reshape(4, 5, 5)
    clipped, spec = convert(save(tmp_path / "raw.h5", values), tmp_path / "c.zarr", clip_percentiles=(10, 90))
    # The 10th of 100 values, 1009, becomes 0, and the 90th, 1089, becomes 255.
    expected = np.rint(np.clip((values.astype(float) - 1009) * 255 / 80, 0, 255))
    assert np.array_equal(clipped, expected)
    assert spec.dtype == np.uint8


def test_clipping_ids_is_refused(tmp_path):
    source = save(tmp_path / "labels.h5", IDS)
    with pytest.raises(UsageError, match="--clip: is for grey values, and these are ids"):
        convert(source, tmp_path / "c.zarr", labels=True, clip_percentiles=(1, 99))


def test_not_a_number_cannot_be_clipped(tmp_path):
    values = np.zeros((2, 2, 2), "float32")
    values[1, 1, 1] = np.nan
    with pytest.raises(InputError, match="has values that are not a number"):
        convert(save(tmp_path / "raw.h5", values), tmp_path / "c.zarr", clip_percentiles=(1, 99))
    assert [entry.name for entry in tmp_path.iterdir()] == ["raw.h5"]


def test_padding_puts_zeros_around_the_volume(tmp_path):
    padded, _ = convert(save(tmp_path / "raw.h5", RAMP + 1), tmp_path / "p.zarr", pad_voxels=(1, 2, 3))
    assert np.array_equal(padded, np.pad(RAMP + 1, ((1, 1), (2, 2), (3, 3))))


def test_what_was_padded_is_cropped_to_what_it_was(tmp_path):
    convert(save(tmp_path / "raw.h5", RAMP), tmp_path / "p.zarr", pad_voxels=(1, 2, 3))
    back, _ = convert(f"{tmp_path / 'p.zarr'}[1:5,2:8,3:11]", tmp_path / "back.zarr")
    assert np.array_equal(back, RAMP)


def test_slices_coloured_by_id_become_ids(tmp_path):
    (tmp_path / "vast").mkdir()
    for z in range(3):
        plane = np.zeros((4, 5, 3), "uint8")
        plane[0, z] = (1, 2, 3 + z)  # 65536 + 512 + 3 + z
        Image.fromarray(plane).save(tmp_path / "vast" / f"seg{z:04d}.png")
    ids, spec = convert(tmp_path / "vast", tmp_path / "ids.zarr", labels=True)
    assert spec.dtype == np.uint32
    assert ids.shape == (3, 4, 5)
    assert [ids[z, 0, z] for z in range(3)] == [66051, 66052, 66053]
    assert np.count_nonzero(ids) == 3


def test_channels_that_are_no_colours_are_no_ids(tmp_path):
    source = save(tmp_path / "maps.h5", np.zeros((2, 3, 4, 5), "uint8"))
    with pytest.raises(InputError, match="expected ids, or RGB colours of ids, found 2 channels of uint8"):
        convert(source, tmp_path / "ids.zarr", labels=True)


@pytest.mark.parametrize("values", [[[[0.0, 1.5]]], [[[-1.0, 2.0]]]], ids=["fractions", "negative"])
def test_numbers_that_are_no_ids_are_refused(tmp_path, values):
    source = save(tmp_path / "labels.h5", np.array(values, "float32"))
    with pytest.raises(InputError, match=r"no ids|no whole numbers"):
        convert(source, tmp_path / "ids.zarr", labels=True)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scale=st.none() | st.tuples(*[st.sampled_from([0.3, 0.5, 1, 1.7, 2])] * 3),
    pad=st.tuples(*[st.integers(0, 3)] * 3),
    clip=st.none() | st.just((5, 95)),
    is_labels=st.booleans(),
    chunks=st.tuples(*[st.integers(1, 9)] * 3),
    threads=st.integers(1, 3),
    block_bytes=st.integers(1, 2000),
    levels=st.integers(1, 3),
)
def test_blocks_chunks_and_threads_make_no_difference(
    tmp_path, monkeypatch, scale, pad, clip, is_labels, chunks, threads, block_bytes, levels
):
    rng = np.random.default_rng(3)
    values = rng.integers(0, 9 if is_labels else 256, (7, 9, 11)).astype("uint16")
    path = tmp_path / "raw.h5"
    if path.exists():
        path.unlink()
    with h5py.File(path, "w") as file:
        file.create_dataset("main", data=values, chunks=(2, 3, 4))
    parameters = {"labels": is_labels, "scale": scale, "pad_voxels": pad, "levels": levels}
    if not is_labels:
        parameters["clip_percentiles"] = clip
    whole, spec = convert(path, tmp_path / "whole.zarr", force=True, **parameters)
    monkeypatch.setattr("mitotools.run.budget.PREFERRED_BYTES", block_bytes)
    monkeypatch.setattr("mitotools.stages.blocks.pieces.PIECE_BYTES", block_bytes)
    cut, _ = convert(path, tmp_path / "cut.zarr", force=True, chunks=chunks, threads=threads, **parameters)
    monkeypatch.undo()
    assert np.array_equal(cut, whole)
    for level in range(1, spec.levels):
        coarse = [zarr.open_array(tmp_path / name / str(level))[:] for name in ("whole.zarr", "cut.zarr")]
        assert np.array_equal(*coarse)


def test_levels_are_halved_along_the_axes_of_the_finest_voxels(tmp_path):
    source = save(tmp_path / "raw.h5", np.tile(RAMP, (1, 4, 4)), voxel_size_nm=(30.0, 8.0, 8.0))
    full, spec = convert(source, tmp_path / "raw.zarr", levels=4)
    assert spec.levels == 4
    levels = [zarr.open_array(tmp_path / "raw.zarr" / str(level))[:] for level in range(4)]
    assert [level.shape for level in levels] == [(4, 24, 32), (4, 12, 16), (4, 6, 8), (2, 3, 4)]
    assert np.array_equal(full, levels[0])
    # 0 1 8 9 have the mean 4.5, rounded to the even 4.
    assert levels[1][0, 0, 0] == 4


STRIPES = np.array([[[3, 3, 200, 200], [3, 7, 200, 0], [0, 0, 0, 0], [0, 0, 7, 0]]], "uint16")
HALF = [[[3, 200], [0, 0]]]
"""The ids that win two by two; the means would be 4, 150, 0 and 2."""


@pytest.mark.parametrize(("dtype", "labels"), [("uint16", True), ("uint32", False), ("uint64", False)])
def test_levels_of_ids_are_voted_on_and_marked_as_labels(tmp_path, dtype, labels):
    source = save(tmp_path / "labels.h5", STRIPES.astype(dtype))
    _, spec = convert(source, tmp_path / "v.zarr", labels=labels, levels=2)
    assert zarr.open_array(tmp_path / "v.zarr" / "1")[:].tolist() == HALF
    assert spec.is_labels
    assert "image-label" in zarr.open_group(tmp_path / "v.zarr").attrs["ome"]


def test_labels_in_hdf5_say_so_themselves(tmp_path):
    source = save(tmp_path / "labels.h5", STRIPES)
    copied(source, tmp_path / "ids.h5", labels=True)
    _, spec = convert(tmp_path / "ids.h5", tmp_path / "v.zarr", levels=2)
    assert (spec.dtype, spec.is_labels) == (np.uint8, True)
    assert zarr.open_array(tmp_path / "v.zarr" / "1")[:].tolist() == HALF


def test_labels_are_marked_in_nifti_and_for_neuroglancer(tmp_path):
    source = save(tmp_path / "labels.h5", STRIPES, voxel_size_nm=(30.0, 8.0, 8.0))
    copied(source, tmp_path / "v.nii", labels=True)
    copied(source, tmp_path / "v.precomputed", labels=True)
    assert nibabel.load(tmp_path / "v.nii").header["intent_code"] == 1002
    assert json.loads((tmp_path / "v.precomputed" / "info").read_text())["type"] == "segmentation"


@pytest.mark.parametrize("name", ["v.zarr", "v.precomputed"])
def test_ids_in_floating_point_are_voted_on_and_no_format_calls_them_labels(tmp_path, name):
    source = save(tmp_path / "labels.h5", STRIPES, voxel_size_nm=(30.0, 8.0, 8.0))
    levels = 2 if name == "v.zarr" else 1
    copied(source, tmp_path / name, labels=True, dtype="float32", levels=levels)
    with open_volume(parse_volume_path(str(tmp_path / name))) as volume:
        assert not volume.spec.is_labels
    if levels == 2:
        assert zarr.open_array(tmp_path / name / "1")[:].tolist() == HALF


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_label_image_goes_into_an_image_and_is_listed_there(tmp_path, zarr_format):
    convert(save(tmp_path / "raw.h5", RAMP), tmp_path / "cell.zarr", zarr_format=zarr_format)
    labels = (RAMP % 3).astype("uint64")
    source = save(tmp_path / "labels.h5", labels)
    stored, spec = convert(source, tmp_path / "cell.zarr" / "labels" / "mito", labels=True, levels=2)
    assert np.array_equal(stored, labels)
    assert (spec.zarr_format, spec.is_labels) == (zarr_format, True)
    attributes = zarr.open_group(tmp_path / "cell.zarr" / "labels", mode="r").attrs.asdict()
    assert attributes.get("ome", attributes)["labels"] == ["mito"]
    again = f"{tmp_path / 'cell.zarr'}:labels/mito"
    with pytest.raises(TargetError, match=r"exists already. Use --force"):
        convert(source, again, labels=True)
    convert(source, again, labels=True, force=True)
    assert sorted(
        entry.name for entry in (tmp_path / "cell.zarr" / "labels").iterdir() if entry.is_dir()
    ) == ["mito"]
    image, _ = convert(f"{tmp_path / 'cell.zarr'}", tmp_path / "copy.zarr")
    assert np.array_equal(image, RAMP)


def test_other_datasets_of_a_zarr_are_no_target(tmp_path):
    convert(save(tmp_path / "raw.h5", RAMP), tmp_path / "cell.zarr")
    with pytest.raises(TargetError, match="an output is a whole zarr, or a label image in one"):
        convert(tmp_path / "raw.h5", f"{tmp_path / 'cell.zarr'}:masks")


@pytest.mark.parametrize("parameters", [{"levels": 2}, {"shards": (4, 6, 8)}], ids=["levels", "shards"])
def test_only_zarr_has_levels_and_shards(tmp_path, parameters):
    source = save(tmp_path / "raw.h5", RAMP)
    with pytest.raises(TargetError, match=r"HDF5 has no shards and no levels. Write a .zarr"):
        convert(source, tmp_path / "out.h5", **parameters)


def test_two_blocks_never_share_a_shard(tmp_path, monkeypatch):
    monkeypatch.setattr("mitotools.run.budget.PREFERRED_BYTES", 1)
    source = save(tmp_path / "raw.h5", np.tile(RAMP, (2, 2, 2)))
    found, _ = convert(source, tmp_path / "s.zarr", chunks=(2, 2, 2), shards=(4, 4, 8))
    assert np.array_equal(found, np.tile(RAMP, (2, 2, 2)))
    array = zarr.open_array(tmp_path / "s.zarr" / "0")
    assert (array.chunks, array.shards) == ((2, 2, 2), (4, 4, 8))
