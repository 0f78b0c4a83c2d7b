"""Voxels in one piece of a file are read by parts, also while another program cuts the file."""

from __future__ import annotations

import itertools
import os

import mrcfile
import numpy as np
import pytest
import tifffile
from volume_files import refusal, values, write

from mitotools.errors import InputError
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.formats import stored
from mitotools.volume.formats.stored import Stored
from mitotools.volume.path import parse_volume_path

VOLUME = values((4, 30, 40))


def save_mrc(path):
    with mrcfile.new(path) as file:
        file.set_data(VOLUME.astype("int16"))


def save_pages(path):
    with tifffile.TiffWriter(path) as writer:
        for plane in VOLUME:
            writer.write(plane, metadata=None, contiguous=False)


SAVE = {
    "v.npy": lambda path: np.save(path, VOLUME),
    "fortran.npy": lambda path: np.save(path, np.asfortranarray(VOLUME)),
    "v.nii": lambda path: write(path, VOLUME),
    "v.mrc": save_mrc,
    "v.tif": lambda path: write(path, VOLUME),
    "pages.tif": save_pages,
}


@pytest.mark.parametrize("name", SAVE)
@pytest.mark.parametrize("left", [0, 2500])
def test_a_file_that_is_cut_while_it_is_read_is_one_line(tmp_path, name, left):
    SAVE[name](tmp_path / name)
    volume = open_volume(parse_volume_path(str(tmp_path / name)))
    volume.read(Box((0, 0, 0), (1, 2, 3)))
    os.truncate(tmp_path / name, left)
    error = refusal(volume.read, Box((3, 20, 30), (4, 30, 40)))
    volume.close()
    assert isinstance(error, InputError)
    if name == "pages.tif":
        assert str(error) == f"{tmp_path / name}: page 3 cannot be read (the file ends before it)."
    else:
        assert str(error) == f"{tmp_path / name}: has become shorter while it was read. Copy it again."


@pytest.fixture
def file(tmp_path):
    """Return what opens an array behind three other bytes of a file."""
    descriptors = []

    def save(array):
        path = tmp_path / "array"
        path.write_bytes(b"abc" + array.tobytes())
        descriptors.append(os.open(path, os.O_RDONLY))
        return Stored("array", descriptors[-1], 3, array.shape, array.dtype)

    yield save
    for descriptor in descriptors:
        os.close(descriptor)


PARTS = [slice(0, 5), slice(1, 3), slice(4, 5)]


@pytest.mark.parametrize("dtype", ["u1", ">u2", "<f4"])
@pytest.mark.parametrize(("line", "buffer"), [(2**14, 2**23), (1, 1), (2**14, 1), (2**14, 50)])
def test_every_part_is_that_of_the_array(file, monkeypatch, dtype, line, buffer):
    monkeypatch.setattr(stored, "SHORT_BYTES", line)
    monkeypatch.setattr(stored, "BUFFER_BYTES", buffer)
    array = values((2, 5, 5, 5), "u1").astype(dtype)
    opened = file(array)
    for channels, *part in itertools.product([slice(0, 2), slice(1, 2)], PARTS, PARTS, PARTS):
        expected = array[(channels, *part)]
        found = np.zeros(expected.shape, array.dtype.newbyteorder("="))
        opened.fill(found, (channels, *part))
        assert np.array_equal(found, expected)
        turned = np.zeros(expected.shape[::-1], array.dtype.newbyteorder("=")).T
        opened.fill(turned, (channels, *part))
        assert np.array_equal(turned, expected)


def test_a_narrow_part_of_long_lines_takes_no_more_memory_than_a_bound(file, monkeypatch):
    opened = file(np.zeros((1, 800, 16384), "u1"))  # whole, the lines are 12.5 MiB
    held = []
    empty = np.empty

    def counted(shape, dtype):
        held.append(np.prod(shape) * np.dtype(dtype).itemsize)
        return empty(shape, dtype)

    monkeypatch.setattr(np, "empty", counted)
    opened.fill(np.zeros((1, 800, 2), "u1"), (slice(0, 1), slice(0, 800), slice(7, 9)))
    assert max(held) <= stored.BUFFER_BYTES
