"""Folders of slices with something wrong, and images of kinds that are easily mistaken."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from volume_files import read, refusal, values

from mitotools.errors import InputError
from mitotools.volume.formats.slices import HEADERS_CHECKED

SLICE = values((5, 6))


def save(folder, names, plane=SLICE):
    folder.mkdir(exist_ok=True)
    for name in names:
        if name.endswith(".png"):
            Image.fromarray(plane).save(folder / name)
        else:
            tifffile.imwrite(folder / name, plane)
    return folder


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(size, bits, colours, rows, *, palette=b""):
    """Return a PNG file as bytes; Pillow does not write all kinds."""
    header = struct.pack(">IIBBBBB", size[1], size[0], bits, colours, 0, 0, 0)
    body = chunk(b"PLTE", palette) if palette else b""
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_missing_slice_is_named_and_a_pattern_goes_on_without_it(tmp_path, suffix):
    folder = save(tmp_path / "v", [f"im{z:04d}{suffix}" for z in range(20) if z != 13])
    error = refusal(read, folder)
    assert isinstance(error, InputError)
    assert "slice 13 is missing between im0000" in str(error)
    assert f"'{folder}/*{suffix}'" in str(error)
    assert read(f"{folder}/*{suffix}")[0].shape == (19, 5, 6)


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ([0, 1, 2, 5, 6], "2 slices are missing between z0.png and z6.png: 3, 4"),
        ([0, 2, 4, 8, 10], "slice 6 is missing"),
        (
            [0, 1, 2, 3, 4, 5, 6, 7, 20],
            "12 slices are missing between z0.png and z20.png: 8, 9, 10, 11, 12, ...",
        ),
        ([9, 10, 12], "slice 11 is missing"),
        ([100, 95, 90, 80, 75], "slice 85 is missing"),
    ],
)
def test_what_is_a_hole(tmp_path, numbers, missing):
    assert missing in str(refusal(read, save(tmp_path / "v", [f"z{n}.png" for n in numbers])))


@pytest.mark.parametrize(
    "names",
    [
        ["z3.png"],
        ["z3.png", "z9.png"],
        ["z0.png", "z2.png", "z4.png"],
        ["z007.png", "z017.png", "z027.png"],
        ["t1205.png", "t1317.png", "t1318.png", "t1402.png"],  # irregular: times, say
        ["t0.png", "t1.png", "t2.png", "t4.png", "t7.png", "t9.png", "t13.png"],
        ["a0_t5.png", "a1_t9.png", "a3_t12.png"],  # two numbers, and either may count
        ["r0c0.png", "r0c1.png", "r1c0.png", "r1c2.png"],
        ["a.png", "b.png", "b3.png"],
        ["2nm_0.png", "2nm_1.png", "2nm_2.png"],
    ],
)
def test_what_is_no_hole(tmp_path, names):
    assert len(read(save(tmp_path / "v", names))[0]) == len(names)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("odd", [values((5, 7)), values((5, 6), "uint16")], ids=["size", "type"])
def test_an_odd_slice_is_found_at_the_start_before_any_voxel_is_read(tmp_path, suffix, odd):
    from mitotools.volume.files import open_volume
    from mitotools.volume.path import parse_volume_path

    folder = save(tmp_path / "v", [f"{z}{suffix}" for z in range(9)])
    save(folder, [f"7{suffix}"], odd)
    error = refusal(open_volume, parse_volume_path(str(folder)))
    assert f"7{suffix}: expected (5, 6) uint8 as 0{suffix}, found {odd.shape} {odd.dtype}" in str(error)


def test_an_odd_slice_among_very_many_is_found_when_it_is_read(tmp_path):
    folder = save(tmp_path / "v", ["0.png"])
    for z in range(1, 2 * HEADERS_CHECKED + 2):
        (folder / f"{z}.png").symlink_to(folder / "0.png")
    (folder / "1.png").unlink()
    save(folder, ["1.png"], values((5, 7)))
    assert read(f"{folder}[2:4,:,:]")[0].shape == (2, 5, 6)
    assert "1.png: expected (5, 6) uint8" in str(refusal(read, f"{folder}[1:2,:,:]"))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_colours_are_three_channels(tmp_path, suffix):
    colours = values((3, 5, 6, 3))
    (tmp_path / "v").mkdir()
    for z, plane in enumerate(colours):
        if suffix == ".png":
            Image.fromarray(plane).save(tmp_path / "v" / f"{z}.png")
        else:
            tifffile.imwrite(tmp_path / "v" / f"{z}.tif", plane, photometric="rgb")
    found, spec = read(tmp_path / "v")
    assert np.array_equal(found, colours.transpose(3, 0, 1, 2))
    assert spec.dtype == np.uint8
    assert "found 3 channels. Select one" in str(refusal(read, tmp_path / "v", kind="image"))
    assert np.array_equal(read(f"{tmp_path / 'v'}[0]", kind="image")[0], colours[..., 0])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("samples", [2, 4])
def test_opacity_is_left_out_where_all_is_opaque_and_refused_elsewhere(tmp_path, suffix, samples):
    plane = values((5, 6, samples))
    plane[..., -1] = 255
    (tmp_path / "v").mkdir()

    def save_one(name):
        if suffix == ".png":
            Image.fromarray(plane).save(tmp_path / "v" / name)
        else:
            photometric = {2: "minisblack", 4: "rgb"}[samples]
            tifffile.imwrite(
                tmp_path / "v" / name,
                plane,
                photometric=photometric,
                planarconfig="contig",
                extrasamples=["unassalpha"],
            )

    save_one(f"0{suffix}")
    found, _ = read(tmp_path / "v")
    assert found.shape == ((1, 5, 6) if samples == 2 else (3, 1, 5, 6))
    assert np.array_equal(
        found[..., 0, :, :], plane[..., 0] if samples == 2 else plane[..., :3].transpose(2, 0, 1)
    )
    plane[3, 4, -1] = 254
    save_one(f"1{suffix}")
    error = refusal(read, tmp_path / "v")
    assert f"1{suffix}: has transparent pixels. Save it without an alpha channel" in str(error)


def test_a_folder_of_colours_and_greys_is_an_error(tmp_path):
    folder = save(tmp_path / "v", ["0.png"], values((5, 6, 3)))
    save(folder, ["1.png"])
    assert "1.png: expected (5, 6, 3) uint8 as 0.png, found (5, 6) uint8" in str(refusal(read, folder))


def test_a_mask_of_one_bit_is_boolean(tmp_path):
    mask = values((5, 11), "bool")
    save(tmp_path / "v", ["0.png"], mask)
    found, spec = read(tmp_path / "v")
    assert spec.dtype == bool
    assert np.array_equal(found[0], mask)


def test_a_grey_palette_stands_for_its_greys(tmp_path):
    (tmp_path / "v").mkdir()
    palette = bytes([0, 0, 0, 200, 200, 200, 90, 90, 90])
    (tmp_path / "v" / "0.png").write_bytes(png((2, 3), 8, 3, [b"\0\1\2", b"\2\2\1"], palette=palette))
    assert read(tmp_path / "v")[0].tolist() == [[[0, 200, 90], [90, 90, 200]]]


def test_a_palette_of_colours_is_an_error_for_it_may_mean_either(tmp_path):
    (tmp_path / "v").mkdir()
    palette = bytes([0, 0, 0, 200, 10, 20])
    (tmp_path / "v" / "0.png").write_bytes(png((1, 2), 8, 3, [b"\0\1"], palette=palette))
    assert "has a palette of colours: ids may be its numbers or its colours" in str(
        refusal(read, tmp_path / "v")
    )


@pytest.mark.parametrize(("bits", "expected"), [(2, [0, 85, 170, 255]), (4, [0, 17, 34, 51])])
def test_greys_of_few_bits_are_stretched(tmp_path, bits, expected):
    (tmp_path / "v").mkdir()
    row = bytes([0b00011011]) if bits == 2 else bytes([0x01, 0x23])
    (tmp_path / "v" / "0.png").write_bytes(png((1, 4), bits, 0, [row]))
    assert read(tmp_path / "v")[0].ravel().tolist() == expected


@pytest.mark.parametrize(("colours", "samples"), [(2, 3), (4, 2), (6, 4)])
def test_colours_of_16_bits_would_lose_half_of_them_and_are_an_error(tmp_path, colours, samples):
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "0.png").write_bytes(png((1, 1), 16, colours, [bytes(2 * samples)]))
    assert "0.png: has colours of 16 bits" in str(refusal(read, tmp_path / "v"))


def test_a_png_that_promises_more_than_it_can_hold_is_refused_before_memory_is_claimed(tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "0.png").write_bytes(png((2**31 - 1, 2**31 - 1), 8, 0, [b"\0"]))
    assert "which the file cannot hold" in str(refusal(read, f"{tmp_path / 'v'}[0:1,0:1,0:1]"))


def test_several_pages_in_a_slice_are_an_error(tmp_path):
    folder = save(tmp_path / "v", ["0.tif"])
    tifffile.imwrite(folder / "1.tif", values((3, 5, 6)), photometric="minisblack")
    error = refusal(read, folder)
    assert "1.tif: holds 3 slices, where one file a slice is expected. Name the file itself" in str(error)


def test_slices_of_an_ome_set_are_read_as_slices(tmp_path):
    """Each file's metadata describe the whole set, which is then no slice."""
    volume = values((3, 5, 6))
    (tmp_path / "v").mkdir()
    lengths = " ".join(
        f'PhysicalSize{axis}="{length}" PhysicalSize{axis}Unit="nm"'
        for axis, length in (("Z", 30), ("Y", 8), ("X", 8))
    )
    places = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="s{z}.ome.tif">urn:uuid:{z:032x}</UUID></TiffData>'
        for z in range(3)
    )
    for z, plane in enumerate(volume):
        xml = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{z:032x}">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="6" '
            f'SizeY="5" SizeZ="3" SizeC="1" SizeT="1" {lengths}><Channel ID="C:0" SamplesPerPixel="1"/>'
            f"{places}</Pixels></Image></OME>"
        )
        file = tmp_path / "v" / f"s{z}.ome.tif"
        tifffile.imwrite(file, plane, photometric="minisblack", description=xml, metadata=None)
    for name in ("v", "v/s1.ome.tif"):
        found, spec = read(tmp_path / name)
        assert np.array_equal(found, volume)
        assert spec.voxel_size_nm == (30, 8, 8)
    (tmp_path / "v" / "s2.ome.tif").unlink()
    assert "page 2 is missing: it lies in another file" in str(refusal(read, tmp_path / "v" / "s0.ome.tif"))


@pytest.mark.parametrize(
    "content", [b"", b"words", b"II*\0\xff\xff\xff\xff", b"\x89PNG\r\n\x1a\n" + bytes(30)]
)
@pytest.mark.parametrize("name", ["1.png", "1.tif"])
def test_a_slice_that_is_no_image_is_named(tmp_path, name, content):
    folder = save(tmp_path / "v", [name.replace("1", "0")])
    (folder / name).write_bytes(content)
    assert f"{name}: cannot be read" in str(refusal(read, folder))


def test_a_tiff_that_is_called_png_is_read(tmp_path):
    (tmp_path / "v").mkdir()
    tifffile.imwrite(tmp_path / "v" / "0.png", SLICE)
    assert np.array_equal(read(tmp_path / "v")[0][0], SLICE)
