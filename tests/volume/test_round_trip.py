"""What is written in any format, by blocks in any order, reads back, voxel size and history included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from volume_files import RECORD, read, refusal, values, write

from mitotools.errors import TargetError
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.outputs import create_volume
from mitotools.volume.path import VolumePath

PNG_TYPES = ["uint8", "uint16"]
OME_TIFF_TYPES = ["uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64"]
ALL_TYPES = [*OME_TIFF_TYPES, "uint64", "int64", "float16", "bool"]
HELD = {
    "v.h5": ALL_TYPES,
    "v.zarr": ALL_TYPES,
    "v.tif": OME_TIFF_TYPES,
    "v": OME_TIFF_TYPES,
    "slices/*.png": PNG_TYPES,
    "slices/im_*.tif": OME_TIFF_TYPES,
}
VOXEL_SIZES = [None, (30.0, 8.0, 8.0), (12.3456789012, 3.25, 1 / 3)]
LENGTHS = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6))


def every_type_of_every_format():
    return [(name, dtype) for name, types in HELD.items() for dtype in types]


@pytest.mark.parametrize(("name", "dtype"), every_type_of_every_format())
def test_a_volume_reads_back(tmp_path, name, dtype):
    array = values((5, 6, 7), dtype)
    write(tmp_path / name, array, (30.0, 8.0, 4.0))
    found, spec = read(tmp_path / name)
    assert np.array_equal(found, array)
    assert spec.dtype == array.dtype
    assert spec.voxel_size_nm == (30.0, 8.0, 4.0)
    assert spec.history == (RECORD,)


@pytest.mark.parametrize(
    ("name", "dtype"), [(name, dtype) for name in HELD for dtype in ALL_TYPES if dtype not in HELD[name]]
)
def test_a_type_that_a_format_does_not_have_is_refused_and_leaves_nothing(tmp_path, name, dtype):
    error = refusal(write, tmp_path / name, values((2, 3, 4), dtype))
    assert isinstance(error, TargetError)
    assert dtype in str(error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("voxel_size", VOXEL_SIZES)
@pytest.mark.parametrize("name", HELD)
def test_a_voxel_size_reads_back_to_the_last_digit_and_an_unknown_one_stays_unknown(
    tmp_path, name, voxel_size
):
    write(tmp_path / name, values((2, 3, 4)), voxel_size)
    assert read(tmp_path / name)[1].voxel_size_nm == voxel_size


@pytest.mark.parametrize("name", HELD)
def test_no_history_stays_none(tmp_path, name):
    write(tmp_path / name, values((2, 3, 4)), history=())
    assert read(tmp_path / name)[1].history == ()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    held=st.sampled_from(every_type_of_every_format()),
    shape=LENGTHS,
    channels=st.none() | st.integers(1, 3),
    chunks=st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(1, 8)),
    block=LENGTHS,
    seed=st.integers(0, 99),
)
def test_chunks_blocks_and_their_order_make_no_difference(
    tmp_path, held, shape, channels, chunks, block, seed
):
    name, dtype = held
    whole_slices = name in ("v", "slices/*.png", "slices/im_*.tif")
    shape = shape if channels is None or whole_slices else (channels, *shape)
    array = values(shape, dtype, seed)
    write(tmp_path / name, array, chunks=chunks, seed=seed, force=True)
    found, _ = read(tmp_path / name, block)
    # OME-XML does not tell one channel from none.
    assert found.shape == (shape[-3:] if name == "v.tif" and channels == 1 else shape)
    assert np.array_equal(found.reshape(shape), array)


@pytest.mark.parametrize("name", HELD)
def test_what_is_read_may_be_changed_by_the_caller(tmp_path, name):
    write(tmp_path / name, values((2, 3, 4)))
    for block in (1, 2):
        array, _ = read(tmp_path / name, (block, 3, 4))
        array += 1


@pytest.mark.parametrize("name", ["v.h5", "v.zarr", "v.tif"])
@pytest.mark.parametrize(
    ("crop", "index"),
    [
        ("[1]", np.s_[1]),
        ("[1:3]", np.s_[1:3]),
        ("[:]", np.s_[:]),
        ("[1:3,2:4,1:,:5]", np.s_[1:3, 2:4, 1:, :5]),
        ("[2,2:4,1:,:5]", np.s_[2, 2:4, 1:, :5]),
        ("[2:4,1:,:5]", np.s_[:, 2:4, 1:, :5]),
    ],
)
def test_a_crop_is_the_same_as_an_index_of_the_array(tmp_path, name, crop, index):
    array = values((3, 4, 5, 6), "uint16")
    write(tmp_path / name, array)
    found, spec = read(f"{tmp_path / name}{crop}")
    assert np.array_equal(found, array[index])
    assert spec.shape == array[index].shape
    assert spec.history == (RECORD,)


def test_attributes_of_a_tile_read_back_from_hdf5(tmp_path):
    attributes = {"core": (0, 2, 1, 3, 0, 4), "volume_size": (8, 9, 10)}
    write(tmp_path / "v.h5", values((2, 3, 4)), attributes=attributes)
    assert read(tmp_path / "v.h5")[1].attributes == attributes


@pytest.mark.parametrize("name", ["v.h5", "v.zarr", "v.tif", "v"])
def test_a_history_of_more_than_64_kilobytes_survives(tmp_path, name):
    history = ({**RECORD, "parameters": {"text": "x\u00b5" * 100_000}},)
    write(tmp_path / name, values((2, 3, 4)), history=history)
    assert read(tmp_path / name)[1].history == history


COMPRESSIONS = {"v.h5": ["default", "gzip", "lzf", "none"], "v.zarr": ["default", "gzip", "zstd", "none"],
                "v.tif": ["default", "none"], "v": ["default", "none"]}  # fmt: skip


@pytest.mark.parametrize("compression", ["default", "gzip", "lzf", "zstd", "none"])
@pytest.mark.parametrize("name", COMPRESSIONS)
def test_a_compression_changes_no_voxel_or_is_refused(tmp_path, name, compression):
    array = values((2, 3, 4))
    if compression in COMPRESSIONS[name]:
        write(tmp_path / name, array, compression=compression)
        assert np.array_equal(read(tmp_path / name)[0], array)
    else:
        error = refusal(write, tmp_path / name, array, compression=compression)
        assert isinstance(error, TargetError)
        assert list(tmp_path.iterdir()) == []


def test_channels_do_not_fit_into_slices(tmp_path):
    error = refusal(write, tmp_path / "v", values((2, 3, 4, 5)))
    assert isinstance(error, TargetError)
    assert "slices hold no channels" in str(error)


@pytest.mark.parametrize("pattern", ["*.jpg", "im_?.png", "a*b*.png", "*b.png"])
def test_a_pattern_that_new_slices_cannot_follow_is_refused(tmp_path, pattern):
    assert isinstance(refusal(write, tmp_path / "v" / pattern, values((2, 3, 4))), TargetError)


def test_ten_thousand_slices_are_numbered_so_that_names_sort(tmp_path):
    spec = VolumeSpec((10_001, 1, 1), np.dtype("uint8"))
    with create_volume(VolumePath(str(tmp_path / "v")), spec) as writer:
        for z in (2, 10_000):
            writer.write(Box((z, 0, 0), (z + 1, 1, 1)), np.zeros((1, 1, 1), "uint8"))
    assert sorted(file.name for file in (tmp_path / "v").iterdir()) == ["z00002.png", "z10000.png"]
