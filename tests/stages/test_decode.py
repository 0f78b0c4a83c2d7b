"""Decoding of map volumes; the decoders themselves are tested in tests/segment."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from mitotools.errors import InputError
from mitotools.parameters import DecodeParameters
from mitotools.run.running import Running
from mitotools.stages.decode import decode_volume
from mitotools.stages.decoding.maps import as_uint8
from mitotools.volume.path import VolumePath, parse_volume_path

TWO_BOXES = DecodeParameters(min_size_voxels=1, min_seed_voxels=1)


@pytest.fixture
def maps():
    """Two boxes of high mask and low contour: (C, Z, Y, X) uint8."""
    maps = np.zeros((2, 4, 8, 16), "uint8")
    maps[0, 1:3, 2:6, 1:7] = 250
    maps[0, 1:3, 2:6, 9:15] = 230
    return maps


def write(path, array):
    with h5py.File(path, "w") as file:
        file["main"] = array
        file["main"].attrs["voxel_size_nm"] = (30.0, 8.0, 8.0)
    return parse_volume_path(str(path))


def decoded(source, tmp_path, parameters=TWO_BOXES):
    target = tmp_path / "labels.h5"
    count = decode_volume(source, VolumePath(str(target)), parameters, Running(force=True))
    with h5py.File(target) as file:
        return count, file["main"][:], dict(file["main"].attrs)


@pytest.mark.parametrize("method", ["mw", "cc"])
def test_two_boxes_are_two_instances_with_the_voxel_size_of_the_maps(tmp_path, maps, method):
    parameters = DecodeParameters(method, min_size_voxels=1, min_seed_voxels=1)
    count, labels, attributes = decoded(write(tmp_path / "maps.h5", maps), tmp_path, parameters)
    assert count == 2
    assert labels.dtype == np.uint8
    assert (labels == 1).sum() == (labels == 2).sum() == 2 * 4 * 6
    assert labels[1, 2, 1] == 1
    assert attributes["voxel_size_nm"].tolist() == [30, 8, 8]
    assert '"seed_contour": 0.6' in attributes["history"]


def test_floating_point_maps_decode_as_their_uint8(tmp_path, maps):
    source = write(tmp_path / "maps.h5", maps)
    as_float = write(tmp_path / "float.h5", ((maps + 0.5) / 256).astype("float32"))
    assert np.array_equal(decoded(source, tmp_path)[1], decoded(as_float, tmp_path)[1])


def test_a_volume_without_channels_is_a_mask(tmp_path, maps):
    whole = write(tmp_path / "maps.h5", maps[:1])
    flat = write(tmp_path / "mask.h5", maps[0])
    assert np.array_equal(decoded(whole, tmp_path)[1], decoded(flat, tmp_path)[1])


def test_a_crop_of_maps_is_decoded_alone(tmp_path, maps):
    write(tmp_path / "maps.h5", maps)
    source = parse_volume_path(f"{tmp_path / 'maps.h5'}[0:2,0:4,0:8,0:8]")
    count, labels, _ = decoded(source, tmp_path)
    assert count == 1
    assert labels.shape == (4, 8, 8)


def test_maps_without_a_seed_give_no_instance(tmp_path, maps):
    maps[1] = 255
    count, labels, _ = decoded(write(tmp_path / "maps.h5", maps), tmp_path)
    assert count == 0
    assert not labels.any()


def test_probabilities_are_rounded_down():
    assert as_uint8(np.array([0, 0.999, 1.0, 0.5]), "maps").tolist() == [0, 254, 255, 127]


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.01, np.inf])
def test_what_is_no_probability_is_refused(value):
    with pytest.raises(InputError, match="from 0 to 1"):
        as_uint8(np.array([0.5, value]), "maps")
