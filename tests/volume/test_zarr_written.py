"""OME-Zarr as mitotools writes it, opened by other libraries; several processes, and runs that are killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader as OmeReader
from ome_zarr_models.v04 import Image as Image04
from ome_zarr_models.v04 import ImageLabel as Label04
from ome_zarr_models.v05 import Image as Image05
from ome_zarr_models.v05 import ImageLabel as Label05
from volume_files import RECORD, read, refusal, values

from mitotools.errors import TargetError
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box, grid
from mitotools.volume.files import open_volume
from mitotools.volume.formats.ome_zarr import create_writer, open_reader, planned, reopen_writer
from mitotools.volume.path import parse_volume_path

VOLUME = values((20, 50, 60), "uint16")
MAPS = values((2, 20, 50, 60))
CHUNKS, SHARDS = (8, 16, 16), (16, 32, 32)
LAYOUTS = {
    "v2": {"zarr_format": 2},
    "v3": {"zarr_format": 3},
    "sharded": {"zarr_format": 3, "shards": SHARDS},
}
MODELS = {2: (Image04, Label04), 3: (Image05, Label05)}


def written(path, array, voxel_size=(30.0, 8.0, 8.0), **more):
    """Write by blocks of whole units, from several threads, and return the specification."""
    spec = VolumeSpec(array.shape, array.dtype, voxel_size, (RECORD,), chunks=CHUNKS, **more)
    spec = planned(spec, path)
    writer = create_writer(path, spec, path)
    with ThreadPoolExecutor(3) as pool:
        boxes = grid(spec.size, spec.unit)
        list(pool.map(lambda box: writer.write(box, array[(..., *box.slices)]), boxes))
    writer.close()
    return spec


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("array", [VOLUME, MAPS], ids=["volume", "maps"])
def test_zarr_and_ome_zarr_models_find_axes_chunks_and_history(tmp_path, layout, array):
    more = LAYOUTS[layout]
    written(tmp_path / "v.zarr", array, **more)
    group = zarr.open_group(tmp_path / "v.zarr", mode="r")
    assert group.metadata.zarr_format == more["zarr_format"]
    image = MODELS[more["zarr_format"]][0].from_zarr(group)
    attributes = image.attributes if more["zarr_format"] == 2 else image.ome_attributes
    axes = attributes.multiscales[0].axes
    assert [axis.name for axis in axes] == ["c", "z", "y", "x"][-array.ndim :]
    assert [axis.unit for axis in axes][-3:] == ["nanometer"] * 3
    channel = (1,) * (array.ndim - 3)
    assert group["0"].chunks == channel + CHUNKS
    assert group["0"].shards == (channel + SHARDS if "shards" in more else None)
    assert group.attrs["history"] == [RECORD]
    assert np.array_equal(group["0"], array)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ome_zarr_py_finds_the_image(tmp_path, layout):
    written(tmp_path / "v.zarr", MAPS, **LAYOUTS[layout])
    (node,) = OmeReader(parse_url(tmp_path / "v.zarr", mode="r"))()
    assert np.array_equal(np.asarray(node.data[0]), MAPS)
    assert [axis["name"] for axis in node.metadata["axes"]] == ["c", "z", "y", "x"]
    assert node.metadata["coordinateTransformations"][0] == [{"type": "scale", "scale": [1, 30, 8, 8]}]


@pytest.mark.parametrize("compression", ["default", "zstd", "gzip", "none"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_tensorstore_reads_every_compression(tmp_path, layout, compression):
    tensorstore = pytest.importorskip("tensorstore")
    written(tmp_path / "v.zarr", VOLUME, compression=compression, **LAYOUTS[layout])
    driver = "zarr" if layout == "v2" else "zarr3"
    store = {"driver": driver, "kvstore": {"driver": "file", "path": str(tmp_path / "v.zarr" / "0")}}
    assert np.array_equal(tensorstore.open(store).result().read().result(), VOLUME)
    assert np.array_equal(read(tmp_path / "v.zarr", VOLUME.shape)[0], VOLUME)


def test_zarr_v2_separates_the_names_of_chunks_by_slashes_and_v3_says_c(tmp_path):
    for zarr_format in (2, 3):
        written(tmp_path / f"{zarr_format}.zarr", VOLUME, zarr_format=zarr_format)
    assert (tmp_path / "2.zarr" / "0" / "2" / "3" / "3").is_file()
    assert (tmp_path / "3.zarr" / "0" / "c" / "2" / "3" / "3").is_file()
    assert json.loads((tmp_path / "2.zarr" / "0" / ".zarray").read_text())["dimension_separator"] == "/"


def test_a_shard_is_one_file(tmp_path):
    spec = written(tmp_path / "v.zarr", VOLUME, shards=SHARDS)
    assert spec.unit == SHARDS
    files = [file for file in (tmp_path / "v.zarr" / "0" / "c").rglob("*") if file.is_file()]
    assert len(files) == 2 * 2 * 2


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_labels_are_a_label_image(tmp_path, zarr_format):
    labels = VOLUME.astype("uint64") + 2**40
    written(tmp_path / "v.zarr", labels, zarr_format=zarr_format, is_labels=True, levels=2)
    written(tmp_path / "image.zarr", VOLUME, zarr_format=zarr_format)
    found = MODELS[zarr_format][1].from_zarr(zarr.open_group(tmp_path / "v.zarr", mode="r"))
    attributes = found.attributes if zarr_format == 2 else found.ome_attributes
    assert attributes.image_label is not None
    assert attributes.image_label.source is None
    assert open_reader(tmp_path / "v.zarr", None).spec.is_labels
    assert open_reader(tmp_path / "v.zarr", "0").spec.is_labels
    assert not open_reader(tmp_path / "image.zarr", None).spec.is_labels


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_reader_says_how_the_image_is_stored(tmp_path, layout):
    written(tmp_path / "v.zarr", VOLUME, levels=3, **LAYOUTS[layout])
    spec = open_reader(tmp_path / "v.zarr", None).spec
    assert (spec.chunks, spec.shards, spec.levels) == (CHUNKS, LAYOUTS[layout].get("shards"), 3)
    assert spec.zarr_format == LAYOUTS[layout]["zarr_format"]


def write_part(path, spec, part):
    writer = reopen_writer(path, spec, path)
    boxes = grid(spec.size, spec.unit)[part::2]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda box: writer.write(box, VOLUME[box.slices]), boxes))


def test_two_processes_write_one_image_and_leave_its_metadata_alone(tmp_path):
    path = tmp_path / "v.zarr"
    spec = planned(VolumeSpec(VOLUME.shape, VOLUME.dtype, chunks=CHUNKS, shards=SHARDS), path)
    create_writer(path, spec, path)
    metadata = {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.is_file()}
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_part, args=(path, spec, part)) for part in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert {file: file.stat().st_mtime_ns for file in metadata} == metadata
    assert np.array_equal(read(path, VOLUME.shape)[0], VOLUME)


@pytest.mark.parametrize("kept", [0, 10, 0.5])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_chunks_that_a_killed_run_left_half_written_are_written_again(tmp_path, layout, kept):
    path = tmp_path / "v.zarr"
    spec = written(path, VOLUME, **LAYOUTS[layout])
    for file in (path / "0").rglob("*"):
        if file.is_file() and not file.name.startswith(".z") and file.name != "zarr.json":
            content = file.read_bytes()
            file.write_bytes(content[: int(len(content) * kept) if isinstance(kept, float) else kept])
    write_part(path, spec, 0)
    write_part(path, spec, 1)
    assert np.array_equal(read(path, VOLUME.shape)[0], VOLUME)


def test_a_box_that_leaves_part_of_a_chunk_alone_deletes_no_damaged_chunk(tmp_path):
    path = tmp_path / "v.zarr"
    spec = written(path, VOLUME)
    chunk = path / "0" / "c" / "0" / "0" / "0"
    chunk.write_bytes(b"rubbish")
    with pytest.raises(Exception, match=r".+"):
        reopen_writer(path, spec, path).write(Box((0, 0, 0), (4, 16, 16)), VOLUME[:4, :16, :16])
    assert chunk.read_bytes() == b"rubbish"


def test_an_image_whose_arrays_are_gone_is_not_continued(tmp_path):
    spec = planned(VolumeSpec(VOLUME.shape, VOLUME.dtype), tmp_path)
    error = refusal(reopen_writer, tmp_path / "v.zarr", spec, tmp_path / "v.zarr")
    assert isinstance(error, TargetError)
    assert "is not what was begun" in str(error)


def test_an_empty_block_takes_no_room_and_reads_back(tmp_path):
    written(tmp_path / "v.zarr", np.zeros_like(VOLUME))
    assert not list((tmp_path / "v.zarr").rglob("c"))
    assert not read(tmp_path / "v.zarr", VOLUME.shape)[0].any()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_volume_travels_to_another_process(tmp_path, layout):
    written(tmp_path / "v.zarr", VOLUME, **LAYOUTS[layout])
    with open_volume(parse_volume_path(str(tmp_path / "v.zarr"))) as volume:
        copy = pickle.loads(pickle.dumps(volume))  # noqa: S301, made here
    assert np.array_equal(copy.read(Box((1, 2, 3), (9, 40, 41))), VOLUME[1:9, 2:40, 3:41])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_reads_on(tmp_path):
    written(tmp_path / "v.zarr", VOLUME)
    reader = open_reader(tmp_path / "v.zarr", None)
    reader.read(Box.whole(reader.spec.size))
    process = multiprocessing.get_context("fork").Process(target=reader.read, args=(Box.whole((9, 9, 9)),))
    process.start()
    process.join(20)
    process.kill()
    assert process.exitcode == 0


WITHOUT_ROOM_FOR_THREADS = """\
import re, resource
import numpy as np
import zarr, zarrs
from mitotools.volume.base import VolumeSpec
from mitotools.volume.formats.ome_zarr import create_writer, planned
from mitotools.volume.formats.zarr_arrays import FastArray
{before}
used_kib = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1])
resource.setrlimit(resource.RLIMIT_AS, (used_kib * 2**10 + 2**20,) * 2)
try:
    {then}
except RuntimeError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("before", "then"),
    [
        ("array = zarr.open_array('array.zarr')", "FastArray(array)"),
        (
            "spec = VolumeSpec((4, 4, 4), np.uint8, None, ())",
            "create_writer('v.zarr', planned(spec, 'v.zarr'), '')",
        ),
    ],
    ids=["Rust panics, which is no Exception", "zarr's own cannot be waited for"],
)
def test_a_lack_of_room_for_threads_is_the_error_that_python_raises(tmp_path, before, then):
    zarr.create_array(tmp_path / "array.zarr", shape=(4, 4), chunks=(2, 2), dtype="u1")
    command = [sys.executable, "-c", WITHOUT_ROOM_FOR_THREADS.format(before=before, then=then)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert result.stdout == "can't start new thread\n", result.stderr
