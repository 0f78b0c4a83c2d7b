"""Maps of other programs may have their channels last: (Z, Y, X, C)."""

from __future__ import annotations

import h5py
import nibabel
import numpy as np
import pytest
import zarr
from volume_files import RECORD, read, values
from volume_files import write as save

from mitotools.volume.arrays import volume_of
from mitotools.volume.base import has_channels_last
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.path import VolumePath, parse_volume_path

MAPS = np.random.default_rng(1).integers(0, 256, (20, 9, 11, 2)).astype(np.uint8)


def write(file, array):
    if file.suffix == ".h5":
        with h5py.File(file, "w") as opened:
            opened.create_dataset("main", data=array, chunks=(4, 4, 4, 1))
    elif file.suffix == ".zarr":
        zarr.create_array(file, data=array, chunks=(4, 4, 4, 2))
    else:
        np.save(file, array)


@pytest.mark.parametrize("name", ["maps.h5", "maps.zarr", "maps.npy"])
def test_channels_come_in_front(tmp_path, name):
    write(tmp_path / name, MAPS)
    with open_volume(VolumePath(str(tmp_path / name)), "maps") as volume:
        assert volume.spec.shape == (2, 20, 9, 11)
        box = Box((3, 2, 1), (17, 9, 8))
        assert np.array_equal(volume.read(box), np.moveaxis(MAPS, 3, 0)[(slice(None), *box.slices)])


@pytest.mark.parametrize("name", ["maps.h5", "maps.zarr", "maps.npy"])
def test_a_channel_and_a_crop_are_those_of_the_volume(tmp_path, name):
    write(tmp_path / name, MAPS)
    with open_volume(parse_volume_path(f"{tmp_path / name}[1,2:5,:,1:4]")) as volume:
        assert volume.spec.shape == (3, 9, 3)
        assert np.array_equal(volume.read(Box.whole((3, 9, 3))), MAPS[2:5, :, 1:4, 1])


def test_an_array_written_in_one_piece_is_read_too(tmp_path):
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file["main"] = MAPS
    with open_volume(VolumePath(str(tmp_path / "maps.h5")), "maps") as volume:
        assert np.array_equal(volume.read(Box.whole((20, 9, 11))), np.moveaxis(MAPS, 3, 0))


MANY = values((20, 3, 4, 5))
"""Twenty channels of a volume that is as narrow as channels would be few."""


@pytest.mark.parametrize("name", ["maps.h5", "maps.npy", "maps.zarr", "maps.nii", "maps.tif"])
@pytest.mark.parametrize("records", [(), (RECORD,)], ids=["without history", "with history"])
def test_many_channels_of_a_narrow_volume_of_ours_stay_in_front(tmp_path, name, records):
    save(tmp_path / name, MANY, history=records)
    found, spec = read(tmp_path / name)
    assert spec.shape == MANY.shape
    assert np.array_equal(found, MANY)


@pytest.mark.parametrize("name", ["maps.nii", "maps.nii.gz"])
def test_many_channels_of_a_nifti_file_are_those_of_its_header(tmp_path, name):
    nibabel.save(nibabel.Nifti1Image(MANY.T, np.eye(4)), tmp_path / name)
    assert np.array_equal(read(tmp_path / name)[0], MANY)


def test_many_channels_of_an_array_in_memory_stay_in_front():
    assert np.array_equal(volume_of(MANY).read(Box.whole((3, 4, 5))), MANY)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((500, 4096, 4096, 2), True),
        ((17, 5, 5, 16), True),
        ((2, 500, 64, 16), False),  # channels first, a narrow volume
        ((16, 5, 5, 2), False),  # up to 16 slices might be channels
        ((20, 5, 5, 17), False),
        ((100, 64, 16), False),
    ],
)
def test_what_is_taken_for_channels(shape, expected):
    assert has_channels_last(shape) is expected
