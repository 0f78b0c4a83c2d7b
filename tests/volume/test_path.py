"""``FILE[:DATASET][CROP]``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitotools.errors import InputError, UsageError
from mitotools.volume.blocks import Box
from mitotools.volume.path import VolumePath, parse_volume_path

NAMES = {
    "raw.h5": VolumePath("raw.h5"),
    "raw.h5:volumes/raw": VolumePath("raw.h5", "volumes/raw"),
    "raw.h5:/volumes/raw": VolumePath("raw.h5", "volumes/raw"),
    "a.b/RAW.HDF5:x": VolumePath("a.b/RAW.HDF5", "x"),
    "cell.zarr": VolumePath("cell.zarr"),
    "cell.zarr/labels/mito": VolumePath("cell.zarr", "labels/mito"),
    "cell.zarr:labels/mito": VolumePath("cell.zarr", "labels/mito"),
    "cell.zarr/": VolumePath("cell.zarr"),
    "slices/": VolumePath("slices/"),
    "im/im[0-9]*.png": VolumePath("im/im[0-9]*.png"),
    "a:b.tif": VolumePath("a:b.tif"),
    "-": VolumePath("-"),
    "raw.h5[0:10,20:30,:]": VolumePath("raw.h5", None, ((0, 10), (20, 30), (0, None))),
    "raw.h5[:5, 3:, 1:2]": VolumePath("raw.h5", None, ((0, 5), (3, None), (1, 2))),
    "maps.h5:main[1]": VolumePath("maps.h5", "main", None, 1),
    "maps.h5[0:2]": VolumePath("maps.h5", None, None, (0, 2)),
    "maps.h5[1,0:1,0:2,0:3]": VolumePath("maps.h5", None, ((0, 1), (0, 2), (0, 3)), 1),
}


@pytest.mark.parametrize(("text", "expected"), NAMES.items(), ids=NAMES)
def test_a_name_is_taken_apart(text, expected):
    assert parse_volume_path(text) == expected


@pytest.mark.parametrize(
    "text", ["a.h5[0:1,0:1]", "a.h5[1,2,3]", "a.h5[]", "a.h5[1:2:3,:,:]", "a.h5[0:1,:,:,:,:]"]
)
def test_a_malformed_crop_is_wrong_usage(text):
    with pytest.raises(UsageError):
        parse_volume_path(text)


BOUNDS = st.tuples(st.integers(0, 99), st.none() | st.integers(0, 99))


@given(
    ranges=st.none() | st.tuples(BOUNDS, BOUNDS, BOUNDS),
    channels=st.none() | st.integers(0, 9) | BOUNDS,
    dataset=st.none() | st.sampled_from(["main", "volumes/raw"]),
)
def test_a_name_put_together_reads_back(ranges, channels, dataset):
    path = VolumePath("raw.h5", dataset, ranges, channels)
    assert parse_volume_path(f"{path}{path.crop}") == path


def test_a_crop_with_open_ends_reaches_them():
    path = parse_volume_path("raw.h5[:,2:,:3]")
    assert path.box((4, 5, 6)) == Box((0, 2, 0), (4, 5, 3))


@pytest.mark.parametrize("crop", ["[0:5,:,:]", "[3:3,:,:]", "[3:2,:,:]", "[:,9:,:]"])
def test_a_crop_outside_the_volume_or_empty_is_refused(crop):
    with pytest.raises(InputError, match="does not lie in the volume"):
        parse_volume_path(f"raw.h5{crop}").box((4, 5, 6))
