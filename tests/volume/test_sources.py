"""What a history says of the volumes that were read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from format_files import save
from PIL import Image

from mitotools.history import fingerprint
from mitotools.volume.base import VolumeSpec
from mitotools.volume.files import FileVolume, open_volume
from mitotools.volume.path import VolumePath, parse_volume_path

ARRAY = np.arange(3 * 4 * 5, dtype="uint8").reshape(3, 4, 5)


def source(name, root=None):
    path = parse_volume_path(str(name))
    path = VolumePath(path.file, path.dataset, path.ranges, path.channels, root and str(root))
    with open_volume(path) as volume:
        return volume.source()


def touched(file):
    stat = file.stat()
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))


def slices(folder):
    folder.mkdir()
    for z, plane in enumerate(ARRAY):
        Image.fromarray(plane).save(folder / f"z{z}.png")
    return folder


def test_it_says_dataset_crop_and_shape(tmp_path):
    save(tmp_path / "v.h5", ARRAY)
    found = source(f"{tmp_path}/v.h5:/main[0:2,:,1:]")
    assert (found.path, found.dataset, found.crop) == (str(tmp_path / "v.h5"), "main", "[0:2,0:,1:]")
    assert found.shape == (2, 4, 4)


def test_a_volume_behind_a_url_is_named_by_it():
    reader = type("Reader", (), {"spec": VolumeSpec(ARRAY.shape, ARRAY.dtype)})()
    found = FileVolume(reader, parse_volume_path("s3://bucket/v.zarr")).source()
    assert found.path == "s3://bucket/v.zarr"
    assert len(fingerprint(found)) == 16


@pytest.mark.parametrize("name", ["stack", "stack/*.png"])
def test_the_fingerprint_of_slices_changes_with_one_that_is_replaced_in_place(tmp_path, name):
    folder = slices(tmp_path / "stack")
    before = fingerprint(source(tmp_path / name))
    (folder / "notes.txt").write_text("no slice")
    assert fingerprint(source(tmp_path / name)) == before
    stamp = folder.stat().st_mtime_ns
    Image.fromarray(ARRAY[0]).save(folder / "z2.png")
    assert folder.stat().st_mtime_ns == stamp
    assert fingerprint(source(tmp_path / name)) != before


@pytest.mark.parametrize("folders", ["", "lab/mito/"])
def test_the_fingerprint_of_a_tile_set_changes_with_each_image_and_with_the_list(tmp_path, folders):
    slices(tmp_path / "im")
    content = {"image": [f"{folders}im/z{z}.png" for z in range(3)], "depth": 3, "height": 4, "width": 5}
    (tmp_path / "im.json").write_text(json.dumps(content))
    root = tmp_path if folders else None
    prints = {fingerprint(source(tmp_path / "im.json", root))}
    for file in ("im/z1.png", "im.json"):
        touched(tmp_path / file)
        prints.add(fingerprint(source(tmp_path / "im.json", root)))
    assert len(prints) == 3
    assert source(tmp_path / "im.json", root).root == (str(tmp_path) if root else "")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_fingerprint_of_a_zarr_is_that_of_its_metadata(tmp_path, zarr_format):
    save(tmp_path / "v.zarr", ARRAY, zarr_format=zarr_format)
    prints = {fingerprint(source(tmp_path / "v.zarr"))}
    touched(tmp_path / "v.zarr" / ("zarr.json" if zarr_format == 3 else ".zattrs"))
    prints.add(fingerprint(source(tmp_path / "v.zarr")))
    assert len(prints) == 2


def test_the_fingerprint_of_a_dataset_is_also_that_of_its_own_metadata(tmp_path):
    save(tmp_path / "v.zarr", ARRAY)
    name = f"{tmp_path}/v.zarr:0"
    prints = {fingerprint(source(name))}
    touched(Path(tmp_path / "v.zarr/0/zarr.json"))
    prints.add(fingerprint(source(name)))
    assert len(prints) == 2
