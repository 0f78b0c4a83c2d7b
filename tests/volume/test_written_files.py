"""Other programs' libraries open what is written here, and find axes, voxel size and compression in place."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from ome_zarr_models.v05 import Image as OmeImage
from PIL import Image
from volume_files import RECORD, values, write

MAPS = values((2, 5, 6, 7))
VOLUME = values((5, 6, 7), "uint16")
VOXEL_SIZE = (30.0, 8.0, 4.0)


def test_h5py_finds_one_dataset_and_its_attributes(tmp_path):
    write(tmp_path / "v.h5", VOLUME, VOXEL_SIZE)
    with h5py.File(tmp_path / "v.h5") as file:
        assert list(file) == ["main"]
        assert np.array_equal(file["main"], VOLUME)
        assert file["main"].chunks == (3, 4, 5)
        assert file["main"].compression == "gzip"
        assert file["main"].attrs["voxel_size_nm"].tolist() == [30, 8, 4]
        assert json.loads(file["main"].attrs["history"]) == [RECORD]


def test_h5py_finds_no_voxel_size_where_it_is_unknown(tmp_path):
    write(tmp_path / "v.h5", VOLUME)
    with h5py.File(tmp_path / "v.h5") as file:
        assert list(file["main"].attrs) == ["history"]


def test_a_channel_is_a_chunk_of_its_own(tmp_path):
    write(tmp_path / "v.h5", MAPS)
    write(tmp_path / "v.zarr", MAPS)
    with h5py.File(tmp_path / "v.h5") as file:
        assert file["main"].chunks == (1, 3, 4, 5)
    assert zarr.open_array(tmp_path / "v.zarr" / "0", mode="r").chunks == (1, 3, 4, 5)


@pytest.mark.parametrize(
    ("array", "axes", "scale"),
    [(VOLUME, ["z", "y", "x"], [30, 8, 4]), (MAPS, ["c", "z", "y", "x"], [1, 30, 8, 4])],
)
def test_the_metadata_are_valid_ngff(tmp_path, array, axes, scale):
    write(tmp_path / "v.zarr", array, VOXEL_SIZE)
    group = zarr.open_group(tmp_path / "v.zarr", mode="r")
    image = OmeImage.from_zarr(group)
    multiscale = image.ome_attributes.multiscales[0]
    assert image.ome_attributes.version == "0.5"
    assert [axis.name for axis in multiscale.axes] == axes
    assert [axis.unit for axis in multiscale.axes][-3:] == ["nanometer"] * 3
    assert multiscale.datasets[0].coordinateTransformations[0].scale == scale
    assert group.attrs["history"] == [RECORD]
    assert np.array_equal(group["0"], array)
    assert group["0"].metadata.dimension_names == tuple(axes)


def test_an_unknown_voxel_size_is_valid_ngff_of_no_unit(tmp_path):
    write(tmp_path / "v.zarr", VOLUME)
    image = OmeImage.from_zarr(zarr.open_group(tmp_path / "v.zarr", mode="r"))
    assert [axis.unit for axis in image.ome_attributes.multiscales[0].axes] == [None] * 3


@pytest.mark.parametrize(("array", "axes"), [(VOLUME, "ZYX"), (MAPS, "CZYX")])
def test_tifffile_finds_ome_axes_and_voxel_size(tmp_path, array, axes):
    write(tmp_path / "v.tif", array, VOXEL_SIZE)
    with tifffile.TiffFile(tmp_path / "v.tif") as file:
        assert file.is_ome
        assert file.series[0].axes == axes
        assert np.array_equal(file.asarray(), array)
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    assert [pixels[f"PhysicalSize{axis}"] for axis in "ZYX"] == [30, 8, 4]
    assert [pixels[f"PhysicalSize{axis}Unit"] for axis in "ZYX"] == ["nm"] * 3


def test_tifffile_finds_no_voxel_size_where_it_is_unknown(tmp_path):
    write(tmp_path / "v.tif", VOLUME)
    with tifffile.TiffFile(tmp_path / "v.tif") as file:
        assert "PhysicalSize" not in file.ome_metadata


def test_pillow_opens_png_slices_of_16_bits(tmp_path):
    write(tmp_path / "v", VOLUME, VOXEL_SIZE)
    assert sorted(file.name for file in (tmp_path / "v").iterdir()) == [f"z000{z}.png" for z in range(5)]
    with Image.open(tmp_path / "v" / "z0003.png") as image:
        assert np.array_equal(np.asarray(image), VOLUME[3])
        assert image.info["voxel_size_nm"] == "30.0 8.0 4.0"


def test_tifffile_opens_tiff_slices(tmp_path):
    array = VOLUME.astype("float32")
    write(tmp_path / "v", array, VOXEL_SIZE)
    with tifffile.TiffFile(tmp_path / "v" / "z0003.tif") as file:
        assert np.array_equal(file.asarray(), array[3])
        assert file.pages.first.compression.name == "ADOBE_DEFLATE"
        assert 'PhysicalSizeZ="30.0"' in file.ome_metadata


def test_slices_follow_the_pattern_that_names_them(tmp_path):
    write(tmp_path / "v" / "im_*.tif", VOLUME)
    assert sorted(file.name for file in (tmp_path / "v").iterdir()) == [f"im_000{z}.tif" for z in range(5)]


@pytest.mark.parametrize("name", ["v.tif", "v", "v/*.tif"])
def test_the_history_of_a_format_without_attributes_lies_beside_it(tmp_path, name):
    write(tmp_path / name, VOLUME)
    sidecar = tmp_path / f"{name.split('/')[0]}.history.json"
    assert json.loads(sidecar.read_text()) == [RECORD]
    assert len(list(tmp_path.iterdir())) == 2
