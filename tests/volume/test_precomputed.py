"""Neuroglancer precomputed, against tensorstore."""

from __future__ import annotations

import json
import logging
import os
import sys

import numpy as np
import pytest
from format_files import LENGTHS, crop, load, plan, save, unreadable, unwritable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from volume_files import outcome, refusal, values

from mitotools.errors import InputError, TargetError
from mitotools.volume.blocks import Box
from mitotools.volume.formats import PRECOMPUTED, format_of, precomputed

tensorstore = pytest.importorskip("tensorstore")

TYPES = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "float32"]
IN_ONE_FOLDER = [HealthCheck.function_scoped_fixture]
SHARDING = {
    "@type": "neuroglancer_uint64_sharded_v1",
    "preshift_bits": 1,
    "hash": "identity",
    "minishard_bits": 1,
    "shard_bits": 1,
    "minishard_index_encoding": "gzip",
    "data_encoding": "gzip",
}


def store(folder, **properties):
    return {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        **properties,
    }


def saved(folder, array, chunks=(4, 3, 2), kind="image", **scale):
    """Save a (Z, Y, X) or (C, Z, Y, X) array with axes x, y, z and channel."""
    channels = array.shape[0] if array.ndim == 4 else 1
    properties = {
        "multiscale_metadata": {"type": kind, "data_type": array.dtype.name, "num_channels": channels},
        "scale_metadata": {
            "size": array.shape[:-4:-1],
            "resolution": [4, 8, 30],
            "chunk_size": chunks,
            "encoding": "raw",
            **scale,
        },
    }
    created = tensorstore.open(store(folder, **properties), create=True).result()
    created.write(array.T if array.ndim == 4 else array.T[..., np.newaxis]).result()
    return folder


def found_by_tensorstore(folder):
    array = tensorstore.open(store(folder)).result().read().result()
    return np.asarray(array).T


def info(folder):
    return json.loads((folder / "info").read_text())


@settings(max_examples=60, deadline=None, suppress_health_check=IN_ONE_FOLDER)
@given(
    LENGTHS,
    st.none() | st.integers(2, 3),
    st.sampled_from(TYPES),
    LENGTHS,
    st.integers(0, 9),
    st.booleans(),
)
def test_tensorstore_reads_what_is_written(tmp_path_factory, size, channels, dtype, chunks, seed, is_labels):
    path = tmp_path_factory.mktemp("written") / "v.precomputed"
    array = values(size if channels is None else (channels, *size), dtype, seed)
    save(path, array, seed=seed, chunks=chunks, is_labels=is_labels)
    assert np.array_equal(found_by_tensorstore(path).reshape(array.shape), array)
    assert info(path)["scales"][0]["resolution"] == [4, 8, 30]
    found, spec = load(path)
    assert np.array_equal(found, array)
    assert spec.voxel_size_nm == (30.0, 8.0, 4.0)


@settings(max_examples=60, deadline=None, suppress_health_check=IN_ONE_FOLDER)
@given(
    LENGTHS,
    st.none() | st.integers(2, 3),
    st.sampled_from(TYPES),
    LENGTHS,
    st.none() | st.just(SHARDING),
    st.tuples(st.integers(-5, 5), st.integers(0, 5), st.integers(0, 5)),
    LENGTHS,
)
def test_what_tensorstore_writes_is_read(
    tmp_path_factory, size, channels, dtype, chunks, sharding, offset, block
):
    array = values(size if channels is None else (channels, *size), dtype)
    path = tmp_path_factory.mktemp("read") / "v"
    saved(path, array, chunks, sharding=sharding, voxel_offset=offset)
    found, spec = load(path, block=block)
    assert np.array_equal(found, array)
    assert spec.dtype == array.dtype
    assert spec.chunks == chunks[::-1]


def test_a_box_is_read_from_where_it_lies(tmp_path):
    array = values((2, 4, 5, 6), "uint16")
    path = saved(tmp_path / "v", array, voxel_offset=(10, 20, 30))
    assert np.array_equal(crop(path, (1, 2, 3), (3, 5, 4)), array[:, 1:3, 2:5, 3:4])


def test_a_folder_is_known_by_its_info(tmp_path):
    assert format_of(str(saved(tmp_path / "v", values((2, 3, 4))))) is PRECOMPUTED
    assert format_of(str(tmp_path / "new.precomputed")) is PRECOMPUTED


@pytest.mark.parametrize(
    ("dtype", "properties", "kind", "encoding"),
    [
        ("uint64", {}, "segmentation", "compressed_segmentation"),
        ("uint32", {}, "segmentation", "compressed_segmentation"),
        ("uint32", {"compression": "none"}, "segmentation", "raw"),
        ("uint16", {"is_labels": True}, "segmentation", "raw"),
        ("uint16", {}, "image", "raw"),
        ("float32", {}, "image", "raw"),
    ],
)
def test_ids_are_a_segmentation(tmp_path, dtype, properties, kind, encoding):
    save(tmp_path / "v.precomputed", values((2, 3, 4), dtype), **properties)
    written = info(tmp_path / "v.precomputed")
    assert (written["type"], written["scales"][0]["encoding"]) == (kind, encoding)
    assert load(tmp_path / "v.precomputed")[1].is_labels == (kind == "segmentation")


def test_a_scale_is_chosen_by_its_key_or_number_and_is_the_first_by_default(tmp_path):
    full, half = values((4, 4, 4)), values((4, 2, 2))
    saved(tmp_path / "v", full, key="full")
    saved(tmp_path / "v", half, key="half", resolution=[8, 16, 30])
    assert np.array_equal(load(tmp_path / "v")[0], full)
    assert np.array_equal(load(tmp_path / "v", "full")[0], full)
    for name in ("half", "1"):
        found, spec = load(tmp_path / "v", name)
        assert np.array_equal(found, half)
        assert spec.voxel_size_nm == (30.0, 16.0, 8.0)
    assert "no such scale; the volume has full, half" in unreadable(tmp_path / "v", "2")


def test_chunks_of_zeros_are_written_so_that_a_missing_one_is_noticed(tmp_path, caplog):
    path = tmp_path / "v.precomputed"
    save(path, np.zeros((4, 4, 4), "uint8"), chunks=(2, 2, 2))
    with caplog.at_level(logging.WARNING):
        load(path)
        assert caplog.records == []
        (path / "4_8_30" / "0-2_0-2_2-4").unlink()
        load(path)
    assert [record.message.count("chunks are missing; their voxels are 0") for record in caplog.records] == [
        1
    ]


def test_the_writer_that_creates_it_writes_zeros_too(tmp_path):
    path = tmp_path / "v.precomputed"
    array = np.zeros((2, 2, 2), "uint8")
    writer = precomputed.create_writer(path, plan(path, array), path)
    writer.write(Box.whole((2, 2, 2)), array)
    writer.close()
    assert [file.name for file in (path / "4_8_30").iterdir()] == ["0-2_0-2_0-2"]


def test_a_damaged_chunk_is_an_error(tmp_path):
    save(tmp_path / "v.precomputed", values((4, 4, 4)), chunks=(2, 2, 2))
    (tmp_path / "v.precomputed" / "4_8_30" / "0-2_0-2_2-4").write_bytes(b"rubbish")
    assert "cannot be read" in unreadable(tmp_path / "v.precomputed")


@pytest.mark.parametrize("dtype", ["int64", "float16", "float64", "bool"])
def test_a_type_that_it_does_not_have_is_refused_with_advice(tmp_path, dtype):
    why = unwritable(tmp_path / "v.precomputed", values((2, 3, 4), dtype))
    assert f"precomputed has no type {dtype}. Choose another --dtype: uint8" in why


def test_an_unknown_voxel_size_is_not_invented(tmp_path):
    why = unwritable(tmp_path / "v.precomputed", values((2, 3, 4)), None)
    assert "that of this volume is unknown. Say --voxel-size Z,Y,X" in why


@pytest.mark.parametrize("properties", [{"shards": (2, 2, 2)}, {"compression": "gzip"}])
def test_what_it_cannot_store_is_refused(tmp_path, properties):
    assert "precomputed" in unwritable(tmp_path / "v.precomputed", values((2, 3, 4)), **properties)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[1]", "lists no scales"),
        ('{"@type": "neuroglancer_legacy_mesh"}', "lists no scales"),
        ('{"scales": []}', "lists no scales"),
        ('{"scales": [{}]}', "cannot be read"),
    ],
)
def test_an_info_that_is_none_is_refused(tmp_path, content, why):
    (tmp_path / "v.precomputed").mkdir()
    (tmp_path / "v.precomputed" / "info").write_text(content)
    assert why in unreadable(tmp_path / "v.precomputed")


def test_a_folder_without_info_is_refused(tmp_path):
    (tmp_path / "v.precomputed").mkdir()
    assert "info: cannot be read" in unreadable(tmp_path / "v.precomputed")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"chunk_sizes": [[10**5, 10**5, 10**5]]}, "too large to be true"),
        ({"size": [4, 3, -2]}, "cannot be read"),
        ({"encoding": "magic"}, "cannot be read"),
        ({"chunk_sizes": []}, "cannot be read"),
    ],
)
def test_a_scale_that_cannot_be_true_is_refused(tmp_path, changes, why):
    path = saved(tmp_path / "v", values((2, 3, 4)))
    content = info(path)
    content["scales"][0].update(changes)
    (path / "info").write_text(json.dumps(content))
    assert why in unreadable(path)


@settings(max_examples=60, deadline=None, suppress_health_check=IN_ONE_FOLDER)
@given(st.data())
def test_a_damaged_info_raises_no_other_errors_than_ours(tmp_path_factory, data):
    path = saved(tmp_path_factory.mktemp("damaged") / "v.precomputed", values((2, 3, 4)))
    content = (path / "info").read_bytes()
    start = data.draw(st.integers(0, len(content)))
    rubbish = data.draw(st.binary(max_size=8))
    damaged = content[:start] + rubbish + content[start + len(rubbish) :]
    (path / "info").write_bytes(damaged[: data.draw(st.integers(0, len(content)))])
    result = outcome(load, path, None, (8, 8, 8))
    assert isinstance(result, InputError | tuple)


def test_without_the_library_the_error_says_what_to_install(tmp_path, monkeypatch):
    path = saved(tmp_path / "v", values((2, 3, 4)))
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    advice = "Install it: pip install 'mitotools[neuroglancer]'"
    assert advice in unreadable(path)
    assert advice in unwritable(tmp_path / "v.precomputed", values((2, 3, 4)))


def test_a_folder_that_cannot_be_written_is_an_error_of_ours(tmp_path):
    target = tmp_path / "v.precomputed"
    array = values((2, 3, 4))
    spec = plan(target, array)
    writer = precomputed.create_writer(target, spec, target)
    (target / "4_8_30").write_text("a file where the chunks should be")
    error = refusal(writer.write, Box.whole((2, 3, 4)), array)
    assert isinstance(error, TargetError)
    assert "cannot be written" in str(error)


def test_a_pipe_among_the_chunks_or_as_info_is_not_waited_for(tmp_path):
    """Chunks are named by what they hold, which may be less at the end, and not start at 0."""
    folder = saved(tmp_path / "v.precomputed", values((3, 4, 5)), voxel_offset=[7, 20, 100])
    for file in (folder / "4_8_30" / "11-12_23-24_102-103", folder / "info"):
        file.unlink()
        os.mkfifo(file)
        assert unreadable(folder) == f"{file}: is a pipe or a device, and no file."


@pytest.mark.parametrize("key", ["../w.precomputed/4_8_30", "a/../../w.precomputed/4_8_30", "/w"])
def test_voxels_that_lie_elsewhere_are_not_read(tmp_path, key):
    saved(tmp_path / "w.precomputed", values((3, 4, 5)))
    info = json.loads((saved(tmp_path / "v.precomputed", values((3, 4, 5))) / "info").read_text())
    info["scales"][0]["key"] = key
    (tmp_path / "v.precomputed" / "info").write_text(json.dumps(info))
    assert f"its voxels lie outside of it, in {key!r}" in unreadable(tmp_path / "v.precomputed")
