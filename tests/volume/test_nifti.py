"""NIfTI, against nibabel."""

from __future__ import annotations

import gzip
import logging
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from format_files import LENGTHS, crop, load, plan, save, unreadable, unwritable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from volume_files import outcome, refusal, values

from mitotools.errors import InputError
from mitotools.volume import world
from mitotools.volume.blocks import Box
from mitotools.volume.formats import nifti

TYPES = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64"]
NAMES = ["v.nii", "v.nii.gz"]
IN_ONE_FOLDER = [HealthCheck.function_scoped_fixture]
OBLIQUE = np.array([[0.0, -0.004, 0.0, 1.5], [0.008, 0.0, 0.0, -2.0], [0.0, 0.0, -0.03, 3.0], [0, 0, 0, 1]])


def saved(path, array, zooms=(4, 8, 30), unit="micron", version=nibabel.Nifti1Image, affine=None, **header):
    """Save a (C, Z, Y, X) or (Z, Y, X) array with axes x, y, z and c."""
    image = version(array.T, affine, dtype=array.dtype)
    image.header.set_xyzt_units(unit)
    image.header["pixdim"][1:4] = np.array(zooms) / {"micron": 1000}.get(unit, 1)
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def scaled(path, array, slope, intercept):
    """Save an array with a scale for readers to apply, which nibabel would apply itself."""
    content = bytearray(saved(path, array).read_bytes())
    content[112:120] = np.array([slope, intercept], "<f4").tobytes()
    path.write_bytes(content)
    return path


def unscaled(path):
    """Return the stored voxels as (..., z, y, x)."""
    return np.asarray(nibabel.load(path).dataobj.get_unscaled()).T


@settings(max_examples=80, deadline=None, suppress_health_check=IN_ONE_FOLDER)
@given(
    st.sampled_from(NAMES), LENGTHS, st.none() | st.integers(1, 3), st.sampled_from(TYPES), st.integers(0, 9)
)
def test_nibabel_reads_what_is_written(tmp_path, name, size, channels, dtype, seed):
    channels = channels and (1 if name == "v.nii.gz" else channels)
    array = values(size if channels is None else (channels, *size), dtype, seed)
    save(tmp_path / name, array, seed=seed)
    found = nibabel.load(tmp_path / name)
    assert np.array_equal(unscaled(tmp_path / name), array)
    assert found.get_data_dtype() == array.dtype
    assert np.allclose(found.header.get_zooms()[:3], (0.004, 0.008, 0.03))
    assert found.header.get_xyzt_units()[0] == "micron"
    assert np.allclose(np.diag(found.affine), (0.004, 0.008, 0.03, 1))


@settings(max_examples=80, deadline=None, suppress_health_check=IN_ONE_FOLDER)
@given(
    st.sampled_from(NAMES),
    LENGTHS,
    st.none() | st.integers(1, 3),
    st.sampled_from(TYPES),
    st.sampled_from([nibabel.Nifti1Image, nibabel.Nifti2Image]),
    LENGTHS,
)
def test_what_nibabel_writes_is_read(tmp_path, name, size, channels, dtype, version, block):
    array = values(size if channels is None else (channels, *size), dtype)
    found, spec = load(saved(tmp_path / name, array, version=version), block=block)
    # nibabel drops a last axis of one volume.
    assert np.array_equal(found.reshape(array.shape), array)
    assert spec.dtype == array.dtype
    assert spec.voxel_size_nm == (30.0, 8.0, 4.0)


@pytest.mark.parametrize("name", NAMES)
def test_big_endian_files_are_read(tmp_path, name):
    array = values((2, 3, 4), "int16")
    header = nibabel.Nifti1Header(endianness=">")
    nibabel.save(nibabel.Nifti1Image(array.T, np.diag([8, 8, 8, 1]), header), tmp_path / name)
    assert nibabel.load(tmp_path / name).header.endianness == ">"
    assert np.array_equal(load(tmp_path / name)[0], array)


@pytest.mark.parametrize("name", NAMES)
def test_a_box_is_read_from_where_it_lies(tmp_path, name):
    array = values((2, 4, 5, 6), "uint16")
    assert np.array_equal(crop(saved(tmp_path / name, array), (1, 2, 3), (3, 5, 4)), array[:, 1:3, 2:5, 3:4])


def test_a_series_of_vectors_without_time_has_channels(tmp_path):
    array = values((3, 1, 4, 5, 6), "int16")
    assert np.array_equal(load(saved(tmp_path / "v.nii", array))[0], array[:, 0])


@pytest.mark.parametrize("name", NAMES)
def test_the_name_says_nothing_about_compression_but_the_content(tmp_path, name):
    array = values((2, 3, 4))
    other = saved(tmp_path / ("v.nii" if name == "v.nii.gz" else "v.nii.gz"), array)
    other.rename(tmp_path / name)
    assert np.array_equal(load(tmp_path / name)[0], array)


@pytest.mark.parametrize(
    ("zooms", "unit", "voxel_size"),
    [
        ((4, 8, 30), "micron", (30.0, 8.0, 4.0)),
        ((4e-6, 8e-6, 30e-6), "mm", (30.0, 8.0, 4.0)),
        ((4e-9, 8e-9, 30e-9), "meter", (30.0, 8.0, 4.0)),
        ((1, 1, 1), "mm", None),
        ((1000, 1000, 1000), "micron", None),  # a spacing of 1
        ((1, 1, 1), "unknown", None),
        ((8, 8, 8), "unknown", None),
        ((8, 8, 30), "mm", None),
        ((0, 0, 0), "mm", None),
        ((np.nan, 8e-6, 8e-6), "mm", None),
    ],
)
def test_a_spacing_that_cannot_be_a_voxel_size_is_a_placeholder_and_said_once(
    tmp_path, caplog, zooms, unit, voxel_size
):
    with caplog.at_level(logging.WARNING):
        spec = load(saved(tmp_path / "v.nii", values((2, 3, 4)), zooms, unit))[1]
    assert spec.voxel_size_nm == voxel_size
    assert len(caplog.records) == (voxel_size is None)
    assert voxel_size or "--voxel-size" in caplog.text


@pytest.mark.parametrize(
    "voxel_size", [None, (30.0, 8.0, 4.0), (1000.0, 1000.0, 1000.0), (0.1, 12.3456, 999)]
)
def test_a_voxel_size_reads_back_and_an_unknown_one_stays_unknown(tmp_path, voxel_size):
    save(tmp_path / "v.nii", values((2, 3, 4)), voxel_size)
    assert load(tmp_path / "v.nii")[1].voxel_size_nm == voxel_size


@pytest.mark.parametrize(
    ("stored", "slope", "intercept", "expected"),
    [
        ("int16", 1, 0, "int16"),
        ("int16", 0, 7, "int16"),
        ("int16", np.nan, np.nan, "int16"),
        ("int16", 0.5, 0, "float32"),
        ("uint8", 1, -128, "float32"),
        ("int32", 0.25, 3, "float64"),
        ("float32", 2, 0, "float32"),
    ],
)
def test_values_are_scaled_where_the_header_scales_them(tmp_path, stored, slope, intercept, expected):
    path = scaled(tmp_path / "v.nii", values((2, 3, 4), stored), slope, intercept)
    found, spec = load(path)
    assert spec.dtype == expected
    assert np.array_equal(found, nibabel.load(path).get_fdata().T.astype(expected))


def test_integers_that_the_header_scales_beyond_all_numbers_are_refused(tmp_path):
    path = scaled(tmp_path / "v.nii", values((2, 3, 4)), 1e38, -1e38)
    assert "(its header scales voxels by 1e+38, and adds -1e+38)" in unreadable(path)


def test_numbers_that_are_scaled_beyond_their_type_are_infinite(tmp_path):
    path = scaled(tmp_path / "v.nii", np.array([[[1, -1e30, np.inf]]], "float32"), 1e30, 0)
    assert load(path)[0].tolist() == [[[np.float32(1e30), -np.inf, np.inf]]]


def test_the_affine_neither_flips_nor_permutes_and_is_kept(tmp_path):
    array = values((2, 3, 4))
    image = nibabel.Nifti1Image(array.T, OBLIQUE)
    image.header.set_xyzt_units("micron")
    image.set_qform(OBLIQUE, 1)
    image.set_sform(OBLIQUE, 2)
    nibabel.save(image, tmp_path / "a.nii")
    found, spec = load(tmp_path / "a.nii")
    assert np.array_equal(found, array)
    assert spec.voxel_size_nm == (30.0, 4.0, 8.0)

    save(tmp_path / "b.nii.gz", found, spec.voxel_size_nm, attributes=spec.attributes)
    again = nibabel.load(tmp_path / "b.nii.gz")
    assert np.array_equal(again.get_sform(), image.get_sform())
    assert np.allclose(again.get_qform(), OBLIQUE, atol=1e-6)
    assert (int(again.header["qform_code"]), int(again.header["sform_code"])) == (1, 2)
    assert load(tmp_path / "b.nii.gz")[1] == spec


def test_an_affine_without_a_known_voxel_size_is_kept_too(tmp_path):
    saved(tmp_path / "a.nii", values((2, 3, 4)), (1, 1, 1), "mm", affine=np.diag([1.0, -1, 1, 1]))
    array, spec = load(tmp_path / "a.nii")
    save(tmp_path / "b.nii", array, None, attributes=spec.attributes)
    assert np.array_equal(nibabel.load(tmp_path / "b.nii").affine, np.diag([1, -1, 1, 1]))
    assert nibabel.load(tmp_path / "b.nii").header.get_xyzt_units()[0] == "mm"


def test_an_affine_follows_a_new_voxel_size(tmp_path):
    """Its voxels measure (30, 4, 8) nm; twice as large along z, they stand 60 nm apart."""
    attributes = {"nifti_affine": tuple(OBLIQUE[:3].ravel()), "nifti_codes": (0, 2, 3)}
    save(tmp_path / "v.nii", values((2, 3, 4)), (60.0, 4.0, 8.0), attributes=attributes)
    expected = OBLIQUE @ np.diag([1, 1, 2, 1])
    assert np.allclose(nibabel.load(tmp_path / "v.nii").affine, expected, atol=1e-7)
    assert load(tmp_path / "v.nii")[1].voxel_size_nm == (60.0, 4.0, 8.0)


def test_an_affine_moves_with_a_crop():
    """The corner (z 1, y 2, x 3) lies at (1.5 - 2 * .004, -2 + 3 * .008, 3 - .03) micrometres."""
    attributes = {"nifti_affine": tuple(OBLIQUE[:3].ravel()), "nifti_codes": (0, 2, 3)}
    moved = world.moved(attributes, (1, 2, 3), None)
    assert np.allclose(np.reshape(moved["nifti_affine"], (3, 4))[:, 3], (1.492, -1.976, 2.97))
    assert moved["nifti_codes"] == (0, 2, 3)
    assert world.moved({}, (1, 2, 3), None) == {}


def test_a_voxel_of_one_micrometre_is_written_in_millimetres_lest_it_be_a_placeholder(tmp_path):
    attributes = {"nifti_affine": (1.0, 0, 0, 5, 0, 1, 0, 6, 0, 0, 1, 7), "nifti_codes": (0, 2, 3)}
    save(tmp_path / "v.nii", values((2, 3, 4)), (1000.0, 1000.0, 1000.0), attributes=attributes)
    expected = np.array([[1e-3, 0, 0, 5e-3], [0, 1e-3, 0, 6e-3], [0, 0, 1e-3, 7e-3], [0, 0, 0, 1]])
    assert np.allclose(nibabel.load(tmp_path / "v.nii").affine, expected)
    assert nibabel.load(tmp_path / "v.nii").header.get_xyzt_units()[0] == "mm"


def test_labels_say_that_they_are(tmp_path):
    save(tmp_path / "v.nii", values((2, 3, 4), "uint64"), is_labels=True)
    assert nibabel.load(tmp_path / "v.nii").header.get_intent()[0] == "label"
    assert load(tmp_path / "v.nii")[1].is_labels


def test_an_axis_beyond_the_first_version_of_the_header_takes_the_second(tmp_path):
    array = np.zeros((1, 1, 32_768), "uint8")
    save(tmp_path / "v.nii", array)
    assert isinstance(nibabel.load(tmp_path / "v.nii"), nibabel.Nifti2Image)
    assert load(tmp_path / "v.nii", block=(1, 1, 32_768))[1].shape == (1, 1, 32_768)


@pytest.mark.parametrize("dtype", ["bool", "float16"])
def test_a_type_that_nifti_does_not_have_is_refused_with_advice(tmp_path, dtype):
    assert f"NIfTI has no type {dtype}. Choose another --dtype" in unwritable(
        tmp_path / "v.nii", values((2, 3, 4), dtype)
    )


def test_channels_cannot_be_compressed_slice_by_slice(tmp_path):
    assert "or write v.nii" in unwritable(tmp_path / "v.nii.gz", values((2, 2, 3, 4)))


@pytest.mark.parametrize(("name", "other"), [("v.nii", "gzip"), ("v.nii.gz", "none"), ("v.nii.gz", "zstd")])
def test_the_name_says_the_compression(tmp_path, name, other):
    assert "Leave --compression out" in unwritable(tmp_path / name, values((2, 3, 4)), compression=other)


def test_compressed_slices_come_whole_and_in_order(tmp_path):
    array = values((2, 3, 4))
    spec = plan(tmp_path / "v.nii.gz", array)
    writer = nifti.create_writer(tmp_path / "v.nii.gz", spec, tmp_path / "v.nii.gz")
    for box in (Box((1, 0, 0), (2, 3, 4)), Box((0, 0, 0), (1, 2, 4))):
        with pytest.raises(ValueError, match="whole and in order"):
            writer.write(box, array[box.slices])
    writer.close()


def test_an_unpacked_file_leaves_nothing_and_lies_where_it_should(tmp_path, monkeypatch):
    array = values((2, 3, 4))
    save(tmp_path / "v.nii.gz", array)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("MITOTOOLS_TMPDIR", str(tmp_path / "temporary"))
    reader = nifti.open_reader(tmp_path / "v.nii.gz", None)
    reader.read(Box.whole((2, 3, 4)))
    assert list((tmp_path / "temporary").iterdir()) == []
    reader.close()
    monkeypatch.setenv("MITOTOOLS_TMPDIR", str(tmp_path / "nowhere"))
    assert "Set MITOTOOLS_TMPDIR" in unreadable(tmp_path / "v.nii.gz")


def test_a_file_that_has_no_room_unpacked_is_refused(tmp_path, monkeypatch):
    save(tmp_path / "v.nii.gz", values((2, 3, 4)))
    usage = type("Usage", (), {"free": 23})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    assert "Set MITOTOOLS_TMPDIR to another folder, or gunzip the file" in unreadable(tmp_path / "v.nii.gz")


def declared(path, shape, **header):
    """Return a file whose header promises a shape over 24 voxels."""
    saved(path, values((2, 3, 4)), **header)
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    content = content[:40] + np.array([len(shape), *shape], "<i2").tobytes() + content[42 + 2 * len(shape) :]
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_a_header_that_promises_more_than_there_is_is_refused(tmp_path, name):
    path = declared(tmp_path / name, (10_000, 10_000, 10_000, 1000))
    assert "is truncated: its header promises 1000000000000352 bytes" in unreadable(path)


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        ((4, 3), "expected axes x, y, z"),
        ((4, 3, 0), "is empty"),
        ((4, 3, -2), "cannot be read as NIfTI"),
        ((2, 2, 2, 2, 2), "expected axes x, y, z"),
        ((1,) * 8, "cannot be read as NIfTI"),
    ],
)
def test_a_shape_that_is_no_volume_is_refused(tmp_path, shape, why):
    assert why in unreadable(declared(tmp_path / "v.nii", shape))


@pytest.mark.parametrize(("code", "bits"), [(32, 64), (128, 24), (1536, 128), (77, 8), (0, 0)])
def test_types_that_are_no_numbers_are_refused(tmp_path, code, bits):
    path = saved(tmp_path / "v.nii", np.zeros((2, 3, 4), "float64"))
    content = bytearray(path.read_bytes())
    content[70:74] = np.array([code, bits], "<i2").tobytes()
    path.write_bytes(content + bytes(1000))
    assert "expected numbers" in unreadable(path) or "cannot be read as NIfTI" in unreadable(path)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\x1f\x8brubbish", b"\x5c\x01\x00\x00", bytes(400)])
def test_rubbish_is_refused(tmp_path, content):
    (tmp_path / "v.nii").write_bytes(content)
    assert "cannot be read as NIfTI" in unreadable(tmp_path / "v.nii")


@settings(max_examples=100, deadline=None, suppress_health_check=IN_ONE_FOLDER)
@given(st.sampled_from(NAMES), st.data())
def test_damage_raises_no_other_errors_than_ours(tmp_path, name, data):
    array = values((2, 3, 4), "int16")
    save(tmp_path / name, array)
    content = (tmp_path / name).read_bytes()
    start = data.draw(st.integers(0, len(content)))
    rubbish = data.draw(st.binary(max_size=8))
    (tmp_path / name).write_bytes(content[:start] + rubbish + content[start + len(rubbish) :])
    outcome(load, tmp_path / name)
    (tmp_path / name).write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    assert isinstance(outcome(load, tmp_path / name), InputError)


@pytest.mark.parametrize("shape", [(20, 300, 400), (4, 1024, 1024)])
def test_a_compressed_voxel_that_changed_is_noticed_by_the_checksum(tmp_path, shape):
    """Also where the voxels fill whole reads of 4 MiB, and the checksum comes in another."""
    saved(tmp_path / "v.nii", np.zeros(shape, "uint8"))
    content = gzip.compress((tmp_path / "v.nii").read_bytes(), compresslevel=0)
    (tmp_path / "v.nii.gz").write_bytes(content[:-100] + b"\7" + content[-99:])
    error = outcome(crop, tmp_path / "v.nii.gz", (0, 0, 0), (1, 1, 1))
    assert "is truncated or damaged" in str(error)


def test_a_whole_compressed_stream_of_too_few_voxels_is_noticed(tmp_path):
    assert "ends 12 bytes early" in unreadable(declared(tmp_path / "v.nii.gz", (4, 3, 3)))


FULL_DISK = """
import resource, sys
from pathlib import Path
from format_files import save
from volume_files import values
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save(Path(sys.argv[1]), values((8, 256, 256)))
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_may_not_grow_is_an_error_of_the_system_and_no_crash(tmp_path, name):
    """As on a full disk; in a process of its own, whose files may have 100 kB."""
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / name)]
    result = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    assert result.stdout == "File too large\n"


def test_it_holds_no_datasets(tmp_path):
    assert "no datasets" in str(
        refusal(nifti.open_reader, saved(tmp_path / "v.nii", values((2, 3, 4))), "main")
    )
