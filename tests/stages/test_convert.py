"""Any volume to any format."""

from __future__ import annotations

import h5py
import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mitotools.errors import InputError, MitotoolsError, TargetError
from mitotools.parameters import ConvertParameters
from mitotools.run.running import Running
from mitotools.stages.convert import convert_volume
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.path import parse_volume_path

NAMES = ["v.h5", "v.zarr", "v.tif", "v", "s/*.tif", "v.nii", "v.nii.gz", "v.precomputed"]
VOLUME = np.random.default_rng(0).integers(0, 256, (5, 6, 7), dtype="uint8")


def save(path, array, **attributes):
    with h5py.File(path, "w") as file:
        file["main"] = array
        file["main"].attrs.update(attributes)
    return path


def convert(source, target, parameters=None, **running):
    running = Running(**{"threads": 2, "command_line": "mitotools convert a b", **running})
    return convert_volume(
        parse_volume_path(str(source)),
        parse_volume_path(str(target)),
        parameters or ConvertParameters(),
        running,
    )


def read(name):
    with open_volume(parse_volume_path(str(name))) as volume:
        return volume.read(Box.whole(volume.spec.size)), volume.spec


@pytest.mark.parametrize("second", NAMES)
@pytest.mark.parametrize("first", NAMES)
def test_any_format_becomes_any_other_and_nothing_is_lost(tmp_path, first, second):
    source = save(tmp_path / "raw.h5", VOLUME, voxel_size_nm=(30.0, 8.0, 4.0))
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    convert(source, tmp_path / "one" / first, command_line="first")
    spec = convert(tmp_path / "one" / first, tmp_path / "two" / second, command_line="second")
    found, found_spec = read(tmp_path / "two" / second)
    assert np.array_equal(found, VOLUME)
    assert found_spec.dtype == spec.dtype == np.uint8
    assert found_spec.voxel_size_nm == spec.voxel_size_nm == (30.0, 8.0, 4.0)
    assert [record["command_line"] for record in found_spec.history] == ["first", "second"]


def test_a_history_records_parameters_crop_and_input(tmp_path):
    source = save(tmp_path / "raw.h5", VOLUME)
    convert(f"{source}[1:3,:,2:]", tmp_path / "out.zarr", ConvertParameters(dtype="uint16"))
    (record,) = read(tmp_path / "out.zarr")[1].history
    assert record["command_line"] == "mitotools convert a b"
    assert record["parameters"]["dtype"] == "uint16"
    assert record["parameters"]["voxel_size_nm"] is None
    (entry,) = record["inputs"]
    assert entry["crop"] == "[1:3,0:,2:]"
    assert (entry["path"], entry["shape"], entry["dtype"]) == (str(source), [2, 6, 5], "uint8")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    target=st.sampled_from(NAMES[:4]),
    chunks=st.none() | st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(1, 8)),
    threads=st.integers(1, 4),
    start=st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)),
    length=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 4)),
    block_bytes=st.integers(1, 400),
)
def test_blocks_chunks_and_threads_make_no_difference(
    tmp_path, monkeypatch, target, chunks, threads, start, length, block_bytes
):
    monkeypatch.setattr("mitotools.run.budget.PREFERRED_BYTES", block_bytes)
    source = save(tmp_path / "raw.h5", VOLUME)
    ranges = [(a, a + n) for a, n in zip(start, length, strict=True)]
    crop = ",".join(f"{a}:{b}" for a, b in ranges)
    convert(
        f"{source}[{crop}]", tmp_path / target, ConvertParameters(chunks=chunks), threads=threads, force=True
    )
    assert np.array_equal(read(tmp_path / target)[0], VOLUME[tuple(slice(a, b) for a, b in ranges)])


@pytest.mark.parametrize("name", ["v.h5", "v.zarr", "v.tif"])
def test_channels_stay_and_one_may_be_chosen(tmp_path, name):
    maps = np.stack([VOLUME, VOLUME // 2, VOLUME // 3])
    source = save(tmp_path / "maps.h5", maps)
    convert(source, tmp_path / name)
    assert np.array_equal(read(tmp_path / name)[0], maps)
    convert(f"{source}[2]", tmp_path / name, force=True)
    assert np.array_equal(read(tmp_path / name)[0], maps[2])


def test_a_voxel_size_may_be_given_and_an_unknown_one_stays_unknown(tmp_path):
    source = save(tmp_path / "raw.h5", VOLUME)
    assert convert(source, tmp_path / "a.zarr").voxel_size_nm is None
    assert convert(source, tmp_path / "b.zarr", ConvertParameters((30.0, 8.0, 8.0))).voxel_size_nm == (
        30,
        8,
        8,
    )
    assert read(tmp_path / "a.zarr")[1].voxel_size_nm is None
    assert read(tmp_path / "b.zarr")[1].voxel_size_nm == (30, 8, 8)


def test_chunks_and_compression_are_those_asked_for(tmp_path):
    source = save(tmp_path / "raw.h5", VOLUME)
    convert(source, tmp_path / "v.h5", ConvertParameters(chunks=(2, 3, 4), compression="lzf"))
    convert(source, tmp_path / "v.zarr", ConvertParameters(chunks=(2, 3, 4), compression="none"))
    with h5py.File(tmp_path / "v.h5") as file:
        assert (file["main"].chunks, file["main"].compression) == ((2, 3, 4), "lzf")
    array = zarr.open_array(tmp_path / "v.zarr" / "0", mode="r")
    assert (array.chunks, array.compressors) == ((2, 3, 4), ())


def test_a_volume_may_replace_itself(tmp_path):
    for name in NAMES[:4]:
        convert(save(tmp_path / "raw.h5", VOLUME), tmp_path / name, force=True)
        convert(f"{tmp_path / name}[1:4,:,:]", tmp_path / name, force=True)
        assert np.array_equal(read(tmp_path / name)[0], VOLUME[1:4])


FITS = [
    ([0, 255], "uint16", "uint8"),
    ([0, 2**64 - 1], "uint64", "uint64"),
    ([2**63], "uint64", "uint64"),
    ([-128, 127], "int64", "int8"),
    ([0.0, 255.0], "float32", "uint8"),
    ([-3.0], "float64", "int16"),
    ([0, 1], "bool", "uint8"),
    ([0, 1], "bool", "float32"),
    ([0.1, -1e30], "float64", "float32"),
    ([np.nan, np.inf], "float64", "float16"),
    ([2**24, 1], "uint32", "float32"),
    ([-(2**11)], "int16", "float16"),
    ([2**53], "uint64", "float64"),
]


@pytest.mark.parametrize(("numbers", "first", "second"), FITS)
def test_values_that_another_type_holds_are_kept(tmp_path, numbers, first, second):
    array = np.resize(np.array(numbers, first), (1, 2, 3))
    convert(save(tmp_path / "a.h5", array), tmp_path / "b.h5", ConvertParameters(dtype=second))
    found, spec = read(tmp_path / "b.h5")
    assert spec.dtype == second
    assert np.array_equal(found, array.astype(second), equal_nan=second.startswith("f"))


DOES_NOT_FIT = [
    ([0, 256], "uint16", "uint8", "values from 0 to 256 do not fit uint8"),
    ([-1, 5], "int16", "uint64", "values from -1 to 5 do not fit uint64"),
    ([2**63], "uint64", "int64", "do not fit int64"),
    ([2**64 - 1], "uint64", "uint32", "do not fit uint32"),
    ([2.0**64], "float64", "uint64", "do not fit uint64"),
    ([0.5, 1.0], "float32", "uint8", "values from 0.5 to 1.0 are no whole numbers"),
    ([np.nan], "float32", "uint8", "values from nan to nan"),
    ([np.inf], "float32", "uint8", "values from inf to inf do not fit uint8"),
    ([1e30], "float32", "int64", "do not fit int64"),
    ([1e39], "float64", "float32", "do not fit float32"),
    ([70000], "uint32", "float16", "do not fit float16"),
    ([2**24 + 1], "uint32", "float32", "do not fit float32"),
    ([2**53 + 1], "uint64", "float64", "do not fit float64"),
]


@pytest.mark.parametrize(("numbers", "first", "second", "why"), DOES_NOT_FIT)
def test_a_value_that_another_type_does_not_hold_is_an_error_and_leaves_nothing(
    tmp_path, numbers, first, second, why
):
    array = np.resize(np.array(numbers, first), (1, 2, 3))
    save(tmp_path / "a.h5", array)
    with pytest.raises(InputError) as caught:
        convert(tmp_path / "a.h5", tmp_path / "b.zarr", ConvertParameters(dtype=second))
    assert why in str(caught.value)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.h5"]


def test_ids_of_64_bits_do_not_fit_into_tiff_and_the_error_says_what_does(tmp_path):
    save(tmp_path / "a.h5", VOLUME.astype("uint64"))
    with pytest.raises(TargetError, match=r"no type uint64\. Write \.zarr or \.h5, or choose --dtype uint32"):
        convert(tmp_path / "a.h5", tmp_path / "b.tif")
    convert(tmp_path / "a.h5", tmp_path / "b.tif", ConvertParameters(dtype="uint32"))
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), VOLUME)


def test_maps_do_not_fit_into_slices_and_one_channel_does(tmp_path):
    save(tmp_path / "a.h5", np.stack([VOLUME, VOLUME]))
    with pytest.raises(TargetError, match="slices hold no channels"):
        convert(tmp_path / "a.h5", tmp_path / "slices")
    convert(f"{tmp_path}/a.h5[1]", tmp_path / "slices")
    assert np.array_equal(read(tmp_path / "slices")[0], VOLUME)


@pytest.mark.parametrize("name", NAMES)
def test_damage_in_the_middle_of_the_source_leaves_nothing(tmp_path, name):
    convert(save(tmp_path / "raw.h5", VOLUME), tmp_path / "slices")
    (tmp_path / "slices" / "z0003.png").write_bytes(b"rubbish")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(MitotoolsError, match=r"z0003\.png"):
        convert(tmp_path / "slices", tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("between", ["v.h5", "v.zarr", "old.zarr"])
def test_the_affine_of_a_nifti_file_survives_other_formats_and_a_crop(tmp_path, between):
    # Axes x, y, z; x points left, y and z are exchanged, and the origin lies somewhere.
    affine = np.array([[-0.5, 0, 0, 10], [0, 0, 0.4, 20], [0, 0.25, 0, 30], [0, 0, 0, 1.0]])
    image = nibabel.Nifti1Image(np.ascontiguousarray(VOLUME.T), affine)
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "a.nii")
    parameters = ConvertParameters(zarr_format=2 if between.startswith("old") else 3)
    convert(tmp_path / "a.nii", tmp_path / between, parameters)
    convert(f"{tmp_path / between}[1:,2:,3:]", tmp_path / "b.nii")
    back = nibabel.load(tmp_path / "b.nii")
    assert np.array_equal(np.asarray(back.dataobj).T, VOLUME[1:, 2:, 3:])
    assert np.allclose(back.affine[:, :3], affine[:, :3])
    assert np.allclose(back.affine @ (0, 0, 0, 1), affine @ (3, 2, 1, 1))
    convert(tmp_path / between, tmp_path / "half.nii", ConvertParameters(scale=(1, 0.5, 1)))
    assert nibabel.load(tmp_path / "half.nii").shape == (7, 3, 5)
