"""TIFF files that lie, lack something, or are very large."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from volume_files import read, refusal, values, write

from mitotools.errors import InputError, TargetError
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.formats import tiff

VOLUME = values((4, 40, 50))
ONE = Box((0, 0, 0), (1, 1, 1))


def with_tag(file, code, value):
    """Overwrite a tag of the first page of a little-endian classic TIFF, of one 16 or 32 bit number."""
    content = bytearray(file.read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", content, entry)[0] == code:
            struct.pack_into("<HHII", content, entry, code, 4, 1, value)
    file.write_bytes(content)


def test_a_header_of_10_to_the_15_voxels_in_one_page_is_refused(tmp_path):
    file = tmp_path / "v.tif"
    tifffile.imwrite(file, VOLUME[0], compression="zlib", metadata=None, rowsperstrip=40)
    for code in (256, 257, 278):
        with_tag(file, code, 31_623_000)
    error = refusal(read, f"{file}[0:1,0:1,0:1]")
    assert isinstance(error, InputError)
    assert f"its header promises {31_623_000**2} bytes" in str(error)


@pytest.mark.parametrize(
    "description",
    [
        '{"shape": [1000000000000, 40, 50], "truncated": true}',
        "ImageJ=1.11a\nimages=1000000000000\nslices=1000000000000\n",
    ],
    ids=["tifffile", "ImageJ"],
)
def test_a_header_of_10_to_the_15_voxels_in_many_slices_is_refused(tmp_path, description):
    """Both write only the first page of an image in one piece."""
    tifffile.imwrite(tmp_path / "v.tif", VOLUME[0], metadata=None, description=description)
    error = refusal(read, f"{tmp_path / 'v.tif'}[0:1,0:1,0:1]")
    assert isinstance(error, InputError)
    assert "Copy it again" in str(error)


def test_a_strip_that_promises_too_much_is_refused_when_it_is_read(tmp_path):
    file = tmp_path / "v.tif"
    tifffile.imwrite(file, VOLUME, photometric="minisblack", compression="zlib", rowsperstrip=40)
    reader = tiff.open_reader(file, None)
    reader._pages._first.databytecounts = (2, 2)
    reader._pages._first.imagelength = reader._pages._first.rowsperstrip = 2**20
    assert "promises" in str(refusal(reader.read, ONE))
    reader.close()


def test_an_uncompressed_page_beyond_the_end_of_the_file_is_an_error(tmp_path):
    file = tmp_path / "v.tif"
    with tifffile.TiffWriter(file) as writer:
        for plane in VOLUME:
            writer.write(plane, metadata=None, contiguous=False)
    with tifffile.TiffFile(file) as opened:
        assert opened.series[0].dataoffset is None
        place = opened.pages[3].tags[273].valueoffset
    content = bytearray(file.read_bytes())
    struct.pack_into("<I", content, place, len(content) - 10)
    file.write_bytes(content)
    assert np.array_equal(read(f"{file}[0:3,:,:]")[0], VOLUME[:3])
    assert "v.tif: page 3 cannot be read" in str(refusal(read, file))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("first", [0, 5, 149])
def test_pages_that_follow_each_other_in_a_circle_are_an_error(tmp_path, big, first):
    file = tmp_path / "v.tif"
    with tifffile.TiffWriter(file, bigtiff=big) as writer:
        for page in values((150, 4, 5)):
            writer.write(page, contiguous=False, metadata=None)
    with tifffile.TiffFile(file) as tiff:
        last, offset = tiff.pages[149], tiff.pages[first].offset
        size, tag, form = (8, 20, "<Q") if big else (2, 12, "<I")
        place = last.offset + size + len(last.tags) * tag
    with file.open("r+b") as content:
        content.seek(place)
        assert content.read(struct.calcsize(form)) == bytes(struct.calcsize(form))  # this was the last page
        content.seek(place)
        content.write(struct.pack(form, offset))
    assert "its pages follow each other in a circle" in str(refusal(read, file))


def test_tiles_left_out_are_empty(tmp_path):
    expected = VOLUME[0].copy()
    tifffile.imwrite(tmp_path / "v.tif", expected, compression="zlib", tile=(16, 16), metadata=None)
    with tifffile.TiffFile(tmp_path / "v.tif", mode="r+b") as file:
        for code in (324, 325):
            tag = file.pages[0].tags[code]
            tag.overwrite((*tag.value[:5], 0, *tag.value[6:]))
    expected[16:32, 16:32] = 0
    assert np.array_equal(read(tmp_path / "v.tif", (1, 7, 9))[0][0], expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_stack_of_imagej_beyond_4_gigabytes_has_all_its_slices(tmp_path, dtype):
    """ImageJ then writes the first page alone, and the others behind it."""
    bytes_each = np.dtype(dtype).itemsize
    file, shape = tmp_path / "v.tif", (4200 // bytes_each, 1024, 1024)
    with pytest.warns(UserWarning, match="truncating ImageJ file"):
        tifffile.imwrite(file, shape=shape, dtype=dtype, imagej=True)
    if file.stat().st_blocks * 512 > 2**30:
        pytest.skip("the file system keeps no holes")
    with tifffile.TiffFile(file) as opened:
        assert len(opened.pages) == 1
        offset = opened.series[0].dataoffset
    last = values((1, 1024, 1024), dtype)
    with file.open("r+b") as opened:
        opened.seek(offset + (shape[0] - 1) * bytes_each * 2**20)
        opened.write(last.tobytes())
    reader = tiff.open_reader(file, None)
    assert reader.spec.shape == shape
    assert np.array_equal(reader.read(Box((shape[0] - 1, 0, 0), shape)), last)
    reader.close()
    os.truncate(file, 2**32)
    assert "Copy it again" in str(refusal(read, file))


WITHOUT_IMAGECODECS = """
import sys
sys.modules["imagecodecs"] = None
from pathlib import Path
from mitotools.errors import InputError
from mitotools.volume.blocks import Box
from mitotools.volume.formats import tiff
try:
    reader = tiff.open_reader(Path(sys.argv[1]), None)
    print(reader.read(Box.whole(reader.spec.size)).sum())
except InputError as error:
    print(error)
"""


def without_imagecodecs(file):
    command = [sys.executable, "-c", WITHOUT_IMAGECODECS, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    return done.stdout


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True},
        {"compression": "zlib", "tile": (16, 16)},
    ],
    ids=str,
)
def test_deflate_is_read_without_imagecodecs(tmp_path, keywords):
    tifffile.imwrite(tmp_path / "v.tif", VOLUME, photometric="minisblack", **keywords)
    assert int(without_imagecodecs(tmp_path / "v.tif")) == VOLUME.sum()


@pytest.mark.parametrize("code", [5, 50000], ids=["LZW", "Zstandard"])
def test_a_codec_that_is_not_installed_is_an_error_that_names_the_extra(tmp_path, code):
    tifffile.imwrite(tmp_path / "v.tif", VOLUME[0], compression="zlib")
    with_tag(tmp_path / "v.tif", 259, code)
    message = without_imagecodecs(tmp_path / "v.tif")
    assert message.startswith(str(tmp_path / "v.tif"))
    assert "Run: pip install 'mitotools[tiff]'" in message


@pytest.mark.parametrize(
    ("dtype", "advice"), [("uint64", "uint32"), ("int64", "int32"), ("bool", "uint8"), ("float16", "float32")]
)
@pytest.mark.parametrize("name", ["v.tif", "v/*.tif"])
def test_types_that_ome_does_not_have_are_refused_with_advice(tmp_path, name, dtype, advice):
    error = refusal(write, tmp_path / name, values((2, 3, 4), dtype))
    assert isinstance(error, TargetError)
    assert f"has no type {dtype}. Write .zarr or .h5, or choose --dtype {advice}" in str(error)


@pytest.mark.parametrize(
    ("shape", "dtype", "is_big"),
    [
        ((4000, 1024, 1024), "uint8", False),
        ((2050, 1024, 1024), "uint16", True),
        ((2, 2030, 1024, 1024), "uint8", False),
        ((2, 2050, 1024, 1024), "uint8", True),
        ((8_000_000, 16, 32), "uint8", True),  # 4.1 GB of voxels, and as much of pages
    ],
)
def test_a_file_that_passes_4_gigabytes_is_a_bigtiff(shape, dtype, is_big):
    assert tiff.needs_bigtiff(VolumeSpec(shape, np.dtype(dtype))) == is_big


def test_a_small_file_is_no_bigtiff(tmp_path):
    write(tmp_path / "v.tif", VOLUME)
    with tifffile.TiffFile(tmp_path / "v.tif") as file:
        assert not file.is_bigtiff


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells resident memory there")
def test_reading_and_writing_keep_no_voxels_in_memory(tmp_path):
    code = """
import sys
from pathlib import Path
import numpy as np
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.formats import tiff

def resident():
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) // 1024

target = Path(sys.argv[1])
spec = VolumeSpec((128, 1024, 1024), np.dtype("uint8"))
writer = tiff.create_writer(target, spec, target)
boxes = [Box((z, 0, 0), (z + 4, 1024, 1024)) for z in range(0, 128, 4)]
voxels = np.ones((4, 1024, 1024), "uint8")
writer.write(boxes[0], voxels)
start = resident()
for box in boxes:
    writer.write(box, voxels)
reader = tiff.open_reader(target, None)
for box in boxes:
    assert reader.read(box).all()
print(resident() - start)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "v.tif")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert int(done.stdout) < 48  # of 128 MB written and read
