"""TIFF files as other programs write them."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image
from volume_files import read, refusal, values

from mitotools.errors import InputError

VOLUME = values((4, 5, 6), "uint16")
MAPS = values((2, 4, 5, 6))


@pytest.mark.parametrize("unit", ["nm", "micron", "um", "\\u00B5m", "pixel", "inch", None])
def test_a_stack_of_imagej_has_its_spacing_and_unit(tmp_path, unit):
    length = {"nm": 1, "micron": 1000, "um": 1000, "\\u00B5m": 1000}.get(unit)
    metadata = {"axes": "ZYX", "spacing": 0.3} | ({"unit": unit} if unit else {})
    tifffile.imwrite(
        tmp_path / "v.tif", VOLUME, imagej=True, resolution=(1 / 0.25, 1 / 0.5), metadata=metadata
    )
    found, spec = read(tmp_path / "v.tif")
    assert np.array_equal(found, VOLUME)
    assert spec.voxel_size_nm == (length and pytest.approx((0.3 * length, 0.5 * length, 0.25 * length)))


@pytest.mark.parametrize(
    "metadata", [{"unit": "nm"}, {"unit": "nm", "spacing": "wide"}, {"unit": "nm", "spacing": 0}]
)
def test_a_stack_of_imagej_without_spacing_is_of_unknown_voxel_size(tmp_path, metadata):
    tifffile.imwrite(
        tmp_path / "v.tif",
        VOLUME,
        imagej=True,
        resolution=(1 / 8, 1 / 8),
        metadata={"axes": "ZYX", **metadata},
    )
    assert read(tmp_path / "v.tif")[1].voxel_size_nm is None


def test_a_hyperstack_of_imagej_has_channels(tmp_path):
    """ImageJ stores z before c."""
    tifffile.imwrite(tmp_path / "v.tif", MAPS.transpose(1, 0, 2, 3), imagej=True, metadata={"axes": "ZCYX"})
    assert np.array_equal(read(tmp_path / "v.tif")[0], MAPS)


def test_a_stack_of_imagej_whose_writer_named_no_axes_is_slices(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", VOLUME, imagej=True)
    assert np.array_equal(read(tmp_path / "v.tif")[0], VOLUME)


@pytest.mark.parametrize("unit", ["\u00b5m", "um", None])
@pytest.mark.parametrize("axes", ["ZYX", "CZYX", "ZCYX"])
def test_an_ome_tiff_in_micrometres_is_read(tmp_path, axes, unit):
    array = VOLUME if axes == "ZYX" else MAPS
    stored = array.transpose(["CZYX".index(axis) for axis in axes]) if array.ndim == 4 else array
    metadata = {"axes": axes}
    for axis, length in zip("ZYX", (0.03, 0.008, 0.004), strict=True):
        # Without a unit OME means micrometres.
        metadata |= {f"PhysicalSize{axis}": length} | ({f"PhysicalSize{axis}Unit": unit} if unit else {})
    tifffile.imwrite(tmp_path / "v.ome.tif", stored, ome=True, photometric="minisblack", metadata=metadata)
    found, spec = read(tmp_path / "v.ome.tif")
    assert np.array_equal(found, array)
    assert spec.voxel_size_nm == pytest.approx((30, 8, 4))


@pytest.mark.parametrize(
    ("metadata", "voxel_size_nm"),
    [
        ({"PhysicalSizeZ": 30, "PhysicalSizeY": 8, "PhysicalSizeX": 8}, None),  # 30 um: a placeholder
        ({"PhysicalSizeY": 0.008, "PhysicalSizeX": 0.008}, None),
        ({"PhysicalSizeZ": 1, "PhysicalSizeY": 1, "PhysicalSizeX": 1, "PhysicalSizeXUnit": "mm"}, None),
        ({"PhysicalSizeZ": 1, "PhysicalSizeY": 1, "PhysicalSizeX": 1, "PhysicalSizeXUnit": "pixel"}, None),
    ],
)
def test_an_ome_voxel_size_that_cannot_be_is_unknown(tmp_path, metadata, voxel_size_nm):
    tifffile.imwrite(tmp_path / "v.tif", VOLUME, ome=True, metadata={"axes": "ZYX", **metadata})
    assert read(tmp_path / "v.tif")[1].voxel_size_nm == voxel_size_nm


@pytest.mark.parametrize("prefix", ["", "ome:", "OME:"])
def test_ome_xml_with_a_prefix_is_understood(tmp_path, prefix):
    attributes = " ".join(f'PhysicalSize{axis}="8" PhysicalSize{axis}Unit="nm"' for axis in "XYZ")
    xml = (
        f"<{prefix}OME xmlns{':' + prefix[:-1] if prefix else ''}="
        '"http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<{prefix}Image ID="Image:0"><{prefix}Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
        f'SizeX="6" SizeY="5" SizeZ="4" SizeC="1" SizeT="1" {attributes}><{prefix}TiffData/></{prefix}Pixels>'
        f"</{prefix}Image></{prefix}OME>"
    )
    tifffile.imwrite(tmp_path / "v.tif", VOLUME, photometric="minisblack", description=xml, metadata=None)
    found, spec = read(tmp_path / "v.tif")
    assert np.array_equal(found, VOLUME)
    assert spec.voxel_size_nm == (8, 8, 8)


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"bigtiff": True, "byteorder": ">", "compression": "zlib"},
        {"rowsperstrip": 2},
        {"tile": (16, 16)},
        {"tile": (16, 16), "compression": "zlib"},
        {"metadata": None},
        {"metadata": None, "compression": "zlib"},
        {"metadata": {"axes": "ZYX"}},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint64", "float32", "float16"])
def test_multi_page_files_of_all_layouts_are_read(tmp_path, keywords, dtype):
    array = values((4, 20, 21), dtype)
    if "predictor" in keywords and dtype not in ("uint8", "uint16"):
        keywords = {"compression": "zlib"}  # tifffile predicts other values only with imagecodecs
    tifffile.imwrite(tmp_path / "v.tif", array, photometric="minisblack", **keywords)
    found, spec = read(tmp_path / "v.tif", (3, 8, 9))
    assert np.array_equal(found, array)
    assert found.dtype == spec.dtype == array.dtype
    assert spec.dtype.isnative
    assert spec.voxel_size_nm is None


@pytest.mark.parametrize("compression", [None, "tiff_adobe_deflate", "packbits"])
def test_pages_that_pillow_wrote_are_read(tmp_path, compression):
    pages = [Image.fromarray(page) for page in values((4, 5, 6))]
    pages[0].save(tmp_path / "v.tif", save_all=True, append_images=pages[1:], compression=compression)
    assert np.array_equal(read(tmp_path / "v.tif")[0], values((4, 5, 6)))


@pytest.mark.parametrize("keywords", [{}, {"compression": "zlib"}, {"tile": (16, 16)}], ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_slices_that_were_written_one_after_the_other_are_one_stack(tmp_path, keywords, dtype):
    array = values((5, 20, 21), dtype)
    with tifffile.TiffWriter(tmp_path / "v.tif") as file:
        for page in array:
            file.write(page, **keywords)
    found, spec = read(tmp_path / "v.tif", (3, 8, 9))
    assert np.array_equal(found, array)
    assert found.dtype == spec.dtype == array.dtype


def test_colours_that_were_written_one_after_the_other_are_one_stack(tmp_path):
    array = values((4, 20, 21, 3))
    with tifffile.TiffWriter(tmp_path / "v.tif") as file:
        for page in array:
            file.write(page, photometric="rgb", compression="zlib")
    assert np.array_equal(read(tmp_path / "v.tif")[0], np.moveaxis(array, -1, 0))


@pytest.mark.parametrize("odd", [VOLUME[0, :3], VOLUME[0].astype("uint8"), VOLUME[:2]], ids=str)
def test_slices_that_are_not_alike_are_no_stack(tmp_path, odd):
    with tifffile.TiffWriter(tmp_path / "v.tif") as file:
        for page in (VOLUME[0], odd, VOLUME[2]):
            file.write(page, compression="zlib", photometric="minisblack")
    assert "expected one image, found 3" in str(refusal(read, tmp_path / "v.tif"))


def test_four_dimensions_without_names_are_channels_first(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", MAPS, photometric="minisblack")
    assert np.array_equal(read(tmp_path / "v.tif")[0], MAPS)


def test_one_page_is_one_slice(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", VOLUME[0])
    assert np.array_equal(read(tmp_path / "v.tif")[0], VOLUME[:1])


def test_a_reduced_copy_of_the_image_is_ignored(tmp_path):
    with tifffile.TiffWriter(tmp_path / "v.tif") as file:
        file.write(VOLUME, photometric="minisblack", metadata={"axes": "ZYX"})
        file.write(VOLUME[0, ::2, ::2], subfiletype=1)
    assert np.array_equal(read(tmp_path / "v.tif")[0], VOLUME)


def test_pages_of_different_sizes_are_an_error_and_none_is_left_out(tmp_path):
    with tifffile.TiffWriter(tmp_path / "v.tif") as file:
        for page in (VOLUME[0], VOLUME[1, :3], VOLUME[2]):
            file.write(page, metadata=None)
    error = refusal(read, tmp_path / "v.tif")
    assert isinstance(error, InputError)
    assert "expected one image, found 2, of shapes (2, 5, 6), (3, 6)" in str(error)


@pytest.mark.parametrize(
    ("shape", "keywords"),
    [
        ((2, 3, 4, 5, 6), {"metadata": {"axes": "TCZYX"}, "photometric": "minisblack", "ome": True}),
        ((2, 3, 5, 6), {"metadata": {"axes": "TZYX"}, "photometric": "minisblack", "ome": True}),
        ((2, 3, 4, 5, 6), {"photometric": "minisblack"}),
    ],
)
def test_times_are_an_error(tmp_path, shape, keywords):
    tifffile.imwrite(tmp_path / "v.tif", values(shape), **keywords)
    error = refusal(read, tmp_path / "v.tif")
    assert isinstance(error, InputError)
    assert "expected slices of a volume" in str(error)


def test_a_page_that_holds_a_whole_volume_is_an_error(tmp_path):
    tifffile.imwrite(
        tmp_path / "v.tif", values((16, 16, 16)), volumetric=True, tile=(16, 16, 16), compression="zlib",
        photometric="minisblack",
    )  # fmt: skip
    assert "expected a slice a page" in str(refusal(read, tmp_path / "v.tif"))


@pytest.mark.parametrize("content", [b"", b"these are words", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0+"])
def test_a_file_that_is_no_tiff_is_an_error(tmp_path, content):
    (tmp_path / "v.tif").write_bytes(content)
    assert isinstance(refusal(read, tmp_path / "v.tif"), InputError)
