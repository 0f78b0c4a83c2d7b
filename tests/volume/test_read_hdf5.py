"""HDF5 files as other programs write them."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from volume_files import read, refusal, values

from mitotools.errors import InputError

VOLUME = values((4, 5, 6), "uint16")


@pytest.fixture
def file(tmp_path):
    """An open HDF5 file to fill; read() finds what was flushed."""
    with h5py.File(tmp_path / "v.h5", "w") as opened:
        yield opened


def stored(file):
    file.flush()
    return file.filename


@pytest.mark.parametrize("name", ["data", "volumes/labels/neuron_ids"])
def test_the_only_dataset_needs_no_name(file, name):
    file[name] = VOLUME
    assert np.array_equal(read(stored(file))[0], VOLUME)
    assert np.array_equal(read(f"{stored(file)}:{name}")[0], VOLUME)
    assert np.array_equal(read(f"{stored(file)}:/{name}")[0], VOLUME)


def test_main_is_preferred_among_several(file):
    file["main"], file["other"] = VOLUME, VOLUME + 1
    assert np.array_equal(read(stored(file))[0], VOLUME)
    assert np.array_equal(read(f"{stored(file)}:other")[0], VOLUME + 1)


def test_the_only_volume_among_tables_needs_no_name(file):
    file["ids"], file["volume"], file["scale"] = np.arange(9), VOLUME, 3.5
    assert np.array_equal(read(stored(file))[0], VOLUME)


def test_several_volumes_are_listed(file):
    file["volumes/raw"], file["volumes/labels"] = VOLUME, VOLUME[:2]
    error = refusal(read, stored(file))
    assert "volumes/labels (2, 5, 6), volumes/raw (4, 5, 6)" in str(error)
    assert f"Say {file.filename}:NAME." in str(error)


@pytest.mark.parametrize(
    "name", ["row", "volumes", "volumes/raw/z", "..", "volumes/broken", "volumes/elsewhere"]
)
def test_a_missing_dataset_is_an_error_that_lists_what_there_is(file, name):
    file["volumes/raw"] = VOLUME
    file["volumes/broken"] = h5py.SoftLink("/nowhere")
    file["volumes/elsewhere"] = h5py.ExternalLink("nowhere.h5", "/main")
    error = refusal(read, f"{stored(file)}:{name}")
    assert isinstance(error, InputError)
    assert "no such dataset; the file holds volumes/raw (4, 5, 6)" in str(error)


def test_a_link_is_followed(file):
    file["volumes/raw"] = VOLUME
    file["raw"] = h5py.SoftLink("/volumes/raw")
    assert np.array_equal(read(f"{stored(file)}:raw")[0], VOLUME)


@pytest.fixture
def other(tmp_path):
    """The name of another file, with a volume under /volumes/raw."""
    with h5py.File(tmp_path / "other.h5", "w") as opened:
        opened.create_dataset("volumes/raw", data=VOLUME, chunks=(2, 2, 3), compression="gzip")
    return "other.h5"


def test_main_may_be_a_link(file, other):
    file["main"] = h5py.ExternalLink(other, "/volumes/raw")
    file["mask"] = VOLUME[:2]
    assert np.array_equal(read(stored(file))[0], VOLUME)
    del file["main"]
    file["main"] = h5py.SoftLink("/mask")
    file["labels"] = VOLUME[:3]
    assert np.array_equal(read(stored(file))[0], VOLUME[:2])


def test_the_only_volume_may_be_a_link_and_other_links_lead_nowhere(file, other):
    file["raw"] = h5py.ExternalLink(other, "/volumes/raw")
    file["broken"] = h5py.ExternalLink("nowhere.h5", "/main")
    file["circle"] = h5py.SoftLink("/circle")
    assert np.array_equal(read(stored(file))[0], VOLUME)


def test_a_volume_with_several_names_is_one_volume(file):
    file["volumes/raw"] = VOLUME
    file["raw"], file["group"] = h5py.SoftLink("/volumes/raw"), h5py.SoftLink("/volumes")
    file["hard"] = file["volumes/raw"]
    assert np.array_equal(read(stored(file))[0], VOLUME)


def test_links_are_listed_among_several(file, other):
    file["labels"] = VOLUME[:2]
    file["raw"] = h5py.ExternalLink(other, "/volumes/raw")
    assert "labels (2, 5, 6), raw (4, 5, 6)" in str(refusal(read, stored(file)))


def without_equivalent(dataset, name):
    """Give a dataset an attribute of a type that NumPy does not have: a time."""
    space = h5py.h5s.create_simple((2,))
    h5py.h5a.create(dataset.id, name.encode(), h5py.h5t.UNIX_D32LE, space)


@pytest.mark.parametrize("name", ["when", "history", "voxel_size_nm", "core", "nifti_affine", "is_labels"])
def test_an_attribute_that_numpy_has_no_type_for_is_left_alone(file, name):
    file["data"] = VOLUME
    without_equivalent(file["data"], name)
    array, spec = read(stored(file))
    assert np.array_equal(array, VOLUME)
    assert (spec.history, spec.voxel_size_nm, spec.attributes) == ((), None, {})


def test_a_volume_that_numpy_has_no_type_for_is_an_error(file):
    h5py.h5d.create(file.id, b"data", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((4, 5, 6)))
    error = refusal(read, stored(file))
    assert isinstance(error, InputError)
    assert "cannot be read as HDF5" in str(error)


@pytest.mark.parametrize(
    "keywords",
    [{"chunks": (3, 2, 4)}, {"compression": "lzf"}, {"shuffle": True, "fletcher32": True},
     {"maxshape": (None, None, None)}],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [">u2", "<u2", ">f4", "bool", "uint64"])
def test_layouts_and_byte_orders_are_read(file, keywords, dtype):
    array = values((4, 5, 6), np.dtype(dtype).newbyteorder("="))
    file.create_dataset("data", data=array, dtype=dtype, **keywords)
    found, spec = read(stored(file))
    assert np.array_equal(found, array)
    assert spec.dtype.isnative
    assert found.dtype == spec.dtype == array.dtype


@pytest.mark.parametrize(
    ("attributes", "voxel_size_nm"),
    [
        ({"voxel_size_nm": (30, 8, 8)}, (30.0, 8.0, 8.0)),
        ({"voxel_size_nm": np.float32([30, 8, 8])}, (30.0, 8.0, 8.0)),
        ({"element_size_um": (0.03, 0.008, 0.004)}, (30.0, 8.0, 4.0)),
        ({"voxel_size_nm": (30, 8, 8), "element_size_um": (1, 1, 1)}, (30.0, 8.0, 8.0)),
        ({}, None),
        ({"voxel_size_nm": (8, 8)}, None),
        ({"voxel_size_nm": "30 8 8"}, None),
        ({"voxel_size_nm": 8}, None),
        ({"voxel_size_nm": (30, 8, float("nan"))}, None),
        ({"voxel_size_nm": (30, 8, 0)}, None),
        ({"voxel_size_nm": (30, -8, 8)}, None),
        ({"voxel_size_nm": (1e6, 1e6, 1e6)}, None),
        ({"voxel_size_nm": h5py.Empty("f8")}, None),
        ({"element_size_um": (1000, 1000, 1000)}, None),
    ],
    ids=str,
)
def test_a_voxel_size_is_taken_from_attributes_where_it_can_be_one(file, attributes, voxel_size_nm):
    file["data"] = VOLUME
    file["data"].attrs.update(attributes)
    found = read(stored(file))[1].voxel_size_nm
    assert found == (voxel_size_nm and pytest.approx(voxel_size_nm))


@pytest.mark.parametrize(
    "value", ["words", "{}", "[1, 2]", 5, np.arange(4), h5py.Empty("f4"), b"\xff", "[" * 10**5]
)
def test_what_others_keep_under_the_names_of_our_attributes_is_ignored(file, value):
    file["data"] = VOLUME
    file["data"].attrs.update({"history": value, "core": value, "volume_size": value})
    array, spec = read(stored(file))
    assert np.array_equal(array, VOLUME)
    assert (spec.history, spec.attributes) == ((), {})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (np.zeros(6), "expected three dimensions (z, y, x), or four with channels, found shape (6,)"),
        (np.zeros((5, 6)), "found shape (5, 6)"),
        (np.zeros((1, 2, 4, 5, 6)), "found shape (1, 2, 4, 5, 6)"),
        (3.5, "found shape ()"),
        (np.zeros((4, 0, 6)), "is empty: its shape is (4, 0, 6)"),
        (np.zeros((0, 4, 5, 6)), "is empty: its shape is (0, 4, 5, 6)"),
        (h5py.Empty("f4"), "is empty: it has no shape"),
        (np.zeros((4, 5, 6), "complex64"), "expected numbers, found complex64"),
        (np.zeros((4, 5, 6), "S3"), "expected numbers, found |S3"),
        (np.zeros((4, 5, 6), [("a", "u1"), ("b", "f4")]), "expected numbers, found"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_volume_is_an_error(file, content, why):
    file["data"] = content
    error = refusal(read, stored(file))
    assert isinstance(error, InputError)
    assert why in str(error)


def test_a_chunked_row_is_no_volume(file):
    file.create_dataset("data", data=np.zeros(6), chunks=(2,))
    assert "found shape (6,)" in str(refusal(read, stored(file)))


def test_a_file_without_datasets_is_an_error(file):
    file.create_group("volumes")
    assert "It holds no dataset" in str(refusal(read, stored(file)))


@pytest.mark.parametrize("content", [b"", b"these are words", b"\x89HDF\r\n\x1a\n" + b"\0" * 90])
def test_a_file_that_is_no_hdf5_is_an_error(tmp_path, content):
    (tmp_path / "v.h5").write_bytes(content)
    error = refusal(read, tmp_path / "v.h5")
    assert isinstance(error, InputError)
    assert "cannot be read as HDF5" in str(error)
