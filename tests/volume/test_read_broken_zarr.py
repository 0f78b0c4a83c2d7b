"""Zarr hierarchies with broken metadata: one of our errors, or the voxels with what is known of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr
from volume_files import outcome, read, refusal, values

from mitotools.errors import InputError

VOLUME = values((4, 5, 6), "uint16")
LEVEL = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [30, 8, 8]}]}
IMAGE = {
    "axes": [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"],
    "datasets": [LEVEL],
}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "{}", '{"zarr_format": 9, "node_type": "group"}',
     '{"zarr_format": 3, "node_type": "array"}', "\xff"],
)  # fmt: skip
def test_broken_metadata_are_an_error(tmp_path, content):
    (tmp_path / "v.zarr").mkdir()
    (tmp_path / "v.zarr" / "zarr.json").write_bytes(content.encode("latin-1"))
    assert isinstance(refusal(read, tmp_path / "v.zarr"), InputError)


def scaled(transformations):
    return {"datasets": [{"path": "0", "coordinateTransformations": transformations}]}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"datasets": []},
        {"datasets": 5},
        {"datasets": [{}]},
        {"datasets": [{"path": "9"}]},
        {"datasets": [{"path": 5}]},
        {"axes": 5},
        {"axes": [{}, {}, {}]},
        {"axes": [{"name": "z", "unit": []}]},
        {"axes": ["z", "z", "z"]},
        {"coordinateTransformations": 5},
        scaled(5),
        scaled([5]),
        scaled([{"type": "scale"}]),
        scaled([{"type": "scale", "scale": [30, 8]}]),
        scaled([{"type": "scale", "scale": [0, 8, 8]}]),
        scaled([{"type": "scale", "scale": ["a", "b", "c"]}]),
    ],
    ids=json.dumps,
)
@pytest.mark.parametrize("name", ["v.zarr", "v.zarr:0"])
def test_broken_image_metadata_are_an_error_or_leave_the_voxel_size_unknown(tmp_path, change, name):
    group = zarr.open_group(tmp_path / "v.zarr", mode="w", zarr_format=3)
    group.create_array("0", data=VOLUME)
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{**IMAGE, **change}]}
    result = outcome(read, tmp_path / name)
    if isinstance(result, InputError):
        assert change
    else:
        assert np.array_equal(result[0], VOLUME)
        assert result[1].voxel_size_nm == (None if change else (30, 8, 8))
