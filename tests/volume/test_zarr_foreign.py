"""Zarr in every layout that other programs write: codecs, separators, orders; damaged and missing chunks."""

from __future__ import annotations

import json
import logging
import resource
import subprocess
import sys

import numcodecs
import numpy as np
import pytest
import zarr
from ome_zarr.format import FormatV04, FormatV05
from peak_memory import IMPORT
from volume_files import outcome, read, refusal, values
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, TransposeCodec, ZstdCodec

from mitotools.errors import InputError
from mitotools.volume.blocks import Box
from mitotools.volume.formats.ome_zarr import open_reader

VOLUME = values((20, 50, 60), "uint16")
CHUNKS = (8, 16, 16)
V2 = {"zarr_format": 2}
LAYOUTS = {
    "blosc": {**V2, "compressors": numcodecs.Blosc("lz4")},
    "blosc shuffled": {**V2, "compressors": numcodecs.Blosc("zlib", 5, numcodecs.Blosc.BITSHUFFLE)},
    "zlib": {**V2, "compressors": numcodecs.Zlib()},
    "lz4": {**V2, "compressors": numcodecs.LZ4()},
    "bz2": {**V2, "compressors": numcodecs.BZ2()},
    "v2 uncompressed": {**V2, "compressors": None},
    "filter": {**V2, "filters": [numcodecs.Delta("u2")]},
    "order F": {**V2, "order": "F"},
    "separator .": {**V2, "chunk_key_encoding": {"name": "v2", "separator": "."}},
    "separator /": {**V2, "chunk_key_encoding": {"name": "v2", "separator": "/"}},
    "big endian v2": {**V2, "dtype": ">u2"},
    "no fill value": {**V2, "fill_value": None},
    "v3": {},
    "v3 separator .": {"chunk_key_encoding": {"name": "default", "separator": "."}},
    "big endian v3": {"serializer": BytesCodec(endian="big")},
    "transposed": {"filters": [TransposeCodec(order=(2, 1, 0))]},
    "checksum": {"compressors": [ZstdCodec(checksum=True), Crc32cCodec()]},
    "sharded": {"shards": (16, 32, 32)},
    "index first": {
        "chunks": (16, 32, 32),
        "serializer": ShardingCodec(chunk_shape=CHUNKS, index_location="start"),
        "compressors": None,
    },
}


def save(path, layout):
    options = {"dtype": "u2", "chunks": CHUNKS, **LAYOUTS[layout]}
    array = zarr.create_array(path, shape=VOLUME.shape, **options)
    array[:] = VOLUME
    return array


def chunk_files(path):
    return sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and file.name != "zarr.json" and not file.name.startswith(".z")
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("block", [(20, 50, 60), (7, 11, 13)])
def test_every_layout_is_read(tmp_path, layout, block):
    save(tmp_path / "v.zarr", layout)
    found, spec = read(tmp_path / "v.zarr", block)
    assert np.array_equal(found, VOLUME)
    assert spec.dtype == found.dtype == np.dtype("uint16")
    assert spec.chunks == CHUNKS


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_missing_chunk_is_the_fill_value(tmp_path, layout):
    save(tmp_path / "v.zarr", layout)
    unit = (16, 32, 32) if layout in ("sharded", "index first") else CHUNKS
    chunk_files(tmp_path / "v.zarr")[0].unlink()
    expected = VOLUME.copy()
    expected[: unit[0], : unit[1], : unit[2]] = 0
    assert np.array_equal(read(tmp_path / "v.zarr", (20, 50, 60))[0], expected)


def test_missing_chunks_are_counted_in_one_line(tmp_path, caplog):
    zarr.create_array(tmp_path / "v.zarr", shape=VOLUME.shape, dtype="u2", chunks=CHUNKS, fill_value=7)[
        :8, :16, :16
    ] = 1
    with caplog.at_level(logging.DEBUG, "mitotools.volume.formats.ome_zarr"):
        found, _ = read(tmp_path / "v.zarr", (8, 50, 7))
    assert found[0, 0, 0] == 1
    assert found[-1, -1, -1] == 7
    (record,) = caplog.records
    # Of 3 x 4 x 4 chunks, one is there.
    assert record.getMessage() == (
        f"47 chunks of {tmp_path}/v.zarr are missing, and read as the fill value 7"
    )


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_chunk_that_is_cut_short_is_an_error_that_names_the_box(tmp_path, layout, kept):
    save(tmp_path / "v.zarr", layout)
    for file in chunk_files(tmp_path / "v.zarr"):
        file.write_bytes(file.read_bytes()[: int(file.stat().st_size * kept)])
    error = refusal(open_reader(tmp_path / "v.zarr", None).read, Box.whole(VOLUME.shape))
    assert isinstance(error, InputError)
    assert f"{tmp_path}/v.zarr: [0:20,0:50,0:60] cannot be read (" in str(error)


@pytest.mark.parametrize(("layout", "position"), [("checksum", 50), ("checksum", -1), ("sharded", -10)])
def test_a_wrong_byte_fails_the_checksum(tmp_path, layout, position):
    save(tmp_path / "v.zarr", layout)
    file = chunk_files(tmp_path / "v.zarr")[0]
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)
    error = refusal(open_reader(tmp_path / "v.zarr", None).read, Box((0, 0, 0), (8, 16, 16)))
    assert "[0:8,0:16,0:16] cannot be read" in str(error)
    assert "checksum" in str(error)


@pytest.mark.filterwarnings("ignore:Call to deprecated class Scaler:DeprecationWarning")
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_what_ome_zarr_py_writes_is_read_with_levels_and_labels(tmp_path, version):
    from ome_zarr.writer import write_image as ome_write_image
    from ome_zarr.writer import write_labels as ome_write_labels

    image_format = {"0.4": FormatV04, "0.5": FormatV05}[version]()
    group = zarr.open_group(tmp_path / "v.zarr", mode="w", zarr_format=image_format.zarr_format)
    common = {
        "axes": "zyx",
        "axes_units": dict.fromkeys("zyx", "nanometer"),
        "scale": {"z": 30, "y": 8, "x": 8},
        "scale_factors": [2],
        "fmt": image_format,
    }
    ome_write_image(VOLUME, group, storage_options={"chunks": CHUNKS}, **common)
    ome_write_labels(VOLUME // 9, group, name="mito", scaler=None, **common)
    found, spec = read(tmp_path / "v.zarr", VOLUME.shape)
    assert np.array_equal(found, VOLUME)
    assert (spec.voxel_size_nm, spec.levels, spec.is_labels) == ((30, 8, 8), 2, False)
    labels, spec = read(f"{tmp_path}/v.zarr/labels/mito", VOLUME.shape)
    assert np.array_equal(labels, VOLUME // 9)
    assert spec.is_labels
    assert read(f"{tmp_path}/v.zarr:s1", VOLUME.shape)[1].voxel_size_nm == (30, 16, 16)


@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_consolidated_metadata_are_read_and_broken_ones_are_an_error(tmp_path, zarr_format):
    group = zarr.open_group(tmp_path / "v.zarr", mode="w", zarr_format=zarr_format)
    group.create_array("volumes/raw", data=VOLUME)
    zarr.consolidate_metadata(tmp_path / "v.zarr")
    for name in ("v.zarr", "v.zarr/volumes/raw"):
        assert np.array_equal(read(tmp_path / name, VOLUME.shape)[0], VOLUME)
    file = tmp_path / "v.zarr" / (".zmetadata" if zarr_format == 2 else "zarr.json")
    for content in ("{", '{"metadata": 5}', "null"):
        file.write_text(content)
        result = outcome(read, tmp_path / "v.zarr", VOLUME.shape)
        assert isinstance(result, InputError) or np.array_equal(result[0], VOLUME)


LIMITED = (
    IMPORT
    + """
from mitotools.errors import InputError
from mitotools.volume.blocks import Box
from mitotools.volume.formats.ome_zarr import open_reader
before = peak_kib()
reader = open_reader(sys.argv[1], None)
assert reader.spec.voxels == 10**15
for corner in ((0, 0, 0), (99_990, 99_990, 99_990)):
    try:
        print(reader.read(Box(corner, tuple(i + 8 for i in corner))).sum())
    except InputError as error:
        print("InputError")
assert peak_kib() - before < 100_000, "KiB"
"""
)


def opened_in_another_process(path):
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.split()


def petabyte(path, zarr_format):
    array = zarr.create_array(
        path, shape=(10**5,) * 3, dtype="u1", chunks=(8, 64, 64), zarr_format=zarr_format
    )
    array[0, 0, 0] = 1


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_header_that_promises_a_petabyte_costs_nothing(tmp_path, zarr_format):
    petabyte(tmp_path / "v.zarr", zarr_format)
    assert opened_in_another_process(tmp_path / "v.zarr") == ["1", "0"]


def test_a_chunk_that_claims_to_be_a_petabyte_is_an_error(tmp_path):
    petabyte(tmp_path / "v.zarr", 3)
    file = tmp_path / "v.zarr" / "zarr.json"
    document = json.loads(file.read_text())
    document["chunk_grid"]["configuration"]["chunk_shape"] = [10**5] * 3
    file.write_text(json.dumps(document))
    assert opened_in_another_process(tmp_path / "v.zarr") == ["InputError", "InputError"]


def test_a_chunk_of_zarr_v2_that_claims_to_be_a_petabyte_is_an_error(tmp_path):
    petabyte(tmp_path / "v.zarr", 2)
    file = tmp_path / "v.zarr" / ".zarray"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chunks": [10**5] * 3}))
    chunk = tmp_path / "v.zarr" / "0.0.0"
    assert chunk.is_file()
    assert opened_in_another_process(tmp_path / "v.zarr") == ["InputError", "InputError"]


def peak_kib(tmp_path, code):
    script = f"{IMPORT}\n{code}\nprint(peak_kib())"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    return int(result.stdout)


READ = """
from mitotools.volume.blocks import Box, grid
from mitotools.volume.formats.ome_zarr import open_reader
reader = open_reader("v.zarr", None)
for box in grid(reader.spec.size, {block}):
    reader.read(box)
"""


@pytest.mark.skipif(not hasattr(resource, "RUSAGE_SELF"), reason="this system does not count memory")
def test_memory_is_proportional_to_the_box_and_not_to_the_shard(tmp_path):
    shape, chunks = (128, 512, 1024), (32, 64, 64)
    array = zarr.create_array(
        tmp_path / "v.zarr", shape=shape, shards=shape, chunks=chunks, dtype="u1", compressors=None
    )
    array[:] = np.broadcast_to(values((1024,)), shape)
    small = peak_kib(
        tmp_path, READ.format(block=chunks).replace("grid(reader.spec.size", "grid((32, 64, 64)")
    )
    everything = peak_kib(tmp_path, READ.format(block=chunks))
    assert everything - small < 8_000
