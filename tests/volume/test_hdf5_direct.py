"""HDF5 chunks are read from the file's bytes on several threads, and show what HDF5 shows."""

from __future__ import annotations

import ctypes
import itertools
import shutil
import subprocess
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peak_memory import IMPORT
from volume_files import read, refusal, values

from mitotools.errors import InputError
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.formats import hdf5, hdf5_filters
from mitotools.volume.path import parse_volume_path

VOLUME = values((4, 5, 6), "uint16")
ENUM = h5py.enum_dtype({"nothing": 0, "cell": 3, "mito": 7}, basetype="<i2")
TYPES = ["u1", "i1", "<u2", ">u2", "<i4", ">u4", ">i8", "<u8", "<f2", ">f4", "<f8", "bool", ENUM]
FILTERS = [
    {},
    *({"compression": "gzip", "compression_opts": level} for level in (0, 1, 9)),
    {"compression": "lzf"},
]
FILL_TIMES = [h5py.h5d.FILL_TIME_IFSET, h5py.h5d.FILL_TIME_NEVER, h5py.h5d.FILL_TIME_ALLOC]
LENGTH = st.integers(1, 9)


@pytest.fixture
def hdf5_is_not_asked(monkeypatch):
    """Make HDF5 refuse to read voxels."""

    def refuse(*_):
        raise AssertionError("HDF5 was asked")

    monkeypatch.setattr(h5py.Dataset, "__getitem__", refuse)


def content(shape, dtype, seed):
    if dtype is ENUM:
        return np.random.default_rng(seed).choice(np.array([0, 3, 7], "i2"), shape)
    return values(shape, np.dtype(dtype).newbyteorder("="), seed)


def save(path, array, dtype, written, *, libver="earliest", fill=None, fill_time=None, **keywords):
    """Write one box of a new dataset by h5py, and return all of it as h5py reads it."""
    if fill_time is not None:
        keywords["dcpl"] = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        keywords["dcpl"].set_fill_time(fill_time)
    with h5py.File(path, "w", libver=libver) as file:
        if fill is not None:
            keywords["fillvalue"] = array.dtype.type(fill)
        dataset = file.create_dataset("data", array.shape, dtype, **keywords)
        dataset[written] = array[written]
    with h5py.File(path) as file:
        return file["data"][:]


def boxes(size):
    """Return a few boxes within a volume."""

    def of(numbers):
        starts = [n % s for n, s in zip(numbers[:3], size, strict=True)]
        stops = [a + 1 + n % (s - a) for a, n, s in zip(starts, numbers[3:], size, strict=True)]
        return Box(tuple(starts), tuple(stops))

    return st.lists(st.tuples(*[st.integers(0, 99)] * 6).map(of), min_size=1, max_size=6)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_dataset_reads_as_by_h5py_from_several_threads(tmp_path, data):
    """Whatever the chunks, filters, types, limits, fill values, and parts that were never written."""
    draw = data.draw
    shape = draw(st.tuples(LENGTH, LENGTH, LENGTH) | st.tuples(st.integers(1, 4), LENGTH, LENGTH, LENGTH))
    limits = tuple(draw(st.sampled_from([n, n + 5, None])) for n in shape)
    chunks = tuple(draw(st.integers(1, n or 12)) for n in limits)
    dtype = draw(st.sampled_from(TYPES))
    array = content(shape, dtype, draw(st.integers(0, 9)))
    a, b = (tuple(draw(st.integers(0, n)) for n in shape) for _ in range(2))
    written = tuple(slice(min(i, j), max(i, j)) for i, j in zip(a, b, strict=True))
    expected = save(
        tmp_path / "v.h5",
        array,
        dtype,
        written if draw(st.booleans()) else ...,
        libver=draw(st.sampled_from(["earliest", "v108", "latest"])),
        chunks=chunks,
        maxshape=limits,
        shuffle=draw(st.booleans()),
        fletcher32=draw(st.booleans()),
        fill=draw(st.sampled_from([None, 0, 3])) if dtype is not ENUM else None,
        fill_time=draw(st.sampled_from(FILL_TIMES)),
        **draw(st.sampled_from(FILTERS)),
    )
    with open_volume(parse_volume_path(str(tmp_path / "v.h5"))) as volume, ThreadPoolExecutor(4) as pool:
        wanted = draw(boxes(volume.spec.size))
        found = list(pool.map(volume.read, wanted * 3))
    for box, voxels in zip(wanted * 3, found, strict=True):
        assert np.array_equal(voxels, expected[(..., *box.slices)], equal_nan=expected.dtype.kind == "f")
        assert voxels.dtype.isnative


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    shape=st.tuples(LENGTH, LENGTH, st.integers(1, 40)),
    channels=st.none() | st.integers(1, 3),
)
def test_any_part_of_a_dataset_without_chunks_reads_as_by_h5py(tmp_path, data, shape, channels):
    shape = shape if channels is None else (channels, *shape)
    dtype = data.draw(st.sampled_from(TYPES))
    expected = save(tmp_path / "v.h5", content(shape, dtype, 0), dtype, ...)
    with open_volume(parse_volume_path(str(tmp_path / "v.h5"))) as volume:
        for box in data.draw(boxes(volume.spec.size)):
            assert np.array_equal(volume.read(box), expected[(..., *box.slices)])


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"chunks": (2, 2, 4)},
        {"chunks": (4, 4, 4), "compression": "gzip"},
        {"chunks": (4, 4, 4), "compression": "gzip", "shuffle": True, "fletcher32": True},
    ],
)
@pytest.mark.parametrize("dtype", ["u1", ">u2", "bool", ENUM])
def test_common_datasets_are_read_without_asking_hdf5(tmp_path, hdf5_is_not_asked, keywords, dtype):
    # Not random: a chunk at the edge that does not shrink may be one without filters, and HDF5 is asked.
    array = np.repeat(content((4, 5, 1), dtype, 0), 6, axis=2)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_dataset("data", data=array, dtype=dtype, **keywords)
    assert np.array_equal(read(tmp_path / "v.h5")[0], array)


def test_filters_that_a_chunk_was_stored_without_are_left_out(tmp_path, hdf5_is_not_asked):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        dataset = file.create_dataset(
            "data", (2, 2, 3), "u2", chunks=(1, 2, 3), compression="gzip", shuffle=True
        )
        dataset.id.write_direct_chunk((0, 0, 0), VOLUME[0, :2, :3].tobytes(), filter_mask=0b11)
        dataset.id.write_direct_chunk((1, 0, 0), zlib.compress(VOLUME[1, :2, :3].tobytes()), filter_mask=0b01)
    assert np.array_equal(read(tmp_path / "v.h5")[0], VOLUME[:2, :2, :3])


@pytest.mark.parametrize(
    "order",
    [*itertools.permutations(["deflate", "shuffle", "fletcher32"]), ["deflate", "deflate"],
     ["fletcher32", "fletcher32", "deflate"]],
    ids=" ".join,
)  # fmt: skip
def test_filters_may_be_in_any_order(tmp_path, order):
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk(VOLUME.shape)
    for name in order:
        code, values_of = {"deflate": (1, (5,)), "shuffle": (2, (2,)), "fletcher32": (3, ())}[name]
        properties.set_filter(code, 0, values_of)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        space = h5py.h5s.create_simple(VOLUME.shape)
        h5py.Dataset(h5py.h5d.create(file.id, b"data", h5py.h5t.NATIVE_UINT16, space, properties))[:] = VOLUME
    assert np.array_equal(read(tmp_path / "v.h5")[0], VOLUME)


def test_bytes_behind_the_deflated_ones_do_not_matter(tmp_path, hdf5_is_not_asked):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        dataset = file.create_dataset("data", VOLUME.shape, "u2", chunks=VOLUME.shape, compression="gzip")
        dataset.id.write_direct_chunk((0, 0, 0), zlib.compress(VOLUME.tobytes()) + b"behind")
    assert np.array_equal(read(tmp_path / "v.h5")[0], VOLUME)


def test_edge_chunks_that_are_stored_without_filters_are_read(tmp_path):
    """HDF5 1.10 may be told to leave them so, though not by h5py."""
    library = [*Path(h5py.__file__).parent.parent.glob("h5py.libs/libhdf5-*"),
               *Path(h5py.__file__).parent.glob(".dylibs/libhdf5.*")]  # fmt: skip
    if not library:
        pytest.skip("the HDF5 library of h5py is not found")
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((4, 4, 4))
    properties.set_deflate(1)
    set_options = ctypes.CDLL(str(library[0])).H5Pset_chunk_opts
    set_options.argtypes = [ctypes.c_int64, ctypes.c_uint]
    assert set_options(properties.id, 2) == 0  # H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS
    array = values((4, 4, 5), "u1")
    with h5py.File(tmp_path / "v.h5", "w", libver="latest") as file:
        space = h5py.h5s.create_simple(array.shape)
        dataset = h5py.Dataset(h5py.h5d.create(file.id, b"data", h5py.h5t.NATIVE_UINT8, space, properties))
        dataset[:] = array
        assert [dataset.id.get_chunk_info(i).filter_mask for i in range(2)] == [0, 0]
        assert dataset.id.get_chunk_info(1).size == 64
    assert np.array_equal(read(tmp_path / "v.h5")[0], array)


@pytest.mark.parametrize(("chunks", "compression"), [(None, None), ((2, 2, 4), "gzip")])
def test_a_user_block_before_the_file_moves_nothing(tmp_path, chunks, compression):
    with h5py.File(tmp_path / "v.h5", "w", userblock_size=512) as file:
        file.create_dataset("data", data=VOLUME, chunks=chunks, compression=compression)
    assert np.array_equal(read(tmp_path / "v.h5")[0], VOLUME)


def test_volumes_in_other_files_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with h5py.File("linked.h5", "w") as file:
        file.create_dataset("data", data=VOLUME, chunks=(2, 2, 4), compression="gzip")
    layout = h5py.VirtualLayout(VOLUME.shape, VOLUME.dtype)
    layout[:] = h5py.VirtualSource("linked.h5", "data", VOLUME.shape)
    with h5py.File("v.h5", "w") as file:
        file["link"] = h5py.ExternalLink("linked.h5", "data")
        file.create_virtual_dataset("virtual", layout)
    for name in ("link", "virtual"):
        assert np.array_equal(read(f"v.h5:{name}")[0], VOLUME)


def test_integers_of_odd_widths_are_read(tmp_path):
    array = VOLUME & 0xFFF
    kind = h5py.h5t.STD_U16LE.copy()
    kind.set_precision(12)
    kind.set_offset(4)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        space = h5py.h5s.create_simple(array.shape)
        h5py.Dataset(h5py.h5d.create(file.id, b"data", kind, space))[:] = array
    assert np.array_equal(read(tmp_path / "v.h5")[0], array)


def test_a_compact_dataset_and_one_that_was_never_written_are_read(tmp_path):
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.COMPACT)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        space = h5py.h5s.create_simple(VOLUME.shape)
        h5py.Dataset(h5py.h5d.create(file.id, b"compact", h5py.h5t.NATIVE_UINT16, space, properties))[:] = (
            VOLUME
        )
        file.create_dataset("unwritten", (2, 3, 4), "u2", fillvalue=7)
    assert np.array_equal(read(f"{tmp_path / 'v.h5'}:compact")[0], VOLUME)
    assert np.array_equal(read(f"{tmp_path / 'v.h5'}:unwritten")[0], np.full((2, 3, 4), 7))


def test_a_header_that_declares_a_million_billion_voxels_opens_and_parts_of_it_are_read(tmp_path):
    edge = 10**5
    with h5py.File(tmp_path / "v.h5", "w") as file:
        for name, chunks in (("small", (8, 8, 8)), ("single", (1, 1, 1))):
            file.create_dataset(name, (edge,) * 3, "u1", chunks=chunks, compression="gzip", fillvalue=9)
        file["small"][-1, -1, -1] = 1
    for name in ("small", "single"):
        with open_volume(parse_volume_path(f"{tmp_path / 'v.h5'}:{name}")) as volume:
            assert volume.spec.voxels == 10**15
            corner = volume.read(Box((edge - 2,) * 3, (edge,) * 3))
            assert corner.ravel().tolist() == [9] * 7 + [1 if name == "small" else 9]


@pytest.mark.parametrize("growing", [0, 1, 2])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_a_dataset_that_may_grow_along_one_axis_is_read(tmp_path, growing, libver):
    maxshape = [None if axis == growing else n for axis, n in enumerate(VOLUME.shape)]
    with h5py.File(tmp_path / "v.h5", "w", libver=libver) as file:
        file.create_dataset("data", data=VOLUME, chunks=(1, 2, 3), maxshape=maxshape)
    assert np.array_equal(read(tmp_path / "v.h5")[0], VOLUME)


def test_a_header_that_declares_more_chunks_than_64_bits_count_opens(tmp_path):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_dataset("data", (2**31,) * 3, "u1", chunks=(1, 1, 1), fillvalue=7)
    with open_volume(parse_volume_path(str(tmp_path / "v.h5"))) as volume:
        assert volume.read(Box((0, 0, 0), (1, 1, 2))).tolist() == [[[7, 7]]]


def test_threads_inflate_at_the_same_time(tmp_path, monkeypatch):
    """Two threads meet while inflating, which they could not under a lock."""
    meeting = threading.Barrier(2, timeout=20)
    inflated = hdf5_filters.inflated

    def meet(data, size):
        meeting.wait()
        return inflated(data, size)

    monkeypatch.setattr(hdf5_filters, "inflated", meet)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_dataset("data", data=VOLUME, chunks=(2, 5, 6), compression="gzip")
    with open_volume(parse_volume_path(str(tmp_path / "v.h5"))) as volume, ThreadPoolExecutor(2) as pool:
        halves = list(pool.map(volume.read, [Box((0, 0, 0), (2, 5, 6)), Box((2, 0, 0), (4, 5, 6))]))
    assert np.array_equal(np.concatenate(halves), VOLUME)


def test_hdf5plugin_is_imported_where_a_file_needs_it(tmp_path):
    plugin = pytest.importorskip("hdf5plugin")
    with h5py.File(tmp_path / "v.h5", "w") as file:
        for codec in ("Zstd", "Blosc", "Blosc2", "LZ4", "Bitshuffle", "BZip2"):
            file.create_dataset(codec, data=VOLUME, chunks=(2, 2, 4), compression=getattr(plugin, codec)())
        names = list(file)
    program = """
import sys
import numpy as np
from volume_files import read, values
assert "hdf5plugin" not in sys.modules
for name in sys.argv[1:]:
    assert np.array_equal(read(name)[0], values((4, 5, 6), "uint16"))
"""
    arguments = [f"{tmp_path / 'v.h5'}:{name}" for name in names]
    subprocess.run([sys.executable, "-c", program, *arguments], cwd=Path(__file__).parent, check=True)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (32015, "is compressed with Zstandard (HDF5 filter 32015), which HDF5 lacks here."
                " Install the Python package hdf5plugin."),
        (400, "is compressed with its name (HDF5 filter 400), which HDF5 lacks here."
              " Compress it again with gzip."),
    ],
    ids=["known", "unknown"],
)  # fmt: skip
def test_a_codec_that_hdf5_lacks_is_named_with_the_package_that_brings_it(tmp_path, monkeypatch, code, why):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["data"] = VOLUME
    pipeline = hdf5_filters.Pipeline((hdf5_filters.Filter(code, "its name"),), 120)
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda _: False)
    monkeypatch.setattr(hdf5, "pipeline_of", lambda *_: pipeline)
    error = refusal(read, tmp_path / "v.h5")
    assert isinstance(error, InputError)
    assert str(error).endswith(why)


READ_BY_BLOCKS = (
    IMPORT
    + """
from mitotools.volume.blocks import grid
from mitotools.volume.files import open_volume
from mitotools.volume.path import parse_volume_path
for name in sys.argv[1:]:
    with open_volume(parse_volume_path(name)) as volume:
        boxes = grid(volume.spec.size, (16, 64, 64))
        volume.read(boxes[0])
        before = peak_kib()
        for box in boxes:
            volume.read(box)
    print(peak_kib() - before)
"""
)


def test_what_was_read_is_not_kept_in_memory(tmp_path):
    """64 MB are read in blocks of 64 kB: resident memory grows by less than 8 MB."""
    names = []
    with h5py.File(tmp_path / "v.h5", "w") as file:
        for name, chunks in (("chunked", (16, 64, 64)), ("contiguous", None)):
            file.create_dataset(name, data=np.ones((64, 1024, 1024), "u1"), chunks=chunks)
            names.append(f"{tmp_path / 'v.h5'}:{name}")
    result = subprocess.run(
        [sys.executable, "-c", READ_BY_BLOCKS, *names], capture_output=True, text=True, check=True
    )
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    assert all(int(line) * unit < 8_000_000 for line in result.stdout.split())


def test_a_file_that_is_replaced_while_it_is_open_stays_the_one_that_was_opened(tmp_path):
    for name, array in (("v.h5", VOLUME), ("w.h5", VOLUME + 1)):
        with h5py.File(tmp_path / name, "w") as file:
            file.create_dataset("data", data=array, chunks=(2, 2, 4), compression="gzip")
    volume = open_volume(parse_volume_path(str(tmp_path / "v.h5")))
    shutil.move(tmp_path / "w.h5", tmp_path / "v.h5")
    assert np.array_equal(volume.read(Box.whole((4, 5, 6))), VOLUME)
    volume.close()
