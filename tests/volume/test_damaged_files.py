"""Files cut short or overwritten: one of our errors, and never fewer voxels than there were."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from volume_files import outcome, read, refusal, values, write

from mitotools.errors import InputError

VOLUME = values((6, 24, 24))
CHUNKS = (3, 12, 24)
NO_CLEANING_BETWEEN = [HealthCheck.function_scoped_fixture]


def save_hdf5(folder):
    with h5py.File(folder / "v.h5", "w") as file:
        file.create_dataset("main", data=VOLUME, chunks=(2, 24, 24), compression="gzip")


def save_contiguous_hdf5(folder):
    with h5py.File(folder / "v.h5", "w") as file:
        file["main"] = VOLUME


def save_pages(folder):
    with tifffile.TiffWriter(folder / "v.tif") as file:
        for page in VOLUME:
            file.write(page, compression="zlib", metadata=None)


FILES = {
    "our HDF5": ("v.h5", lambda folder: write(folder / "v.h5", VOLUME)),
    "HDF5": ("v.h5", save_hdf5),
    "contiguous HDF5": ("v.h5", save_contiguous_hdf5),
    "our TIFF": ("v.tif", lambda folder: write(folder / "v.tif", VOLUME)),
    "pages": ("v.tif", save_pages),
    "TIFF": ("v.tif", lambda folder: tifffile.imwrite(folder / "v.tif", VOLUME)),
    "ImageJ": ("v.tif", lambda folder: tifffile.imwrite(folder / "v.tif", VOLUME, imagej=True)),
    "compressed": ("v.tif", lambda folder: tifffile.imwrite(folder / "v.tif", VOLUME, compression="zlib")),
    "OME": ("v.tif", lambda folder: tifffile.imwrite(folder / "v.tif", VOLUME, ome=True, compression="zlib")),
    "PNG": ("v/z0000.png", lambda folder: write(folder / "v", VOLUME)),
    "TIFF slice": ("v/z0000.tif", lambda folder: write(folder / "v", VOLUME.astype("uint32"))),
    "zarr metadata": ("v.zarr/zarr.json", lambda folder: write(folder / "v.zarr", VOLUME, chunks=CHUNKS)),
    "array metadata": ("v.zarr/0/zarr.json", lambda folder: write(folder / "v.zarr", VOLUME, chunks=CHUNKS)),
    "zstd chunk": ("v.zarr/0/c/0/0/0", lambda folder: write(folder / "v.zarr", VOLUME, chunks=CHUNKS)),
    "gzip chunk": (
        "v.zarr/0/c/0/0/0",
        lambda folder: write(folder / "v.zarr", VOLUME, chunks=CHUNKS, compression="gzip"),
    ),
    "plain chunk": (
        "v.zarr/0/c/0/0/0",
        lambda folder: write(folder / "v.zarr", VOLUME, chunks=CHUNKS, compression="none"),
    ),
}


@pytest.fixture(params=FILES)
def damaged(request, tmp_path):
    """Return the file to damage, and the name of its volume."""
    file, save = FILES[request.param]
    save(tmp_path)
    return tmp_path / file, tmp_path / file.split("/")[0]


@settings(max_examples=25, deadline=None, suppress_health_check=NO_CLEANING_BETWEEN)
@given(data=st.data())
def test_a_file_cut_short_is_an_error_or_whole_after_all(damaged, data):
    file, name = damaged
    content = file.read_bytes()
    try:
        file.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
        result = outcome(read, name, VOLUME.shape)
    finally:
        file.write_bytes(content)
    assert isinstance(result, InputError) or np.array_equal(result[0], VOLUME)


@settings(max_examples=25, deadline=None, suppress_health_check=NO_CLEANING_BETWEEN)
@given(data=st.data())
def test_overwritten_bytes_raise_no_other_errors_than_ours(damaged, data):
    file, name = damaged
    content = file.read_bytes()
    start = data.draw(st.integers(0, len(content) - 1))
    rubbish = data.draw(st.binary(min_size=1, max_size=8))
    try:
        file.write_bytes(content[:start] + rubbish + content[start + len(rubbish) :])
        result = outcome(read, name, VOLUME.shape)
    finally:
        file.write_bytes(content)
    assert "\n" not in str(result) or not isinstance(result, Exception)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_pages_that_were_cut_off_are_missed(tmp_path, part):
    """A reader that takes the pages it finds would show a shorter volume."""
    save_pages(tmp_path)
    content = (tmp_path / "v.tif").read_bytes()
    (tmp_path / "v.tif").write_bytes(content[: int(len(content) * part)])
    error = refusal(read, tmp_path / "v.tif")
    assert isinstance(error, InputError)


def test_a_damaged_chunk_is_reported_once_and_nothing_else_is_said(tmp_path, capfd):
    write(tmp_path / "v.zarr", VOLUME, chunks=(1, 8, 8))
    for chunk in (tmp_path / "v.zarr" / "0" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"rubbish")
    error = refusal(read, tmp_path / "v.zarr", (6, 24, 24))
    assert "[0:6,0:24,0:24] cannot be read" in str(error)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["v.h5", "v.zarr", "v.tif", "v.nii", "v.nii.gz", "v.npy", "v.mrc", "v.json"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    assert str(refusal(read, tmp_path / name)) == f"{tmp_path / name}: is a pipe or a device, and no file."


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_pipe_among_slices_is_not_waited_for(tmp_path, suffix):
    write(tmp_path / f"v/*{suffix}", VOLUME)
    file = tmp_path / "v" / f"z0003{suffix}"
    file.unlink()
    os.mkfifo(file)
    assert str(refusal(read, tmp_path / "v")) == f"{file}: is a pipe or a device, and no file."


def test_a_slice_that_cannot_be_read_is_named(tmp_path):
    write(tmp_path / "v", VOLUME)
    (tmp_path / "v" / "z0003.png").write_bytes(b"rubbish")
    assert "z0003.png: cannot be read as an image" in str(refusal(read, tmp_path / "v"))
