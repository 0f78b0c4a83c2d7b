"""HDF5 files that lie, are cut short, or are being written: one line, and never garbage."""

from __future__ import annotations

import subprocess
import sys
import zlib

import h5py
import numpy as np
import pytest
from volume_files import read, refusal, values

from mitotools.errors import InputError
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.path import parse_volume_path

VOLUME = values((4, 5, 6), "uint16")
CHUNK = VOLUME.tobytes()
DEFLATED = zlib.compress(CHUNK)


def save_chunk(folder, data, *, mask=0, shape=VOLUME.shape, **keywords):
    """Save a dataset whose first chunk has the given bytes in the file."""
    keywords = {"chunks": shape, "compression": "gzip"} | keywords
    with h5py.File(folder / "v.h5", "w") as file:
        dataset = file.create_dataset("data", shape, "u2", **keywords)
        dataset.id.write_direct_chunk((0,) * len(shape), data, filter_mask=mask)
    return folder / "v.h5"


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


CHECKED = {"compression": None, "fletcher32": True}
DAMAGED = {
    "rubbish": (b"rubbish", {}, "it does not inflate"),
    "one byte for many": (b"\0", {"shape": (40, 5, 6)}, "its 1 bytes cannot inflate to 2400"),
    "cut": (DEFLATED[:-9], {}, "it does not inflate"),
    "a flipped bit": (flipped(DEFLATED, 99), {}, "it does not inflate"),
    "a wrong checksum of zlib": (flipped(DEFLATED, len(DEFLATED) - 1), {}, "inflate"),
    "too short": (zlib.compress(CHUNK[:-2]), {}, "it inflates to 238 bytes instead of 240"),
    "too long": (zlib.compress(CHUNK + b"12"), {}, "it does not inflate to 240 bytes"),
    "a bomb": (zlib.compress(bytes(10**7)), {}, "it does not inflate to 240 bytes"),
    "short without filters": (CHUNK[:-2], {"compression": None}, "it holds 238 bytes instead of 240"),
    "a mask that lies": (DEFLATED, {"mask": 1}, "bytes instead of 240"),
    "a wrong checksum": (CHUNK + b"1234", CHECKED, "its checksum (Fletcher-32) is wrong"),
    "no checksum": (b"12", CHECKED, "it is shorter than its checksum"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_chunk_is_an_error_that_names_its_box(tmp_path, damage):
    data, keywords, why = DAMAGED[damage]
    error = refusal(read, save_chunk(tmp_path, data, **keywords), (1, 2, 3))
    assert isinstance(error, InputError)
    z = keywords.get("shape", VOLUME.shape)[0]
    assert f"/data: the chunk [0:{z},0:5,0:6] is damaged (" in str(error)
    assert why in str(error)


def test_other_chunks_of_a_damaged_file_are_read(tmp_path):
    path = save_chunk(tmp_path, b"rubbish", shape=(3, 4, 5, 6), chunks=(3, 2, 4, 4))
    with h5py.File(path, "r+") as file:
        file["data"][:, 2:] = 7
    with open_volume(parse_volume_path(str(path))) as volume:
        assert (volume.read(Box((2, 0, 0), (4, 5, 6))) == 7).all()
        assert "the chunk [0:2,0:4,0:4] is damaged" in str(refusal(volume.read, Box((1, 1, 1), (2, 2, 2))))


def test_the_box_of_a_damaged_chunk_ends_with_the_volume(tmp_path):
    path = save_chunk(tmp_path, b"rubbish", chunks=(4, 4, 4))
    with h5py.File(path, "r+") as file:
        file["data"].id.write_direct_chunk((0, 4, 4), b"rubbish")
    with open_volume(parse_volume_path(str(path))) as volume:
        assert "the chunk [0:4,4:5,4:6] is damaged" in str(refusal(volume.read, Box((1, 4, 4), (2, 5, 6))))


def test_a_checksum_of_h5py_is_verified(tmp_path):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        dataset = file.create_dataset("data", data=VOLUME, chunks=(4, 5, 6), fletcher32=True)
        place = dataset.id.get_chunk_info(0).byte_offset
    assert np.array_equal(read(tmp_path / "v.h5")[0], VOLUME)
    (tmp_path / "v.h5").write_bytes(flipped((tmp_path / "v.h5").read_bytes(), place + 100))
    assert "its checksum (Fletcher-32) is wrong" in str(refusal(read, tmp_path / "v.h5"))


@pytest.mark.parametrize("keywords", [{"compression": "gzip"}, {"compression": None}])
def test_a_chunk_that_promises_a_petabyte_is_refused_and_takes_no_memory(tmp_path, keywords):
    """In HDF5 2.0 chunks may be that large."""
    edge = 10**5
    try:
        path = save_chunk(tmp_path, zlib.compress(CHUNK), shape=(edge,) * 3, chunks=(edge,) * 3, **keywords)
    except (ValueError, OSError, RuntimeError):
        pytest.skip("this HDF5 has no such chunks")
    error = refusal(lambda: open_volume(parse_volume_path(str(path))).read(Box((0, 0, 0), (1, 1, 1))))
    assert isinstance(error, InputError)
    assert "is damaged" in str(error)


def test_a_chunk_behind_the_end_of_the_file_is_an_error(tmp_path):
    path = save_chunk(tmp_path, CHUNK, compression=None)
    with h5py.File(path) as file:
        place = file["data"].id.get_chunk_info(0).byte_offset
    content = path.read_bytes()
    old, far = place.to_bytes(8, "little"), (10**12).to_bytes(8, "little")
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, far))
    error = refusal(read, path)
    assert isinstance(error, InputError)
    assert "it lies behind the end of the file" in str(error)


def test_contiguous_voxels_behind_the_end_of_the_file_are_an_error(tmp_path):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["data"] = VOLUME
        place = file["data"].id.get_offset()
    content = (tmp_path / "v.h5").read_bytes()
    layout = bytes([3, 1])  # version 3, contiguous; then the address
    old, far = (layout + address.to_bytes(8, "little") for address in (place, 10**12))
    assert content.count(old) == 1
    (tmp_path / "v.h5").write_bytes(content.replace(old, far))
    error = refusal(read, tmp_path / "v.h5")
    assert isinstance(error, InputError)


WRITER = """
import sys
import h5py
file = h5py.File(sys.argv[1], "w", libver=sys.argv[2])
file["main"] = [[[1]]]
file.flush()
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def writer(tmp_path):
    """Another program that holds v.h5 open for writing."""
    programs = []

    def start(libver):
        program = subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path / "v.h5", libver],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        programs.append(program)
        assert program.stdout.readline() == "open\n"
        return program

    yield start
    for program in programs:
        program.kill()
        program.communicate()


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_a_file_that_another_program_is_writing_is_refused_until_it_has_finished(tmp_path, writer, libver):
    program = writer(libver)
    error = refusal(read, tmp_path / "v.h5")
    assert isinstance(error, InputError)
    assert str(error) == (
        f"{tmp_path / 'v.h5'}: another program is writing it. Try again when it has closed the file."
    )
    program.communicate("")
    assert read(tmp_path / "v.h5")[0].tolist() == [[[1]]]


def test_a_file_whose_writer_was_killed_is_an_error_that_says_what_to_do(tmp_path, writer):
    program = writer("latest")
    program.kill()
    program.wait()
    error = refusal(read, tmp_path / "v.h5")
    assert isinstance(error, InputError)
    assert "another program is writing it, or was killed while it did. If none is, 'h5clear" in str(error)


def test_a_file_on_a_disk_without_locks_is_read_without_one(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["data"] = VOLUME
    real = h5py.File

    def without_locks(*arguments, locking=None, **keywords):
        if locking is not False:
            message = (
                "Unable to open file (unable to lock file, errno = 37, error message = 'No locks available')"
            )
            raise OSError(37, message)
        return real(*arguments, locking=locking, **keywords)

    monkeypatch.setattr(h5py, "File", without_locks)
    assert np.array_equal(read(tmp_path / "v.h5")[0], VOLUME)


def test_a_file_that_vanishes_or_cannot_be_read_is_one_line(tmp_path):
    (tmp_path / "v.h5").mkdir()
    (tmp_path / "w.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    for name in ("v.h5", "w.h5"):
        assert isinstance(refusal(read, tmp_path / name), InputError)
