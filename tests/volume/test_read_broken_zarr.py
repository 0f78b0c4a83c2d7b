"""Zarr hierarchies with broken metadata: one of our errors, or the voxels with what is known of them."""

from __future__ import annotations

import json
import os

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


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_chunks_of_no_voxels_are_an_error(tmp_path, zarr_format):
    zarr.create_array(tmp_path / "v.zarr", data=VOLUME, chunks=(2, 5, 6), zarr_format=zarr_format)
    file = tmp_path / "v.zarr" / ("zarr.json" if zarr_format == 3 else ".zarray")
    content = json.loads(file.read_text())
    holder = content["chunk_grid"]["configuration"] if zarr_format == 3 else content
    holder["chunk_shape" if zarr_format == 3 else "chunks"] = [0, 5, 6]
    file.write_text(json.dumps(content))
    assert "v.zarr: states chunks of no voxels: (0, 5, 6)" in str(refusal(read, tmp_path / "v.zarr"))


FILES = ["zarr.json", "c/0/0/0"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("compressors", ["auto", None])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path, name, compressors):
    zarr.create_array(tmp_path / "v.zarr", data=VOLUME, compressors=compressors)
    file = tmp_path / "v.zarr" / name
    file.unlink()
    os.mkfifo(file)
    assert str(refusal(read, tmp_path / "v.zarr")) == f"{file}: is a pipe or a device, and no file."


@pytest.mark.parametrize("name", FILES)
def test_a_device_in_place_of_a_file_is_not_read(tmp_path, name):
    zarr.create_array(tmp_path / "v.zarr", data=VOLUME)
    file = tmp_path / "v.zarr" / name
    file.unlink()
    file.symlink_to("/dev/zero")
    assert str(refusal(read, tmp_path / "v.zarr")) == f"{file}: is a pipe or a device, and no file."


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_too_large_to_be_true_is_not_read(tmp_path, name):
    zarr.create_array(tmp_path / "v.zarr", data=VOLUME)
    file = tmp_path / "v.zarr" / name
    os.truncate(file, 2**40)
    error = refusal(read, tmp_path / "v.zarr")
    assert str(error) == f"{file}: is too large to be true: {2**40} bytes. Copy it again."
