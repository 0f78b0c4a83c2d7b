"""N5, written by tensorstore, with the attributes that N5's programs add."""

from __future__ import annotations

import json
import logging
import os
import sys

import numpy as np
import pytest
from format_files import LENGTHS, crop, load, unreadable, unwritable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from volume_files import outcome, values

from mitotools.errors import InputError
from mitotools.volume.formats import N5, format_of

tensorstore = pytest.importorskip("tensorstore")

TYPES = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64"]
IN_ONE_FOLDER = [HealthCheck.function_scoped_fixture]


def saved(folder, array, chunks=(4, 3, 2), compression="gzip", **attributes):
    """Save a (Z, Y, X) or (C, Z, Y, X) array with axes x, y, z and c."""
    store = {
        "driver": "n5",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "metadata": {
            "dimensions": array.shape[::-1],
            "blockSize": (*chunks, 1)[: array.ndim],
            "dataType": array.dtype.name,
            "compression": {"type": compression},
        },
        "delete_existing": True,
    }
    tensorstore.open(store, create=True).result().write(array.T).result()
    add(folder, **attributes)
    return folder


def add(folder, **attributes):
    folder.mkdir(exist_ok=True)
    file = folder / "attributes.json"
    known = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps({**known, **attributes}))


@settings(max_examples=60, deadline=None, suppress_health_check=IN_ONE_FOLDER)
@given(
    LENGTHS,
    st.none() | st.integers(1, 3),
    st.sampled_from(TYPES),
    LENGTHS,
    st.sampled_from(["gzip", "raw", "bzip2", "xz"]),
    LENGTHS,
)
def test_what_tensorstore_writes_is_read(tmp_path_factory, size, channels, dtype, chunks, compression, block):
    array = values(size if channels is None else (channels, *size), dtype)
    found, spec = load(
        saved(tmp_path_factory.mktemp("read") / "v.n5", array, chunks, compression), block=block
    )
    assert np.array_equal(found, array)
    assert spec.dtype == array.dtype
    assert spec.chunks == chunks[::-1]


def test_a_box_is_read_from_where_it_lies(tmp_path):
    array = values((2, 4, 5, 6), "uint16")
    path = saved(tmp_path / "v.n5", array)
    assert np.array_equal(crop(path, (1, 2, 3), (3, 5, 4)), array[:, 1:3, 2:5, 3:4])


def test_a_folder_is_known_by_its_attributes(tmp_path):
    assert format_of(str(saved(tmp_path / "v", values((2, 3, 4))))) is N5
    assert format_of(str(tmp_path / "new.n5")) is N5


@pytest.mark.parametrize("name", ["raw", "volumes/raw", "c0/s0", "setup0/timepoint0/s0"])
def test_the_only_array_is_found(tmp_path, name):
    add(tmp_path / "v.n5", n5="2.0.0")
    saved(tmp_path / "v.n5" / name, values((2, 3, 4)))
    assert np.array_equal(load(tmp_path / "v.n5")[0], values((2, 3, 4)))
    assert np.array_equal(load(tmp_path / "v.n5", name)[0], values((2, 3, 4)))


def test_of_several_resolutions_the_full_one_is_read(tmp_path):
    full, half = values((4, 4, 4)), values((2, 2, 2))
    saved(tmp_path / "v.n5" / "c0" / "s0", full)
    saved(tmp_path / "v.n5" / "c0" / "s1", half)
    assert np.array_equal(load(tmp_path / "v.n5")[0], full)
    assert np.array_equal(load(tmp_path / "v.n5", "c0")[0], full)
    assert np.array_equal(load(tmp_path / "v.n5", "c0/s1")[0], half)


def test_several_arrays_are_listed(tmp_path):
    for name in ("c0/s0", "c1/s0", "c1/s1"):
        saved(tmp_path / "v.n5" / name, values((2, 3, 4)))
    assert f"which array? It holds c0/s0, c1/s0. Say {tmp_path}/v.n5:NAME" in unreadable(tmp_path / "v.n5")
    assert "no such dataset; the N5 holds c0/s0, c1/s0" in unreadable(tmp_path / "v.n5", "c2")


def test_main_comes_first(tmp_path):
    saved(tmp_path / "v.n5" / "main", values((2, 3, 4)))
    saved(tmp_path / "v.n5" / "other", values((2, 2, 2)))
    assert load(tmp_path / "v.n5")[1].shape == (2, 3, 4)


COSEM = {"axes": ["z", "y", "x"], "scale": [30.0, 8.0, 4.0], "units": ["nm"] * 3, "translate": [0, 0, 0]}


@pytest.mark.parametrize(
    ("attributes", "voxel_size"),
    [
        ({}, None),
        ({"resolution": [4, 8, 30]}, (30.0, 8.0, 4.0)),
        ({"resolution": [0.004, 0.008, 0.03], "units": ["um"] * 3}, (30.0, 8.0, 4.0)),
        ({"resolution": [4, 8, 30], "units": ["parsec"] * 3}, None),
        ({"pixelResolution": {"unit": "um", "dimensions": [0.004, 0.008, 0.03]}}, (30.0, 8.0, 4.0)),
        ({"pixelResolution": [0.004, 0.008, 0.03]}, None),  # of what unit?
        ({"transform": COSEM}, (30.0, 8.0, 4.0)),
        ({"transform": {**COSEM, "axes": ["x", "y", "z"]}}, (4.0, 8.0, 30.0)),
        ({"transform": {**COSEM, "units": None}}, None),
    ],
)
@pytest.mark.parametrize("place", ["", "c0", "c0/s0"])
def test_a_voxel_size_stands_at_the_array_or_at_a_group_around_it(tmp_path, attributes, voxel_size, place):
    saved(tmp_path / "v.n5" / "c0" / "s0", values((2, 3, 4)))
    add(tmp_path / "v.n5" / place, **attributes)
    assert load(tmp_path / "v.n5")[1].voxel_size_nm == voxel_size


@pytest.mark.parametrize("resolution", [["a", "b", "c"], 7, [1, 2], None, [None] * 3])
def test_a_resolution_that_is_none_is_ignored(tmp_path, resolution):
    saved(tmp_path / "v.n5" / "s0", values((2, 3, 4)))
    add(tmp_path / "v.n5", resolution=resolution)
    assert load(tmp_path / "v.n5")[1].voxel_size_nm is None


def test_a_lower_resolution_has_larger_voxels(tmp_path):
    saved(tmp_path / "v.n5" / "s0", values((4, 4, 4)))
    saved(tmp_path / "v.n5" / "s1", values((4, 2, 2)), downsamplingFactors=[2, 2, 1])
    add(tmp_path / "v.n5", resolution=[4, 8, 30])
    assert load(tmp_path / "v.n5", "s1")[1].voxel_size_nm == (30.0, 16.0, 8.0)


def test_missing_chunks_are_0_and_said_once(tmp_path, caplog):
    array = values((4, 6, 8)) | 1
    path = saved(tmp_path / "v.n5", array)
    (path / "0" / "1" / "1").unlink()
    (path / "1" / "0" / "0").unlink()
    array[2:4, 3:6, 0:4] = 0
    array[0:2, 0:3, 4:8] = 0
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(load(path)[0], array)
    assert [record.message.count("chunks are missing; their voxels are 0") for record in caplog.records] == [
        1
    ]


def test_a_damaged_chunk_is_an_error(tmp_path):
    path = saved(tmp_path / "v.n5", values((4, 6, 8)))
    (path / "0" / "1" / "1").write_bytes(b"rubbish")
    assert "cannot be read" in unreadable(path)
    assert "tensorstore_spec" not in unreadable(path)


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"dataType": "complex64"}, "cannot be read"),
        ({"dimensions": [4, 3]}, "cannot be read"),
        ({"dimensions": [-4, 3, 2]}, "cannot be read"),
        ({"compression": {"type": "magic"}}, "cannot be read"),
        ({"blockSize": [10**5, 10**5, 10**5]}, "exceeds maximum chunk size"),
        ({"dimensions": [4, 3], "blockSize": [4, 3]}, "expected three dimensions"),
    ],
)
def test_attributes_that_cannot_be_true_are_refused(tmp_path, attributes, why):
    path = saved(tmp_path / "v.n5", values((2, 3, 4)))
    add(path, **attributes)
    assert why in unreadable(path)


@settings(max_examples=60, deadline=None, suppress_health_check=IN_ONE_FOLDER)
@given(st.data())
def test_damaged_attributes_raise_no_other_errors_than_ours(tmp_path_factory, data):
    path = saved(tmp_path_factory.mktemp("damaged") / "v.n5", values((2, 3, 4)), resolution=[4, 8, 30])
    content = (path / "attributes.json").read_bytes()
    start = data.draw(st.integers(0, len(content)))
    rubbish = data.draw(st.binary(max_size=8))
    damaged = content[:start] + rubbish + content[start + len(rubbish) :]
    (path / "attributes.json").write_bytes(damaged[: data.draw(st.integers(0, len(content)))])
    result = outcome(load, path, None, (8, 8, 8))
    assert isinstance(result, InputError | tuple)


def test_without_the_library_the_error_says_what_to_install(tmp_path, monkeypatch):
    path = saved(tmp_path / "v.n5", values((2, 3, 4)))
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    assert "Install it: pip install 'mitotools[neuroglancer]'" in unreadable(path)


def test_it_is_not_written(tmp_path):
    assert "N5 is read, not written" in unwritable(tmp_path / "v.n5", values((2, 3, 4)))


@pytest.mark.parametrize(("shape", "name"), [((3, 4, 5), "1/1/1"), ((2, 3, 4, 5), "1/1/1/1")])
def test_a_pipe_among_the_chunks_is_not_waited_for(tmp_path, shape, name):
    folder = saved(tmp_path / "v.n5", values(shape))
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert unreadable(folder) == f"{folder / name}: is a pipe or a device, and no file."
