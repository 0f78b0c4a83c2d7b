"""Voxel sizes outside 0.1 to 1000 nm, whatever the format: unknown, and said so once."""

from __future__ import annotations

import json
import logging
import struct

import h5py
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from volume_files import read, values, write

from mitotools.volume.voxel_size import known_voxel_size

VOLUME = values((3, 5, 6))


def hdf5(path, length_nm):
    with h5py.File(path, "w") as file:
        file["main"] = VOLUME
        file["main"].attrs["voxel_size_nm"] = (length_nm, 8.0, 8.0)


def zarr(path, length_nm):
    write(path, VOLUME, (500.0, 8.0, 8.0))
    metadata = path / "zarr.json"
    metadata.write_text(metadata.read_text().replace("500.0", str(length_nm)))


def tiff(path, length_nm):
    sizes = {f"PhysicalSize{axis}": length for axis, length in zip("ZYX", (length_nm, 8, 8), strict=True)}
    units = {f"PhysicalSize{axis}Unit": "nm" for axis in "ZYX"}
    tifffile.imwrite(path, VOLUME, ome=True, metadata={"axes": "ZYX", **sizes, **units})


def imagej(path, length_nm):
    metadata = {"axes": "ZYX", "unit": "nm", "spacing": length_nm}
    tifffile.imwrite(path, VOLUME, imagej=True, resolution=(1 / 8, 1 / 8), metadata=metadata)


def png_slices(path, length_nm):
    path.mkdir()
    for z, plane in enumerate(VOLUME):
        information = PngInfo()
        information.add_text("voxel_size_nm", f"{length_nm} 8 8")
        Image.fromarray(plane).save(path / f"{z}.png", pnginfo=information)


def tiff_slices(path, length_nm):
    path.mkdir()
    for z, plane in enumerate(VOLUME):
        tiff(path / f"{z}.tif", length_nm)
        description = tifffile.tiffcomment(path / f"{z}.tif")
        tifffile.imwrite(path / f"{z}.tif", plane, description=description, metadata=None)


def precomputed(path, length_nm):
    write(path, VOLUME, (500.0, 8.0, 8.0))
    information = json.loads((path / "info").read_text())
    information["scales"][0]["resolution"] = [8, 8, length_nm]
    (path / "info").write_text(json.dumps(information))


def mrc(path, length_nm):
    import mrcfile

    with mrcfile.new(path) as file:
        file.set_data(VOLUME.astype("int16"))
        file.voxel_size = (80, 80, 10 * length_nm)  # Angstrom


FILES = {
    "v.h5": hdf5, "v.zarr": zarr, "v.ome.tif": tiff, "v.tif": imagej, "pngs": png_slices,
    "tiffs": tiff_slices, "v.precomputed": precomputed, "v.mrc": mrc,
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("length_nm", [2000.0, 0.05])
def test_a_voxel_size_that_cannot_be_is_unknown_and_said_once(tmp_path, caplog, name, length_nm):
    FILES[name](tmp_path / name, length_nm)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert read(tmp_path / name)[1].voxel_size_nm is None
    (record,) = caplog.records
    assert f"its voxel size of {length_nm:g} x 8 x 8 nm is not within 0.1 to 1000 nm" in record.getMessage()


@pytest.mark.parametrize("name", FILES)
def test_a_voxel_size_that_can_be_is_read_in_silence(tmp_path, caplog, name):
    FILES[name](tmp_path / name, 30.0)
    with caplog.at_level(logging.WARNING):
        assert read(tmp_path / name)[1].voxel_size_nm == pytest.approx((30, 8, 8))
    assert caplog.records == []


def test_a_header_of_zeros_states_none(tmp_path, caplog):
    mrc(tmp_path / "v.mrc", 30)
    content = bytearray((tmp_path / "v.mrc").read_bytes())
    content[40:52] = struct.pack("<3f", 0, 0, 0)  # the size of the cell
    (tmp_path / "v.mrc").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert read(tmp_path / "v.mrc")[1].voxel_size_nm is None
    assert caplog.records == []


@pytest.mark.parametrize(
    ("values_nm", "known"),
    [
        ((30, 8, 8), True),
        ((0.1, 0.1, 0.1), True),
        ((1000, 1000, 1000), True),
        ((1, 1, 1), True),
        ((1e6, 1e6, 1e6), False),  # 1 mm
        ((30, 8, 1001), False),
        ((30, 8, 0.09), False),
        ((30, 8, 0), False),
        ((30, 8, -8), False),
        ((30, 8, float("nan")), False),
        ((30, 8, float("inf")), False),
        ((8, 8), False),
        ((1, 30, 8, 8), False),
        (None, False),
    ],
)
def test_a_voxel_size_that_cannot_be_is_unknown(values_nm, known):
    assert known_voxel_size(values_nm) == (values_nm if known else None)
