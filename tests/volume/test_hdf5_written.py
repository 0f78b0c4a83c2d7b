"""HDF5 written by several threads at once is what h5py reads, and as small as HDF5 would make it."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from volume_files import refusal, values, write

from mitotools.errors import TargetError
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box, grid, size3
from mitotools.volume.formats import HDF5, hdf5_writer
from mitotools.volume.outputs import create_volume
from mitotools.volume.path import VolumePath

LENGTH = st.integers(1, 9)
TYPES = ["uint8", "int8", "uint16", "int32", "uint64", "float16", "float32", "float64", "bool"]


def by_h5py(path):
    with h5py.File(path) as file:
        return file["main"][:]


def write_on_threads(path, array, chunks, block, order, **properties):
    """Write blocks of whole chunks on four threads, in an order."""
    spec = VolumeSpec(array.shape, array.dtype, chunks=chunks, **properties)
    with create_volume(VolumePath(str(path)), spec, force=True) as writer:
        unit = size3([c * b for c, b in zip(writer.spec.chunks, block, strict=True)])
        boxes = grid(spec.size, unit)
        boxes = [boxes[i] for i in np.random.default_rng(order).permutation(len(boxes))]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda box: writer.write(box, array[(..., *box.slices)]), boxes))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(LENGTH, LENGTH, LENGTH) | st.tuples(st.integers(1, 3), LENGTH, LENGTH, LENGTH),
    dtype=st.sampled_from(TYPES),
    chunks=st.tuples(LENGTH, LENGTH, LENGTH),
    block=st.tuples(*[st.integers(1, 3)] * 3),
    compression=st.sampled_from(["default", "gzip", "lzf", "none"]),
    order=st.integers(0, 99),
    empty=st.booleans(),
)
def test_h5py_reads_what_threads_write(tmp_path, shape, dtype, chunks, block, compression, order, empty):
    array = values(shape, dtype, order)
    if empty:
        array[..., 2:, :] = 0
    write_on_threads(tmp_path / "v.h5", array, chunks, block, order, compression=compression)
    assert np.array_equal(by_h5py(tmp_path / "v.h5"), array)
    assert by_h5py(tmp_path / "v.h5").dtype == array.dtype


@pytest.mark.parametrize(
    ("compression", "filters"),
    [("default", ("gzip", 1)), ("gzip", ("gzip", 4)), ("lzf", ("lzf", None)), ("none", (None, None))],
)
def test_files_declare_their_standard_filter(tmp_path, compression, filters):
    write(tmp_path / "v.h5", values((8, 8, 8)), compression=compression)
    with h5py.File(tmp_path / "v.h5") as file:
        assert (file["main"].compression, file["main"].compression_opts) == filters
        if compression != "lzf":
            assert file["main"].id.get_chunk_info(0).filter_mask == 0


def test_files_are_hardly_larger_than_by_hdf5(tmp_path):
    with h5py.File(Path(__file__).parents[2] / "examples" / "data" / "medulla_train.h5") as file:
        images = {"raw": file["raw"][:64], "labels": file["labels"][:64]}
    for name, array in images.items():
        for compression, level, ratio in (("default", 1, 1.06), ("gzip", 4, 1.01)):
            write(tmp_path / "v.h5", array, chunks=(32, 80, 80), compression=compression, force=True)
            with h5py.File(tmp_path / "by_h5py.h5", "w") as file:
                file.create_dataset(
                    name, data=array, chunks=(32, 80, 80), compression="gzip", compression_opts=level
                )
                expected = file[name].id.get_storage_size()
            with h5py.File(tmp_path / "v.h5") as file:
                assert file["main"].id.get_storage_size() <= expected * ratio


def test_chunks_of_zeros_take_no_room_and_negative_zeros_stay(tmp_path):
    array = np.zeros((4, 4, 8), "float32")
    array[:, :, 4:] = -0.0
    write(tmp_path / "v.h5", array, chunks=(4, 4, 4))
    with h5py.File(tmp_path / "v.h5") as file:
        assert file["main"].id.get_num_chunks() == 1
        assert np.array_equal(np.signbit(file["main"][:]), np.signbit(array))


def test_an_empty_volume_has_its_shape(tmp_path):
    write(tmp_path / "v.h5", np.zeros((4, 5, 6), "uint64"))
    assert np.array_equal(by_h5py(tmp_path / "v.h5"), np.zeros((4, 5, 6), "uint64"))


def test_parts_of_a_chunk_may_be_written_one_by_one(tmp_path):
    array = values((4, 5, 6))
    spec = VolumeSpec(array.shape, array.dtype, chunks=(3, 4, 5))
    with create_volume(VolumePath(str(tmp_path / "v.h5")), spec) as writer:
        for box in grid(spec.size, (2, 3, 4)):
            writer.write(box, array[box.slices])
    assert np.array_equal(by_h5py(tmp_path / "v.h5"), array)


def test_arrays_in_any_order_and_of_foreign_bytes_are_written(tmp_path):
    array = values((4, 5, 6), "uint16")
    foreign = np.asfortranarray(array.astype(">u2"))
    spec = VolumeSpec(array.shape, array.dtype, chunks=(4, 5, 6))
    with create_volume(VolumePath(str(tmp_path / "v.h5")), spec) as writer:
        writer.write(Box.whole(spec.size), foreign)
    assert np.array_equal(by_h5py(tmp_path / "v.h5"), array)


def test_the_same_volume_is_the_same_file(tmp_path):
    for name in ("a.h5", "b.h5"):
        write(tmp_path / name, values((9, 9, 9)), (30.0, 8.0, 8.0))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_several_threads_compress_at_the_same_time(tmp_path, monkeypatch):
    """Two threads meet while compressing, which they could not under a lock."""
    meeting = threading.Barrier(2, timeout=20)
    compress = hdf5_writer.COMPRESSORS[1]

    def meet(voxels):
        meeting.wait()
        return compress(voxels)

    monkeypatch.setitem(hdf5_writer.COMPRESSORS, 1, meet)
    write_on_threads(tmp_path / "v.h5", values((4, 5, 6)), (2, 5, 6), (1, 1, 1), 0)
    assert np.array_equal(by_h5py(tmp_path / "v.h5"), values((4, 5, 6)))


@pytest.mark.parametrize("size", [(2**16, 2**16, 1), (2**40, 1, 1)])
def test_chunks_of_4_gib_are_refused_before_any_work(tmp_path, size):
    spec = VolumeSpec(size, np.dtype("uint8"), chunks=size)
    error = refusal(HDF5.load().planned, spec, tmp_path / "v.h5")
    assert isinstance(error, TargetError)
    assert "HDF5 has no chunks of 4 GiB" in str(error)
    assert "Choose smaller --chunks." in str(error)


def test_chunks_are_clipped_to_the_volume_before_they_are_judged(tmp_path):
    spec = VolumeSpec((8, 8, 8), np.dtype("uint8"), chunks=(2**20,) * 3)
    assert HDF5.load().planned(spec, tmp_path / "v.h5").chunks == (8, 8, 8)


FULL_DISK = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from mitotools.errors import TargetError
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import grid
from mitotools.volume.outputs import create_volume
from mitotools.volume.path import VolumePath
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
array = np.random.default_rng(0).integers(0, 99, (64, 64, 64), dtype="uint8")
spec = VolumeSpec(array.shape, array.dtype, chunks=(8, 32, 32), compression=sys.argv[1])
try:
    with create_volume(VolumePath("v.h5"), spec) as writer, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda box: writer.write(box, array[box.slices]), grid(spec.size, spec.chunks)))
except TargetError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="this system limits no file sizes")
@pytest.mark.parametrize("compression", ["default", "gzip", "lzf", "none"])
def test_a_full_disk_is_one_error_for_all_threads(tmp_path, compression):
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, compression],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (result.stdout, result.stderr) == ("v.h5: cannot be written (File too large).\n", "")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_hdf5_has_too_little_memory_for_is_one_error(tmp_path, monkeypatch):
    """HDF5 says no more than this; a limit that is as tight as that may as well crash it."""

    def refuse(*_, **__):
        raise ValueError("Unable to synchronously create dataset (unable to create dataset)")

    monkeypatch.setattr(h5py.Group, "create_dataset", refuse)
    spec = VolumeSpec((4, 4, 4), np.dtype("uint8"))
    said = r"v.h5: cannot be written \(Unable to .*create dataset"
    with pytest.raises(TargetError, match=said), create_volume(VolumePath(str(tmp_path / "v.h5")), spec):
        pass
    assert list(tmp_path.iterdir()) == []
