"""What is written in any format, by blocks in any order, reads back, voxel size and history included."""

from __future__ import annotations

import random
import warnings

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ome_zarr_models.v05 import Image as OmeImage
from PIL import Image

from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box, grid
from mitotools.volume.files import create_volume, open_volume
from mitotools.volume.path import VolumePath

RECORD = {
    "command_line": "mitotools test",
    "version": "0",
    "time_utc": "",
    "parameters": {"a": 1},
    "inputs": [],
}
FORMATS = ["v.h5", "v.zarr", "v.tif", "v", "slices/*.png", "slices/*.tif"]
DTYPES = ["uint8", "uint16", "uint32", "uint64", "int16", "float32"]
UNSTORABLE = {"v.tif": {"uint64"}, "slices/*.png": {"uint32", "uint64", "int16", "float32"}, "v": {"uint64"},
              "slices/*.tif": {"uint64"}}  # fmt: skip
VOXEL_SIZES = [None, (30.0, 8.0, 8.0), (12.5, 3.25, 4.0)]


def values(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


def write(target, array, voxel_size=None, chunks=(3, 4, 5), seed=0, force=False):
    spec = VolumeSpec(array.shape, array.dtype, voxel_size, (RECORD,), chunks)
    with create_volume(VolumePath(str(target)), spec, force=force) as writer:
        boxes = grid(spec.size, writer.spec.chunks)
        random.Random(seed).shuffle(boxes)
        for box in boxes:
            writer.write(box, array[(..., *box.slices)])


def read(target, block=(2, 3, 4)):
    with open_volume(VolumePath(str(target))) as volume:
        array = np.zeros(volume.spec.shape, volume.spec.dtype)
        for box in grid(volume.spec.size, block):
            array[(..., *box.slices)] = volume.read(box)
        return array, volume.spec


@pytest.mark.parametrize("voxel_size", VOXEL_SIZES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORMATS)
def test_a_volume_reads_back(tmp_path, name, dtype, voxel_size):
    if dtype in UNSTORABLE.get(name, ()):
        pytest.skip(f"{name} does not hold {dtype}")
    array = values((5, 6, 7), dtype)
    write(tmp_path / name, array, voxel_size)
    found, spec = read(tmp_path / name)
    assert np.array_equal(found, array)
    assert spec.dtype == array.dtype
    assert spec.voxel_size_nm == (None if voxel_size is None else pytest.approx(voxel_size))
    assert spec.history == (RECORD,)


@pytest.mark.parametrize("name", ["v.h5", "v.zarr", "v.tif"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_channels_read_back(tmp_path, name, channels):
    array = values((channels, 4, 5, 6), "uint8")
    write(tmp_path / name, array, (30.0, 8.0, 8.0))
    found, _ = read(tmp_path / name)
    assert np.array_equal(found.reshape(array.shape), array)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["v.h5", "v.zarr", "v.tif"]),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)),
    chunks=st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7)),
    block=st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7)),
    seed=st.integers(0, 99),
)
def test_blocks_and_their_order_make_no_difference(tmp_path, name, shape, chunks, block, seed):
    array = values(shape, "uint16", seed)
    write(tmp_path / name, array, chunks=chunks, seed=seed, force=True)
    found, _ = read(tmp_path / name, block)
    assert np.array_equal(found, array)


def test_one_slice_is_a_volume_in_every_format(tmp_path):
    for name in FORMATS:
        array = values((1, 4, 5), "uint8")
        write(tmp_path / name, array, force=True)
        assert np.array_equal(read(tmp_path / name)[0], array)


def test_h5py_reads_what_we_write(tmp_path):
    array = values((5, 6, 7), "uint16")
    write(tmp_path / "v.h5", array, (30.0, 8.0, 8.0))
    with h5py.File(tmp_path / "v.h5") as file:
        assert list(file) == ["main"]
        assert np.array_equal(file["main"], array)
        assert file["main"].attrs["voxel_size_nm"].tolist() == [30, 8, 8]
        assert file["main"].compression == "gzip"


def test_a_history_of_more_than_64_kilobytes_fits_into_hdf5(tmp_path):
    record = {**RECORD, "parameters": {"text": "x" * 200_000}}
    spec = VolumeSpec((2, 2, 2), np.dtype("uint8"), history=(record,))
    with create_volume(VolumePath(str(tmp_path / "v.h5")), spec) as writer:
        writer.write(Box.whole((2, 2, 2)), np.ones((2, 2, 2), "uint8"))
    assert read(tmp_path / "v.h5")[1].history == (record,)


def test_zarr_reads_what_we_write_and_the_metadata_is_valid_ngff(tmp_path):
    array = values((2, 5, 6, 7), "uint8")
    write(tmp_path / "v.zarr", array, (30.0, 8.0, 8.0))
    group = zarr.open_group(tmp_path / "v.zarr", mode="r")
    assert np.array_equal(group["0"][:], array)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the validator's own dependencies
        image = OmeImage.from_zarr(group)
    multiscale = image.ome_attributes.multiscales[0]
    assert [axis.name for axis in multiscale.axes] == ["c", "z", "y", "x"]
    assert [axis.unit for axis in multiscale.axes[1:]] == ["nanometer"] * 3
    assert multiscale.datasets[0].coordinateTransformations[0].scale == [1, 30, 8, 8]


def test_an_unknown_voxel_size_is_valid_ngff_too(tmp_path):
    write(tmp_path / "v.zarr", values((2, 3, 4), "uint8"))
    group = zarr.open_group(tmp_path / "v.zarr", mode="r")
    assert OmeImage.from_zarr(group).ome_attributes.multiscales[0].axes[0].unit is None


def test_tifffile_reads_what_we_write_with_axes_and_voxel_size(tmp_path):
    array = values((5, 6, 7), "uint16")
    write(tmp_path / "v.tif", array, (30.0, 8.0, 4.0))
    with tifffile.TiffFile(tmp_path / "v.tif") as file:
        assert file.is_ome
        assert file.series[0].axes == "ZYX"
        assert np.array_equal(file.asarray(), array)
        assert 'PhysicalSizeX="4.0"' in file.ome_metadata
        assert 'PhysicalSizeZUnit="nm"' in file.ome_metadata


def test_slices_are_pngs_named_in_order(tmp_path):
    array = values((3, 4, 5), "uint16")
    write(tmp_path / "v", array, (30.0, 8.0, 8.0))
    assert sorted(file.name for file in (tmp_path / "v").iterdir()) == ["z0000.png", "z0001.png", "z0002.png"]
    with Image.open(tmp_path / "v" / "z0001.png") as image:
        assert np.array_equal(np.asarray(image), array[1])
        assert image.info["voxel_size_nm"] == "30.0 8.0 8.0"


def test_a_sidecar_of_an_older_file_does_not_outlive_it(tmp_path):
    write(tmp_path / "v.tif", values((2, 3, 4), "uint8"))
    spec = VolumeSpec((2, 3, 4), np.dtype("uint8"))
    with create_volume(VolumePath(str(tmp_path / "v.tif")), spec, force=True) as writer:
        writer.write(Box.whole((2, 3, 4)), np.zeros((2, 3, 4), "uint8"))
    assert read(tmp_path / "v.tif")[1].history == ()
