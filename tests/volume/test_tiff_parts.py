"""Parts of TIFF pages, in all their layouts, read by several threads and written by several writers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest
import tifffile
from volume_files import read, refusal, values

from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box, grid
from mitotools.volume.formats import tiff

VOLUME = values((4, 40, 50), "uint16")
EXTRA = pytest.mark.skipif(not find_spec("imagecodecs"), reason="needs imagecodecs to write the file")
COLOURS = values((4, 20, 30, 3))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(
    ("keywords", "chunks"),
    [
        ({}, (1, 40, 50)),
        ({"byteorder": ">"}, (1, 40, 50)),
        ({"compression": "zlib", "rowsperstrip": 40}, (1, 40, 50)),
        ({"compression": "zlib", "rowsperstrip": 7}, (1, 7, 50)),
        ({"compression": "zlib", "tile": (16, 32)}, (1, 16, 32)),
        ({"tile": (16, 32)}, (1, 16, 32)),
        ({"tile": (16, 32), "bigtiff": True, "byteorder": ">"}, (1, 16, 32)),
        ({"tile": (64, 64), "compression": "zlib"}, (1, 64, 64)),  # which is decoded whole
        pytest.param({"compression": "zlib", "predictor": True, "rowsperstrip": 9}, (1, 9, 50), marks=EXTRA),
        pytest.param({"compression": "lzw", "predictor": True, "tile": (16, 16)}, (1, 16, 16), marks=EXTRA),
        pytest.param({"compression": "packbits", "rowsperstrip": 9}, (1, 9, 50), marks=EXTRA),
    ],
    ids=str,
)
def test_parts_are_those_of_the_whole_and_chunks_say_how_to_cut(tmp_path, keywords, chunks, dtype):
    array = values(VOLUME.shape, dtype)
    tifffile.imwrite(tmp_path / "v.tif", array, photometric="minisblack", **keywords)
    for block in ((2, 9, 11), (1, 40, 3), (4, 40, 50)):
        found, spec = read(tmp_path / "v.tif", block)
        assert np.array_equal(found, array)
        assert spec.chunks == chunks


@pytest.mark.parametrize("axes", ["CZYX", "ZCYX"])
@pytest.mark.parametrize("keywords", [{}, {"compression": "zlib"}, {"tile": (16, 16)}], ids=str)
def test_channels_lie_before_or_after_slices(tmp_path, axes, keywords):
    maps = values((2, 3, 20, 30))
    stored = maps.transpose(["CZYX".index(axis) for axis in axes])
    metadata = {"axes": axes}
    tifffile.imwrite(tmp_path / "v.ome.tif", stored, photometric="minisblack", metadata=metadata, **keywords)
    assert np.array_equal(read(tmp_path / "v.ome.tif", (2, 9, 11))[0], maps)


def test_masks_of_one_bit_are_read_to_the_last_strip(tmp_path):
    mask = values((600, 2000), "bool")
    tifffile.imwrite(tmp_path / "v.tif", mask, bitspersample=1, rowsperstrip=250, metadata=None)
    with tifffile.TiffFile(tmp_path / "v.tif") as file:
        assert file.pages[0].bitspersample == 1
        assert len(file.pages[0].dataoffsets) > 1
    found, spec = read(tmp_path / "v.tif", (1, 250, 999))
    assert np.array_equal(found[0].astype(bool), mask)
    assert spec.size == (1, 600, 2000)


def test_only_the_tiles_of_a_part_are_decoded(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "v.tif", VOLUME, photometric="minisblack", compression="zlib", tile=(16, 16))
    reader = tiff.open_reader(tmp_path / "v.tif", None)
    decoded = []
    original = tifffile.FileHandle.read_segments

    def counted(self, offsets, counts, numbers, **keywords):
        decoded.append(numbers)
        return original(self, offsets, counts, numbers, **keywords)

    monkeypatch.setattr(tifffile.FileHandle, "read_segments", counted)
    reader.read(Box((1, 16, 15), (2, 33, 17)))  # rows 1 and 2 of tiles, columns 0 and 1 of 4
    reader.close()
    assert decoded == [[4, 5, 8, 9]]


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize(
    "keywords",
    [{}, {"compression": "zlib", "rowsperstrip": 7}, {"compression": "zlib", "tile": (16, 16)}],
    ids=str,
)
def test_colours_are_three_channels(tmp_path, planar, keywords):
    stored = COLOURS if planar == "contig" else COLOURS.transpose(0, 3, 1, 2)
    tifffile.imwrite(tmp_path / "v.tif", stored, photometric="rgb", planarconfig=planar, **keywords)
    tifffile.imwrite(tmp_path / "one.tif", stored[0], photometric="rgb", planarconfig=planar, **keywords)
    assert np.array_equal(read(tmp_path / "v.tif")[0], COLOURS.transpose(3, 0, 1, 2))
    assert np.array_equal(read(tmp_path / "one.tif")[0], COLOURS[:1].transpose(3, 0, 1, 2))


def test_opacity_is_left_out_where_all_is_opaque_and_refused_elsewhere(tmp_path):
    array = np.concatenate([COLOURS, np.full_like(COLOURS[..., :1], 255)], axis=-1)
    tifffile.imwrite(tmp_path / "v.tif", array, photometric="rgb", extrasamples=["unassalpha"])
    assert np.array_equal(read(tmp_path / "v.tif")[0], COLOURS.transpose(3, 0, 1, 2))
    array[3, 2, 1, 3] = 0
    tifffile.imwrite(tmp_path / "v.tif", array, photometric="rgb", extrasamples=["unassalpha"])
    assert "v.tif: has transparent pixels" in str(refusal(read, tmp_path / "v.tif"))


def test_two_threads_decode_at_once(tmp_path, monkeypatch):
    tifffile.imwrite(
        tmp_path / "v.tif", VOLUME, photometric="minisblack", compression="zlib", rowsperstrip=40
    )
    reader = tiff.open_reader(tmp_path / "v.tif", None)
    both = threading.Barrier(2, timeout=10)
    original = tifffile.TiffPage.decode.func

    def together(page):
        decode = original(page)

        def decoded(*arguments, **keywords):
            both.wait()
            return decode(*arguments, **keywords)

        return decoded

    monkeypatch.setattr(tifffile.TiffPage, "decode", property(together))
    boxes = [Box((z, 3, 0), (z + 1, 30, 50)) for z in range(4)]
    with ThreadPoolExecutor(2) as pool:
        for box, part in zip(boxes, pool.map(reader.read, boxes), strict=True):
            assert np.array_equal(part, VOLUME[box.slices])
    reader.close()


@pytest.mark.parametrize("keywords", [{}, {"compression": "zlib", "tile": (16, 16)}], ids=str)
def test_many_threads_read_the_same_voxels_as_one(tmp_path, keywords):
    tifffile.imwrite(tmp_path / "v.tif", VOLUME, photometric="minisblack", **keywords)
    reader = tiff.open_reader(tmp_path / "v.tif", None)
    boxes = grid(VOLUME.shape, (1, 9, 17)) * 3
    with ThreadPoolExecutor(8) as pool:
        for box, part in zip(boxes, pool.map(reader.read, boxes), strict=True):
            assert np.array_equal(part, VOLUME[box.slices])
    reader.close()


@pytest.mark.parametrize("shape", [(6, 7, 8), (2, 6, 7, 8)])
def test_several_writers_and_threads_fill_one_file_and_a_later_one_goes_on(tmp_path, shape):
    volume = values(shape, "float32")
    target = tmp_path / "v.tif"
    spec = tiff.planned(VolumeSpec(volume.shape, volume.dtype, (30, 8, 8)), target)
    writers = [tiff.create_writer(target, spec, target), tiff.reopen_writer(target, spec, target)]
    boxes = [Box((z, 0, 0), (z + 1, 7, 8)) for z in (5, 1, 3, 0)]
    with ThreadPoolExecutor(4) as pool:
        jobs = [
            pool.submit(writers[n % 2].write, box, volume[(..., *box.slices)]) for n, box in enumerate(boxes)
        ]
        for job in jobs:
            job.result()
    for writer in writers:
        writer.close()
    later = tiff.reopen_writer(target, spec, target)
    for z in (2, 4):
        later.write(Box((z, 0, 0), (z + 1, 7, 8)), volume[..., z : z + 1, :, :])
    later.close()
    found, found_spec = read(target)
    assert np.array_equal(found, volume)
    assert found_spec.voxel_size_nm == (30, 8, 8)


@pytest.mark.parametrize("shape", [(6, 7, 8), (2, 6, 7, 8)])
def test_parts_of_slices_may_be_written_too(tmp_path, shape):
    volume = values(shape, "uint16")
    target = tmp_path / "v.tif"
    writer = tiff.create_writer(target, VolumeSpec(volume.shape, volume.dtype), target)
    for box in reversed(grid((6, 7, 8), (4, 3, 5))):
        writer.write(box, volume[(..., *box.slices)])
    writer.close()
    assert np.array_equal(tifffile.imread(target), volume)
