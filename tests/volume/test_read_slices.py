"""Folders and patterns of image files."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image
from volume_files import read, refusal, values

from mitotools.errors import InputError
from mitotools.volume.formats.slice_files import natural_order

VOLUME = values((12, 5, 6))


def save(folder, array, name="im{z}.png"):
    folder.mkdir(exist_ok=True)
    for z, plane in enumerate(array):
        file = folder / name.format(z=z)
        if file.suffix == ".png":
            Image.fromarray(plane).save(file)
        else:
            tifffile.imwrite(file, plane)


@pytest.mark.parametrize("name", ["im{z}.png", "IM{z:04d}.PNG", "seg{z}.tif", "a_2_{z}.tiff"])
def test_slices_are_read_in_the_natural_order_of_their_names(tmp_path, name):
    save(tmp_path / "v", VOLUME, name)
    for path in ("v", "v/", f"v/*{name.split('.')[-1]}"):
        assert np.array_equal(read(f"{tmp_path}/{path}")[0], VOLUME)


def test_natural_order_counts_and_takes_no_offence_at_strange_digits():
    assert sorted(["a10", "a9", "a\u00b2", "b1"], key=natural_order) == ["a9", "a10", "a\u00b2", "b1"]


@pytest.mark.parametrize("dtype", ["uint16", "uint8"])
def test_pngs_of_pillow_are_read_in_their_own_type(tmp_path, dtype):
    array = values((3, 5, 6), dtype)
    save(tmp_path / "v", array)
    found, spec = read(tmp_path / "v")
    assert np.array_equal(found, array)
    assert spec.dtype == dtype
    assert spec.voxel_size_nm is None


@pytest.mark.parametrize("dtype", ["uint32", "uint64", "int16", "float32"])
def test_tiff_slices_are_read_in_their_own_type(tmp_path, dtype):
    array = values((3, 5, 6), dtype)
    save(tmp_path / "v", array, "seg{z}.tif")
    found, spec = read(tmp_path / "v")
    assert np.array_equal(found, array)
    assert spec.dtype == dtype


def test_big_endian_slices_are_read(tmp_path):
    (tmp_path / "v").mkdir()
    for z in range(2):
        tifffile.imwrite(tmp_path / "v" / f"{z}.tif", VOLUME[z].astype("uint16"), byteorder=">")
    found, spec = read(tmp_path / "v")
    assert np.array_equal(found, VOLUME[:2])
    assert spec.dtype.isnative


def test_a_pattern_chooses_among_the_files_of_a_folder(tmp_path):
    save(tmp_path / "v", VOLUME, "im{z:02d}.png")
    save(tmp_path / "v", VOLUME[:3] + 1, "seg{z}.tif")
    assert np.array_equal(read(tmp_path / "v" / "im*.png")[0], VOLUME)
    assert np.array_equal(read(tmp_path / "v" / "im0?.png")[0], VOLUME[:10])
    assert np.array_equal(read(tmp_path / "v" / "*.tif")[0], VOLUME[:3] + 1)


def test_png_and_tiff_in_one_folder_are_not_mixed_up(tmp_path):
    save(tmp_path / "v", VOLUME, "im{z}.png")
    save(tmp_path / "v", VOLUME, "seg{z}.tif")
    error = refusal(read, tmp_path / "v")
    assert "holds both PNG and TIFF. Say which" in str(error)
    assert "v/*.png" in str(error)


def test_a_pattern_may_span_folders_one_after_the_other(tmp_path):
    for number in (1, 2, 10):
        save(tmp_path / f"run{number}", VOLUME[:2] // number)
    expected = np.concatenate([VOLUME[:2] // number for number in (1, 2, 10)])
    assert np.array_equal(read(tmp_path / "run*" / "*.png")[0], expected)


def test_brackets_in_the_name_of_a_folder_are_no_pattern(tmp_path):
    save(tmp_path / "stack[1]", VOLUME)
    assert np.array_equal(read(tmp_path / "stack[1]" / "*.png")[0], VOLUME)
    assert np.array_equal(read(f"{tmp_path}/stack[1]/[2:4,:,:]")[0], VOLUME[2:4])


def test_what_is_no_image_and_what_macos_leaves_behind_is_passed_over(tmp_path):
    save(tmp_path / "v", VOLUME)
    for name in ("._im3.png", ".DS_Store", "notes.txt"):
        (tmp_path / "v" / name).write_text("no image")
    assert np.array_equal(read(tmp_path / "v")[0], VOLUME)


@pytest.mark.parametrize("name", ["im{z}.png", "im{z}.tif"])
@pytest.mark.parametrize(
    "odd", [values((5, 7)), values((5, 6), "uint16"), values((5, 6, 3))], ids=["size", "type", "RGB"]
)
def test_a_slice_that_differs_from_the_first_is_named(tmp_path, name, odd):
    save(tmp_path / "v", VOLUME[:3], name)
    file = tmp_path / "v" / name.format(z=1)
    Image.fromarray(odd).save(file) if file.suffix == ".png" else tifffile.imwrite(file, odd)
    error = refusal(read, tmp_path / "v")
    assert isinstance(error, InputError)
    assert f"{file}: expected (5, 6) uint8 as" in str(error)


@pytest.mark.parametrize("name", ["v", "v/*.png", "nowhere/*.png", "v/*.jpg"])
def test_a_folder_or_pattern_without_slices_is_an_error(tmp_path, name):
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "notes.txt").write_text("no image")
    error = refusal(read, tmp_path / name)
    assert isinstance(error, InputError)
    assert "there are no slices" in str(error)


def test_a_file_without_suffix_is_an_error_that_says_so(tmp_path):
    (tmp_path / "volume").write_text("what am I?")
    assert "has no suffix" in str(refusal(read, tmp_path / "volume"))


def test_a_file_of_unknown_suffix_is_an_error_that_lists_the_known(tmp_path):
    (tmp_path / "v.czi").write_text("later")
    assert "unknown suffix '.czi'. Known are .h5" in str(refusal(read, tmp_path / "v.czi"))


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    for name in ("v.h5", "v.zarr", "v.tif", "v", "v.xyz"):
        assert "no such file or folder" in str(refusal(read, tmp_path / name))


@pytest.mark.parametrize("value", ["words", "1 2", "1e6 1e6 1e6", "nan nan nan"])
def test_a_voxel_size_in_a_png_that_cannot_be_is_unknown(tmp_path, value):
    from PIL.PngImagePlugin import PngInfo

    information = PngInfo()
    information.add_text("voxel_size_nm", value)
    (tmp_path / "v").mkdir()
    Image.fromarray(VOLUME[0]).save(tmp_path / "v" / "0.png", pnginfo=information)
    assert read(tmp_path / "v")[1].voxel_size_nm is None


@pytest.mark.parametrize(
    ("kept", "double"), [("im1.png", "im01.png"), ("im1.tif", "im1.tiff"), ("im1.tif", "im001.TIF")]
)
def test_a_slice_that_is_there_twice_is_an_error_that_names_both(tmp_path, kept, double):
    save(tmp_path / "v", VOLUME[:4], f"im{{z}}.{kept[-3:]}")
    save(tmp_path / "v", VOLUME[:1], double)
    first, second = sorted((kept, double))
    assert f"{first} and {second} are the same slice" in str(refusal(read, tmp_path / "v"))


def test_a_pattern_takes_doubles_in_an_order_that_does_not_depend_on_the_disk(tmp_path):
    for z, name in enumerate(("im1.png", "im001.png", "im01.png")):
        save(tmp_path / "v", VOLUME[z : z + 1], name)
    assert np.array_equal(read(tmp_path / "v" / "im*.png")[0], VOLUME[[1, 2, 0]])
