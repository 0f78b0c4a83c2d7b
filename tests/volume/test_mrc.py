"""MRC, written by mrcfile."""

from __future__ import annotations

import tracemalloc

import mrcfile
import numpy as np
import pytest
from format_files import LENGTHS, crop, load, unreadable, unwritable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from volume_files import outcome, values

from mitotools.errors import InputError

TYPES = ["int8", "int16", "uint16", "float16", "float32"]
IN_ONE_FOLDER = [HealthCheck.function_scoped_fixture]


def saved(path, array, voxel_size=None, **header):
    with mrcfile.new(path, array, overwrite=True) as file:
        file.set_volume() if array.ndim == 3 else None
        if voxel_size:
            file.voxel_size = voxel_size
        for name, value in header.items():
            file.header[name] = value
    return path


@settings(max_examples=60, deadline=None, suppress_health_check=IN_ONE_FOLDER)
@given(LENGTHS, st.sampled_from(TYPES), st.sampled_from("<>"), LENGTHS)
def test_what_mrcfile_writes_is_read(tmp_path, size, dtype, byte_order, block):
    array = values(size, dtype)
    stored = array.astype(array.dtype.newbyteorder(byte_order))
    found, spec = load(saved(tmp_path / "v.mrc", stored, dmin=-128, dmax=127), block=block)
    assert np.array_equal(found, array)
    assert spec.dtype == array.dtype


def test_a_stack_of_volumes_has_channels(tmp_path):
    array = values((2, 3, 4, 5), "int16")
    assert np.array_equal(load(saved(tmp_path / "v.mrc", array))[0], array)


def test_one_image_is_a_volume_of_one_slice(tmp_path):
    array = values((4, 5), "int16")
    assert np.array_equal(load(saved(tmp_path / "v.mrc", array))[0], array[np.newaxis])


def test_a_box_is_read_behind_an_extended_header(tmp_path):
    array = values((4, 5, 6), "float32")
    with mrcfile.new(tmp_path / "v.rec", array) as file:
        file.set_extended_header(np.frombuffer(b"words that are no voxels", "V24"))
    assert np.array_equal(crop(tmp_path / "v.rec", (1, 2, 3), (3, 5, 4)), array[1:3, 2:5, 3:4])


def test_an_extended_header_is_not_read_however_long_it_says_it_is(tmp_path):
    array = values((2, 3, 4), "int16")
    long = 2**31 - 1
    path = saved(tmp_path / "v.mrc", array, nsymbt=long)
    assert f"is truncated: its header promises {1024 + long + 48} bytes" in unreadable(path)
    with path.open("r+b") as file:  # a hole on the disk
        file.seek(1024 + long)
        file.write(array.tobytes())
    tracemalloc.start()
    assert np.array_equal(load(path)[0], array)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_angstroms_are_tenths_of_nanometres(tmp_path):
    path = saved(tmp_path / "v.mrc", values((2, 3, 4), "int16"), (40.0, 82.5, 300.0))
    assert load(path)[1].voxel_size_nm == (30.0, 8.25, 4.0)


@pytest.mark.parametrize(
    "header", [{"cella": (0, 0, 0)}, {"cella": (1e9, 1e9, 1e9)}, {"mx": 0}, {"mapc": 3, "maps": 1}]
)
def test_a_voxel_size_that_cannot_be_one_is_unknown(tmp_path, header):
    path = saved(tmp_path / "v.mrc", values((2, 3, 4), "int16"), (40.0, 80.0, 300.0), **header)
    assert load(path)[1].voxel_size_nm is None


def imod(flags):
    """Return IMOD's mark and flags, 40 bytes into what others leave empty."""
    return np.frombuffer(bytes(40) + np.array([1146047817, flags], "<i4").tobytes() + bytes(36), "V84")[0]


@pytest.mark.parametrize(
    ("header", "dtype"),
    [
        ({"dmin": 0, "dmax": 255}, "uint8"),
        ({"dmin": 0, "dmax": 127}, "int8"),
        ({"dmin": -128, "dmax": 127}, "int8"),
        ({"dmin": 0, "dmax": -1}, "int8"),  # how the standard says that they are not known
        ({"dmin": 0, "dmax": 100, "extra2": imod(0)}, "uint8"),
        ({"dmin": 0, "dmax": 255, "extra2": imod(1)}, "int8"),
    ],
)
def test_bytes_are_signed_unless_imod_or_their_range_says_otherwise(tmp_path, header, dtype):
    array = values((2, 3, 4), dtype)
    found, spec = load(saved(tmp_path / "v.mrc", array.view("int8"), **header))
    assert spec.dtype == dtype
    assert np.array_equal(found, array)


def test_complex_numbers_are_refused(tmp_path):
    path = saved(tmp_path / "v.mrc", values((2, 3, 4), "float32").astype("complex64"))
    assert "expected numbers, found complex64" in unreadable(path)


def test_a_header_that_promises_more_than_there_is_is_refused(tmp_path):
    path = saved(tmp_path / "v.mrc", values((2, 3, 4), "int16"), nx=10**5, ny=10**5, nz=10**5)
    assert "is truncated: its header promises 2000000000001024 bytes" in unreadable(path)


@pytest.mark.parametrize("header", [{"nx": -1}, {"nsymbt": -9}, {"mode": 101}, {"ispg": 401, "mz": 0}])
def test_a_header_that_cannot_be_true_is_refused(tmp_path, header):
    assert "cannot be read as MRC" in unreadable(
        saved(tmp_path / "v.mrc", values((2, 3, 4), "int16"), **header)
    )


@settings(max_examples=60, deadline=None, suppress_health_check=IN_ONE_FOLDER)
@given(st.data())
def test_damage_raises_no_other_errors_than_ours(tmp_path, data):
    content = saved(tmp_path / "v.mrc", values((2, 3, 4), "int16")).read_bytes()
    start = data.draw(st.integers(0, len(content)))
    rubbish = data.draw(st.binary(max_size=8))
    cut = data.draw(st.integers(0, len(content)))
    (tmp_path / "v.mrc").write_bytes((content[:start] + rubbish + content[start + len(rubbish) :])[:cut])
    result = outcome(load, tmp_path / "v.mrc")
    assert isinstance(result, InputError) or np.array(result[0]).size <= 24 or start < 1024


def test_it_holds_no_datasets(tmp_path):
    assert "no datasets" in unreadable(saved(tmp_path / "v.mrc", values((2, 3, 4), "int16")), "main")


def test_it_is_not_written(tmp_path):
    assert "MRC is read, not written" in unwritable(tmp_path / "v.mrc", values((2, 3, 4)))
