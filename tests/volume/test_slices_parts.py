"""Slices read in parts by several threads, and written by several writers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from volume_files import read, values

from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.formats import slice_files, slices
from mitotools.volume.formats.slice_cache import KEPT, SliceCache

VOLUME = values((6, 40, 50), "uint16")


def saved(folder, suffix, **keywords):
    folder.mkdir()
    for z, plane in enumerate(VOLUME):
        if suffix == ".png":
            Image.fromarray(plane).save(folder / f"{z}.png")
        else:
            tifffile.imwrite(folder / f"{z}.tif", plane, **keywords)
    return folder


@pytest.mark.parametrize(
    ("suffix", "keywords", "chunks"),
    [
        (".png", {}, (1, 40, 50)),
        (".tif", {}, (1, 40, 50)),
        (".tif", {"compression": "zlib", "rowsperstrip": 40}, (1, 40, 50)),
        (".tif", {"compression": "zlib", "rowsperstrip": 7}, (1, 7, 50)),
        (".tif", {"compression": "zlib", "tile": (16, 32)}, (1, 16, 32)),
        (".tif", {"tile": (16, 32)}, (1, 16, 32)),
    ],
)
def test_parts_are_those_of_the_whole_and_chunks_say_how_to_cut(tmp_path, suffix, keywords, chunks):
    folder = saved(tmp_path / "v", suffix, **keywords)
    found, spec = read(folder, (2, 9, 11))
    assert np.array_equal(found, VOLUME)
    assert spec.chunks == chunks


def test_parts_of_a_slice_decode_it_once(tmp_path, monkeypatch):
    folder = saved(tmp_path / "v", ".png")
    opened = []
    original = Image.open
    monkeypatch.setattr(Image, "open", lambda file: opened.append(Path(file.name).name) or original(file))
    reader = slices.open_reader(folder, None)
    opened.clear()
    with ThreadPoolExecutor(4) as pool:
        boxes = [Box((3, y, 0), (4, y + 5, 20)) for y in range(0, 40, 5)]
        for box, part in zip(boxes, pool.map(reader.read, boxes), strict=True):
            assert np.array_equal(part, VOLUME[box.slices])
    assert opened == ["3.png"]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_two_threads_decode_at_once(tmp_path, monkeypatch, suffix):
    folder = saved(tmp_path / "v", suffix)
    reader = slices.open_reader(folder, None)
    both = threading.Barrier(2, timeout=10)
    original = slice_files.read_part
    monkeypatch.setattr(
        slices, "read_part", lambda *arguments: (both.wait() and False) or original(*arguments)
    )
    boxes = [Box((z, 0, 0), (z + 1, 40, 50)) for z in range(4)] + [
        Box((z, 0, 0), (z + 1, 9, 9)) for z in range(4)
    ]
    with ThreadPoolExecutor(2) as pool:
        for box, part in zip(boxes, pool.map(reader.read, boxes), strict=True):
            assert np.array_equal(part, VOLUME[box.slices])


def test_no_more_than_two_slices_are_kept_and_a_failure_not_at_all():
    decoded = []

    def decode(index):
        decoded.append(index)
        if index == 9 and decoded.count(9) == 1:
            raise OSError("once")
        return np.full((2, 2), index)

    cache = SliceCache(decode)
    for index in (0, 1, 0, 2, 0, 1):
        assert cache.get(index)[0, 0] == index
    assert KEPT == 2
    assert decoded == [0, 1, 2, 1]
    with pytest.raises(OSError, match="once"):
        cache.get(9)
    assert cache.get(9)[0, 0] == 9


def test_a_slice_is_read_again_after_closing(tmp_path):
    reader = slices.open_reader(saved(tmp_path / "v", ".png"), None)
    reader.read(Box((0, 0, 0), (1, 2, 2)))
    reader.close()
    Image.fromarray(VOLUME[0] ^ 1).save(tmp_path / "v" / "0.png")
    assert np.array_equal(reader.read(Box((0, 0, 0), (1, 2, 2)))[0], VOLUME[0, :2, :2] ^ 1)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_several_writers_and_threads_fill_one_folder(tmp_path, dtype):
    volume = values((12, 7, 8), dtype)
    target = tmp_path / "v"
    spec = slices.planned(VolumeSpec(volume.shape, volume.dtype, (30, 8, 8)), target)
    first = slices.create_writer(target, spec, target)
    writers = [first, slices.reopen_writer(target, spec, target)]
    with ThreadPoolExecutor(4) as pool:
        jobs = [
            pool.submit(writers[z % 2].write, Box((z, 0, 0), (z + 2, 7, 8)), volume[z : z + 2])
            for z in (10, 0, 4, 6, 2, 8)
        ]
        for job in jobs:
            job.result()
    for writer in writers:
        writer.close()
    found, found_spec = read(target)
    assert np.array_equal(found, volume)
    assert found_spec.voxel_size_nm == (30, 8, 8)
    assert len(list(target.iterdir())) == 12
