"""An open volume: what commands ask of it, its crop and its channels."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from volume_files import read, refusal, values, write

from mitotools.errors import InputError
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.path import VolumePath, parse_volume_path
from mitotools.volume.table import tsv_lines

VOLUME = values((4, 5, 6), "uint16")
MAPS = values((2, 4, 5, 6))


def save(path, array):
    with h5py.File(path, "w") as file:
        file["main"] = array
    return path


@pytest.mark.parametrize("array", [VOLUME, VOLUME[None]], ids=["plain", "one channel"])
@pytest.mark.parametrize("kind", ["image", "labels"])
def test_an_image_or_labels_have_no_channel_axis(tmp_path, array, kind):
    found, spec = read(save(tmp_path / "v.h5", array), kind=kind)
    assert np.array_equal(found, VOLUME)
    assert spec.shape == (4, 5, 6)
    assert spec.channels is None


@pytest.mark.parametrize("array", [MAPS, MAPS[0], MAPS.astype("float32"), MAPS.astype("float16")], ids=str)
def test_maps_have_a_channel_axis(tmp_path, array):
    found, spec = read(save(tmp_path / "v.h5", array), kind="maps")
    expected = array if array.ndim == 4 else array[None]
    assert np.array_equal(found, expected)
    assert spec.channels == len(expected)


def test_a_selected_channel_is_an_image(tmp_path):
    save(tmp_path / "v.h5", MAPS)
    assert np.array_equal(read(f"{tmp_path}/v.h5[1]", kind="image")[0], MAPS[1])
    assert np.array_equal(read(f"{tmp_path}/v.h5[1:2]", kind="image")[0], MAPS[1])
    assert np.array_equal(read(f"{tmp_path}/v.h5[1]", kind="maps")[0], MAPS[1:])


@pytest.mark.parametrize(
    ("crop", "kind"), [("[1,1:4,2:5,:]", "image"), ("[1:2,1:4,2:5,:]", "image"), ("[0:2,1:4,2:5,:]", "maps")]
)
def test_a_crop_knows_its_corner_and_the_chunks_of_the_file_whatever_becomes_of_its_channels(
    tmp_path, crop, kind
):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_dataset("main", data=MAPS, chunks=(1, 2, 3, 6))
    with open_volume(parse_volume_path(f"{tmp_path}/v.h5{crop}"), kind) as volume:
        assert volume.offset == (1, 2, 0)
        # Chunks begin at z 0, 2 and y 0, 3; the crop at z 1 and y 2.
        pieces = volume.pieces(Box.whole((3, 3, 6)), 36)
        assert {piece.start[0] for piece in pieces} <= {0, 1}
        assert volume.crop_of(Box((0, 0, 0), (1, 1, 6))) == f"{crop.split(',')[0]},1:2,2:3,:]"


@pytest.mark.parametrize(
    ("array", "kind", "crop", "why"),
    [
        (MAPS, "image", "", "expected (z, y, x), found 2 channels. Select one"),
        (MAPS, "labels", "", "expected (z, y, x), found 2 channels. Select one"),
        (
            VOLUME.astype("float32"),
            "labels",
            "",
            "expected integer labels, found float32. Run 'mitotools decode'",
        ),
        (MAPS.astype("uint16"), "maps", "", "expected maps in uint8 or floating point, found uint16"),
        (VOLUME, "any", "[0]", "has no channels to select from"),
        (MAPS, "any", "[2]", "has channels 0 to 1, not 2:3"),
        (MAPS, "any", "[1:3]", "has channels 0 to 1, not 1:3"),
        (MAPS, "any", "[1:1]", "has channels 0 to 1, not 1:1"),
        (VOLUME, "any", "[0:5,:,:]", "the crop [0:5,0:5,0:6] does not lie in the volume [0:4,0:5,0:6]"),
        (VOLUME, "any", "[3:2,:,:]", "the crop [3:2,0:5,0:6] does not lie"),
    ],
)
def test_a_volume_that_is_not_what_is_asked_for_is_an_error(tmp_path, array, kind, crop, why):
    error = refusal(read, f"{save(tmp_path / 'v.h5', array)}{crop}", kind=kind)
    assert isinstance(error, InputError)
    assert why in str(error)


def test_a_volume_says_what_it_is(tmp_path):
    write(tmp_path / "v.h5", MAPS.astype("uint16"), (30.0, 8.0, 8.0))
    with open_volume(parse_volume_path(f"{tmp_path}/v.h5[:,1:3,:,2:]")) as volume:
        assert volume.spec.shape == (2, 2, 5, 4)
        assert volume.spec.size == (2, 5, 4)
        assert volume.spec.channels == 2
        assert volume.spec.voxels == 80
        assert volume.spec.nbytes == 160
        assert volume.name == f"{tmp_path}/v.h5"


def test_a_history_names_an_input_by_its_full_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("v.h5", VOLUME)
    path = VolumePath("v.h5")
    with open_volume(path) as volume:
        source = volume.source()
    assert source.path == str(tmp_path / "v.h5")
    assert (source.shape, source.dtype) == ((4, 5, 6), "uint16")
    assert source.history == volume.spec.history


def test_a_table_is_tabs_with_a_header_empty_fields_and_floats_that_read_back():
    rows = [[1, 0.1 + 0.2, None], [2, np.float64(1e-30), "word"]]
    assert list(tsv_lines(["id", "volume", "name"], rows)) == [
        "id\tvolume\tname",
        "1\t0.30000000000000004\t",
        "2\t1e-30\tword",
    ]
