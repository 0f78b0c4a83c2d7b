"""Zarr hierarchies as other programs write them."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from ome_zarr_models.v05 import HCS
from volume_files import read, refusal, values, write

from mitotools.errors import InputError

VOLUME = values((4, 5, 6), "uint16")
MAPS = values((2, 4, 5, 6))
AXIS_TYPES = {"t": "time", "c": "channel"}


def group_at(path, zarr_format):
    return zarr.open_group(path, mode="a", zarr_format=zarr_format)


def image_metadata(axes, scale, unit="micrometer", **more):
    """The `multiscales` of NGFF 0.4 and 0.5, with one level."""
    entries = [{"name": axis, "type": AXIS_TYPES.get(axis, "space")} for axis in axes]
    for entry in entries:
        if entry["type"] == "space" and unit:
            entry["unit"] = unit
    transformations = [{"type": "scale", "scale": scale}]
    datasets = [{"path": "0", "coordinateTransformations": transformations}]
    return [{"version": "0.4", "axes": entries, "datasets": datasets, **more}]


def write_image(path, array, axes, scale, unit="micrometer", zarr_format=2, **more):
    group = group_at(path, zarr_format)
    group.create_array("0", data=array)
    multiscales = image_metadata(axes, scale, unit, **more)
    attributes = {"multiscales": multiscales}
    group.attrs.update(attributes if zarr_format == 2 else {"ome": {"version": "0.5", **attributes}})
    return group


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", [">u2", "<f4", "bool", "uint64"])
def test_a_plain_array_is_read(tmp_path, zarr_format, dtype):
    array = values((4, 5, 6), np.dtype(dtype).newbyteorder("="))
    zarr.create_array(
        tmp_path / "v.zarr", data=array.astype(dtype), chunks=(2, 2, 4), zarr_format=zarr_format
    )
    found, spec = read(tmp_path / "v.zarr")
    assert np.array_equal(found, array)
    assert found.dtype == spec.dtype == array.dtype
    assert spec.dtype.isnative
    assert spec.chunks == (2, 2, 4)


def test_a_sharded_array_is_read_by_the_chunks_in_its_shards(tmp_path):
    zarr.create_array(tmp_path / "v.zarr", data=VOLUME, chunks=(1, 2, 2), shards=(2, 4, 4))
    found, spec = read(tmp_path / "v.zarr")
    assert np.array_equal(found, VOLUME)
    assert spec.chunks == (1, 2, 2)
    assert spec.shards == spec.unit == (2, 4, 4)


def test_an_array_of_a_folder_without_group_metadata_is_read(tmp_path):
    zarr.create_array(tmp_path / "v.zarr" / "volumes" / "raw", data=VOLUME, zarr_format=2)
    for name in tmp_path.rglob(".zgroup"):
        name.unlink()
    assert np.array_equal(read(f"{tmp_path}/v.zarr:volumes/raw")[0], VOLUME)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_arrays_of_a_group_are_found_by_name(tmp_path, zarr_format):
    group = group_at(tmp_path / "v.zarr", zarr_format)
    group.create_array("volumes/raw", data=VOLUME)
    assert np.array_equal(read(tmp_path / "v.zarr")[0], VOLUME)
    group.create_array("main", data=VOLUME + 1)
    assert np.array_equal(read(tmp_path / "v.zarr")[0], VOLUME + 1)
    for separator in ":/":
        assert np.array_equal(read(f"{tmp_path}/v.zarr{separator}volumes/raw")[0], VOLUME)


def test_several_arrays_are_listed(tmp_path):
    group = group_at(tmp_path / "a:b.zarr", 2)
    group.create_array("labels/mito", data=VOLUME)
    group.create_array("labels/nuclei", data=VOLUME)
    error = refusal(read, tmp_path / "a:b.zarr")
    assert "labels/mito (4, 5, 6), labels/nuclei (4, 5, 6)" in str(error)
    assert str(error).endswith("a:b.zarr:NAME.")
    assert str(refusal(read, f"{tmp_path}/a:b.zarr:labels")).endswith("a:b.zarr:labels/NAME.")


@pytest.mark.parametrize("name", ["nothing", "raw/0", "../other", "0/0/0"])
def test_a_missing_array_is_an_error_that_lists_what_there_is(tmp_path, name):
    group_at(tmp_path / "v.zarr", 3).create_array("raw", data=VOLUME)
    error = refusal(read, f"{tmp_path}/v.zarr:{name}")
    assert isinstance(error, InputError)
    assert "no such array; the zarr holds raw" in str(error)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("unit", "nanometres"),
    [("micrometer", 1000), ("nanometer", 1), ("angstrom", 0.1), (None, None), ("mile", None)],
)
def test_level_0_of_an_image_is_read_with_its_voxel_size(tmp_path, zarr_format, unit, nanometres):
    group = write_image(tmp_path / "v.zarr", VOLUME, "zyx", [0.9, 0.5, 0.25], unit, zarr_format)
    group.create_array("1", data=VOLUME[::2])
    found, spec = read(tmp_path / "v.zarr")
    assert np.array_equal(found, VOLUME)
    expected = nanometres and pytest.approx((0.9 * nanometres, 0.5 * nanometres, 0.25 * nanometres))
    assert spec.voxel_size_nm == (
        expected if nanometres != 0.1 else None
    )  # under an angstrom is a placeholder


def test_five_dimensions_with_a_leading_one_are_read(tmp_path):
    write_image(tmp_path / "v.zarr", MAPS[None], "tczyx", [1, 1, 0.03, 0.008, 0.004])
    found, spec = read(tmp_path / "v.zarr")
    assert np.array_equal(found, MAPS)
    assert spec.voxel_size_nm == pytest.approx((30, 8, 4))


def test_five_dimensions_without_names_are_read(tmp_path):
    zarr.create_array(tmp_path / "v.zarr", data=MAPS[None])
    assert np.array_equal(read(tmp_path / "v.zarr")[0], MAPS)


def test_several_times_are_an_error(tmp_path):
    write_image(tmp_path / "v.zarr", MAPS, "tzyx", [1, 1, 1, 1])
    assert "found shape (2, 4, 5, 6)" in str(refusal(read, tmp_path / "v.zarr"))


@pytest.mark.parametrize("axes", ["cxyz", "xyz", "yxz", "zyxc"])
def test_axes_in_another_order_are_brought_into_ours(tmp_path, axes):
    ours = "czyx" if "c" in axes else "zyx"
    array = MAPS if "c" in axes else VOLUME
    lengths = {"c": 1, "z": 0.03, "y": 0.008, "x": 0.004}
    stored = array.transpose([ours.index(axis) for axis in axes])
    write_image(tmp_path / "v.zarr", stored, axes, [lengths[axis] for axis in axes])
    found, spec = read(tmp_path / "v.zarr")
    assert np.array_equal(found, array)
    assert spec.voxel_size_nm == pytest.approx((30, 8, 4))


def test_an_image_without_z_is_one_slice(tmp_path):
    write_image(tmp_path / "v.zarr", MAPS[:, 0], "cyx", [1, 0.008, 0.004])
    found, spec = read(tmp_path / "v.zarr")
    assert np.array_equal(found, MAPS[:, :1])
    assert spec.voxel_size_nm is None


def test_a_scale_of_the_whole_image_multiplies_that_of_the_level(tmp_path):
    more = {"coordinateTransformations": [{"type": "scale", "scale": [1, 2, 2]}]}
    write_image(tmp_path / "v.zarr", VOLUME, "zyx", [30, 4, 4], "nanometer", **more)
    assert read(tmp_path / "v.zarr")[1].voxel_size_nm == (30, 8, 8)


def test_a_level_named_by_hand_has_its_own_voxel_size(tmp_path):
    group = write_image(tmp_path / "v.zarr", VOLUME, "zyx", [30, 8, 8], "nanometer")
    group.create_array("1", data=VOLUME[:, ::2, ::2])
    multiscales = group.attrs["multiscales"]
    transformations = [{"type": "scale", "scale": [30, 16, 16]}]
    multiscales[0]["datasets"].append({"path": "1", "coordinateTransformations": transformations})
    group.attrs["multiscales"] = multiscales
    found, spec = read(f"{tmp_path}/v.zarr:1")
    assert np.array_equal(found, VOLUME[:, ::2, ::2])
    assert spec.voxel_size_nm == (30, 16, 16)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_labels_inside_an_image_are_found_by_name_and_the_image_without(tmp_path, zarr_format):
    write_image(tmp_path / "v.zarr", VOLUME, "zyx", [30, 8, 8], "nanometer", zarr_format)
    write_image(
        tmp_path / "v.zarr" / "labels" / "mito", VOLUME + 1, "zyx", [30, 4, 4], "nanometer", zarr_format
    )
    assert np.array_equal(read(tmp_path / "v.zarr")[0], VOLUME)
    found, spec = read(f"{tmp_path}/v.zarr/labels/mito")
    assert np.array_equal(found, VOLUME + 1)
    assert spec.voxel_size_nm == (30, 4, 4)


def test_the_only_image_of_a_container_is_found_among_other_programs_files(tmp_path):
    """bioformats2raw writes the image as the group 0, and OME/METADATA.ome.xml beside it."""
    group = group_at(tmp_path / "v.zarr", 2)
    group.attrs["bioformats2raw.layout"] = 3
    write_image(tmp_path / "v.zarr" / "0", MAPS[None], "tczyx", [1, 1, 0.03, 0.008, 0.004])
    write_image(tmp_path / "v.zarr" / "0" / "labels" / "mito", VOLUME, "zyx", [0.03, 0.008, 0.004])
    (tmp_path / "v.zarr" / "OME").mkdir()
    (tmp_path / "v.zarr" / "OME" / "METADATA.ome.xml").write_text("<OME/>")
    (tmp_path / "v.zarr" / ".DS_Store").write_text("")
    assert np.array_equal(read(tmp_path / "v.zarr")[0], MAPS)
    write_image(tmp_path / "v.zarr" / "1", MAPS, "czyx", [1, 0.03, 0.008, 0.004])
    assert "which array? It holds 0, 1. Say" in str(refusal(read, tmp_path / "v.zarr"))
    assert np.array_equal(read(f"{tmp_path}/v.zarr:1")[0], MAPS)


def test_a_field_of_a_plate_is_found_by_name(tmp_path):
    for column in "12":
        (tmp_path / "v.zarr" / "A" / column).mkdir(parents=True)
        write(tmp_path / "v.zarr" / "A" / column / "0.zarr", VOLUME, (30.0, 8.0, 8.0))
        (tmp_path / "v.zarr" / "A" / column / "0.zarr").rename(tmp_path / "v.zarr" / "A" / column / "0")
        well = {"images": [{"path": "0"}]}
        group_at(tmp_path / "v.zarr" / "A" / column, 3).attrs["ome"] = {"version": "0.5", "well": well}
    wells = [{"path": f"A/{column}", "rowIndex": 0, "columnIndex": int(column) - 1} for column in "12"]
    plate = {
        "columns": [{"name": "1"}, {"name": "2"}],
        "rows": [{"name": "A"}],
        "wells": wells,
        "version": "0.5",
    }
    root = group_at(tmp_path / "v.zarr", 3)
    root.create_group("A")
    root.attrs["ome"] = {"version": "0.5", "plate": plate}
    assert HCS.from_zarr(root).ome_attributes.plate.wells[1].path == "A/2"
    assert np.array_equal(read(f"{tmp_path}/v.zarr/A/2/0")[0], VOLUME)
    assert "It holds A/1/0, A/2/0" in str(refusal(read, tmp_path / "v.zarr"))


@pytest.mark.parametrize("suffix", ["v.ZARR", "v"])
def test_a_folder_is_known_as_zarr_by_its_contents_or_suffix(tmp_path, suffix):
    zarr.create_array(tmp_path / suffix, data=VOLUME)
    assert np.array_equal(read(tmp_path / suffix)[0], VOLUME)


@pytest.mark.parametrize("records", [5, "words", {"a": 1}, [1, 2], None])
def test_what_others_keep_under_the_name_of_the_history_is_ignored(tmp_path, records):
    write_image(tmp_path / "v.zarr", VOLUME, "zyx", [30, 8, 8]).attrs["history"] = records
    assert read(tmp_path / "v.zarr")[1].history == ()


@pytest.mark.parametrize("shape", [(), (6,), (5, 6), (2, 2, 4, 5, 6)])
def test_a_wrong_number_of_dimensions_is_an_error(tmp_path, shape):
    zarr.create_array(tmp_path / "v.zarr", shape=shape, dtype="u1")
    error = refusal(read, tmp_path / "v.zarr")
    assert isinstance(error, InputError)
    assert f"found shape {shape}" in str(error)


def test_an_empty_volume_is_an_error(tmp_path):
    zarr.create_array(tmp_path / "v.zarr", shape=(4, 0, 6), chunks=(1, 1, 1), dtype="u1")
    assert "is empty" in str(refusal(read, tmp_path / "v.zarr"))


def test_a_file_or_empty_folder_called_zarr_is_an_error(tmp_path):
    (tmp_path / "file.zarr").write_text("words")
    (tmp_path / "folder.zarr").mkdir()
    for name in ("file.zarr", "folder.zarr"):
        error = refusal(read, tmp_path / name)
        assert isinstance(error, InputError)
        assert "cannot be read as zarr" in str(error)


@pytest.mark.parametrize(
    "names", ["xyz", "zyx", "yzx", "cxyz", "xyzc", "XYZ", ("x", "y", "z", "channel"), "czyx"], ids=str
)
def test_a_plain_array_has_the_axes_that_it_names(tmp_path, names):
    axes = ["c" if name == "channel" else name.lower() for name in names]
    array = MAPS if "c" in axes else VOLUME
    stored = array.transpose(["czyx"[-array.ndim :].index(axis) for axis in axes])
    zarr.create_array(
        tmp_path / "v.zarr",
        data=np.ascontiguousarray(stored),
        chunks=(2,) * array.ndim,
        dimension_names=list(names),
    )
    found, spec = read(tmp_path / "v.zarr")
    assert spec.shape == array.shape
    assert np.array_equal(found, array)


@pytest.mark.parametrize("names", [None, ["a", "b", "c"], [None, "y", "x"], ["x", "x", "x"]])
def test_names_that_are_no_axes_leave_a_plain_array_as_it_is(tmp_path, names):
    zarr.create_array(tmp_path / "v.zarr", data=VOLUME, dimension_names=names)
    assert np.array_equal(read(tmp_path / "v.zarr")[0], VOLUME)


def test_named_channels_are_not_guessed(tmp_path):
    many = values((20, 3, 4, 5))
    zarr.create_array(tmp_path / "v.zarr", data=many, dimension_names=["c", "z", "y", "x"])
    assert np.array_equal(read(tmp_path / "v.zarr")[0], many)
