"""TIFF files whose header or OME-XML asks for more than there is, or for what lies elsewhere."""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest
import tifffile
from volume_files import read, refusal, values

from mitotools.errors import InputError
from mitotools.volume.files import open_volume
from mitotools.volume.path import VolumePath

VOLUME = values((2, 4, 5))
OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{before}'
    '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="5" SizeY="4" '
    'SizeC="1" SizeZ="{depth}" SizeT="1">{inside}</Pixels></Image></OME>'
)
MODULO = (
    '<StructuredAnnotations><XMLAnnotation ID="A:0" Namespace="openmicroscopy.org/omero/dimension/modulo">'
    '<Value><Modulo><ModuloAlongZ Type="angle" Start="0" End="1e12" Step="1"/></Modulo></Value>'
    "</XMLAnnotation></StructuredAnnotations>"
)


def save(file, inside="<TiffData/>", depth=2, before=""):
    description = OME.format(inside=inside, depth=depth, before=before)
    tifffile.imwrite(file, VOLUME, description=description, metadata=None)
    return file


def part(name, count=2):
    uuid = "urn:uuid:00000000-0000-0000-0000-000000000000"
    return f'<TiffData IFD="0" PlaneCount="{count}"><UUID FileName="{name}">{uuid}</UUID></TiffData>'


def with_value(file, code, form, value):
    """Overwrite the value of a tag of the first page of a little-endian classic TIFF."""
    kind = {"<I": 4, "<i": 9}[form]
    content = bytearray(file.read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", content, entry)[0] == code:
            struct.pack_into("<HHI", content, entry, code, kind, 1)
            struct.pack_into(form, content, entry + 8, value)
    file.write_bytes(content)


def test_a_set_of_files_in_one_folder_is_read(tmp_path):
    tifffile.imwrite(tmp_path / "other.tif", VOLUME[::-1], metadata=None)
    for name in ("other.tif", tmp_path / "other.tif"):
        file = save(tmp_path / "v.ome.tif", part(name))
        assert np.array_equal(read(file)[0], VOLUME[::-1])


@pytest.mark.parametrize("name", ["../other.tif", "{folder}/other.tif", "link.tif", "&#46;./other.tif"])
def test_a_part_of_an_image_outside_its_folder_is_not_read(tmp_path, name):
    tifffile.imwrite(tmp_path / "other.tif", VOLUME, metadata=None)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.tif").symlink_to(tmp_path / "other.tif")
    file = save(tmp_path / "in" / "v.ome.tif", part(name.format(folder=tmp_path)))
    error = refusal(read, file)
    assert isinstance(error, InputError)
    assert "as a part of its image, which is no file in its folder" in str(error)


def test_a_pipe_as_a_part_of_an_image_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "other.tif")
    assert "which is no file in its folder" in str(
        refusal(read, save(tmp_path / "v.ome.tif", part("other.tif")))
    )


@pytest.mark.parametrize(
    "what",
    [
        {"depth": 10**9},
        {"inside": '<TiffData FirstZ="0" IFD="0" PlaneCount="1000000000"/>'},
        {"inside": '<TiffData IFD="0" NumPlanes="400000"/>' * 3},
        {"before": MODULO},
    ],
    ids=["sizes", "planes", "many", "labels"],
)
def test_more_planes_than_a_file_can_hold_are_refused_before_they_are_listed(tmp_path, what):
    error = refusal(read, save(tmp_path / "v.ome.tif", **what))
    assert isinstance(error, InputError)
    assert "planes in its OME-XML, more than a file of its size can hold. Copy it again" in str(error)


@pytest.mark.parametrize("code", [256, 257, 278], ids=["width", "height", "rows of a strip"])
@pytest.mark.parametrize(("form", "value"), [("<i", -1), ("<I", 0)])
def test_a_page_of_no_pixels_is_an_error(tmp_path, code, form, value):
    tifffile.imwrite(tmp_path / "v.tif", VOLUME[0], metadata=None, compression="zlib")
    with_value(tmp_path / "v.tif", code, form, value)
    assert isinstance(refusal(read, tmp_path / "v.tif"), InputError)


def test_chunks_are_tiles_as_they_are_decoded_however_small_the_image(tmp_path):
    """So that memory is planned for what is decoded."""
    tifffile.imwrite(tmp_path / "v.tif", VOLUME, tile=(4096, 2048), compression="zlib", metadata=None)
    with open_volume(VolumePath(str(tmp_path / "v.tif"))) as volume:
        assert volume.spec.chunks == (1, 4096, 2048)
    assert np.array_equal(read(tmp_path / "v.tif")[0], VOLUME)


def test_a_later_page_of_larger_tiles_is_an_error(tmp_path):
    with tifffile.TiffWriter(tmp_path / "v.tif") as file:
        for page, side in zip(VOLUME, (16, 4096), strict=True):
            file.write(page, tile=(side, side), compression="zlib", metadata=None)
    assert np.array_equal(read(f"{tmp_path / 'v.tif'}[0:1,:,:]")[0], VOLUME[:1])
    assert "its tiles have (4096, 4096) pixels, those of page 0 (16, 16)" in str(
        refusal(read, tmp_path / "v.tif")
    )
