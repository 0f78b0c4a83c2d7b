"""NumPy's .npy, against NumPy."""

from __future__ import annotations

import io
import logging

import numpy as np
import pytest
from format_files import LENGTHS, crop, load, plan, save, unreadable, unwritable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from volume_files import outcome, values

from mitotools.errors import InputError
from mitotools.volume.blocks import Box
from mitotools.volume.formats import npy

TYPES = [
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
    "bool",
]
IN_ONE_FOLDER = [HealthCheck.function_scoped_fixture]


def saved(path, array):
    np.save(path, array)
    return path


@settings(max_examples=60, deadline=None, suppress_health_check=IN_ONE_FOLDER)
@given(LENGTHS, st.none() | st.integers(1, 3), st.sampled_from(TYPES), st.integers(0, 99))
def test_numpy_reads_what_is_written(tmp_path, size, channels, dtype, seed):
    array = values(size if channels is None else (channels, *size), dtype, seed)
    save(tmp_path / "v.npy", array, None, seed)
    found = np.load(tmp_path / "v.npy")
    assert np.array_equal(found, array)
    assert found.dtype == array.dtype


@settings(max_examples=60, deadline=None, suppress_health_check=IN_ONE_FOLDER)
@given(
    LENGTHS,
    st.none() | st.integers(1, 3),
    st.sampled_from(TYPES),
    st.sampled_from("CF"),
    st.sampled_from("<>"),
    LENGTHS,
)
def test_what_numpy_writes_is_read(tmp_path, size, channels, dtype, order, byte_order, block):
    array = values(size if channels is None else (channels, *size), dtype)
    np.save(tmp_path / "v.npy", np.asarray(array.astype(array.dtype.newbyteorder(byte_order)), order=order))
    found, spec = load(tmp_path / "v.npy", block=block)
    assert np.array_equal(found, array)
    assert spec.dtype == array.dtype
    assert spec.dtype.isnative
    assert spec.voxel_size_nm is None


def test_a_box_is_read_from_where_it_lies(tmp_path):
    array = values((2, 4, 5, 6), "uint16")
    assert np.array_equal(
        crop(saved(tmp_path / "v.npy", array), (1, 2, 3), (3, 5, 4)), array[:, 1:3, 2:5, 3:4]
    )


def test_blocks_narrower_than_a_slice_lie_where_they_belong(tmp_path):
    array = values((2, 3, 4, 5), "uint16")
    spec = plan(tmp_path / "v.npy", array, None)
    writer = npy.create_writer(tmp_path / "v.npy", spec, tmp_path / "v.npy")
    for box in (Box((0, 0, 0), (3, 4, 2)), Box((0, 0, 2), (3, 1, 5)), Box((0, 1, 2), (3, 4, 5))):
        writer.write(box, array[(..., *box.slices)])
    writer.close()
    assert np.array_equal(np.load(tmp_path / "v.npy"), array)


def test_a_voxel_size_that_is_lost_is_said(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        save(tmp_path / "v.npy", values((2, 3, 4)))
    assert "holds no voxel size" in caplog.text


def header(shape, descr="<u1"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def test_a_header_that_promises_more_than_there_is_is_refused(tmp_path):
    (tmp_path / "v.npy").write_bytes(header((10**5, 10**5, 10**5)) + bytes(100))
    assert "its header promises 1000000000000128 bytes" in unreadable(tmp_path / "v.npy")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "cannot be read as .npy"),
        (b"rubbish, and a good deal of it", "cannot be read as .npy"),
        (b"\x93NUMPY\x09\x00" + bytes(100), "cannot be read as .npy"),
        (header((2, 3)) + bytes(6), "expected three dimensions"),
        (header((2, 0, 3)), "is empty"),
        (header((2, 3, -4)) + bytes(24), "expected three dimensions"),
        (header((2, 3, 4), "<c8") + bytes(192), "expected numbers, found complex64"),
        (header((2, 3, 4), "<M8[s]") + bytes(192), "expected numbers, found datetime64"),
        (header((2, 3, 4), "|O") + bytes(192), "expected numbers, found object"),
    ],
)
def test_a_file_that_is_no_volume_is_refused(tmp_path, content, why):
    (tmp_path / "v.npy").write_bytes(content)
    assert why in unreadable(tmp_path / "v.npy")


def test_a_length_of_true_is_one(tmp_path):
    """It is an integer to the parser of NumPy."""
    (tmp_path / "v.npy").write_bytes(header((True, 3, 4)) + bytes(range(12)))
    assert load(tmp_path / "v.npy")[0].tolist() == [[[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]]


def test_pickles_are_never_loaded(tmp_path):
    np.save(tmp_path / "v.npy", np.array([[[{"a": 1}]]], dtype=object), allow_pickle=True)
    assert "found object" in unreadable(tmp_path / "v.npy")


@settings(max_examples=60, deadline=None, suppress_health_check=IN_ONE_FOLDER)
@given(st.data())
def test_damage_raises_no_other_errors_than_ours(tmp_path, data):
    content = saved(tmp_path / "v.npy", values((2, 3, 4))).read_bytes()
    start = data.draw(st.integers(0, len(content)))
    rubbish = data.draw(st.binary(max_size=8))
    cut = data.draw(st.integers(0, len(content)))
    (tmp_path / "v.npy").write_bytes((content[:start] + rubbish + content[start + len(rubbish) :])[:cut])
    result = outcome(load, tmp_path / "v.npy")
    assert isinstance(result, InputError) or cut == len(content)


def test_it_holds_no_datasets(tmp_path):
    assert "holds no datasets" in unreadable(saved(tmp_path / "v.npy", values((2, 3, 4))), "main")


def test_it_has_no_compression(tmp_path):
    assert "--compression" in unwritable(tmp_path / "v.npy", values((2, 3, 4)), compression="gzip")
