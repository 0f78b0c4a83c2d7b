"""The JSON tile sets of MitoEM: PNG and TIFF files in a list, whole slices or tiles of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from format_files import LENGTHS, crop, load, unreadable, unwritable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from volume_files import outcome, read, refusal, values

from mitotools.errors import InputError
from mitotools.volume.formats.tile_pixels import zoomed

IN_ONE_FOLDER = [HealthCheck.function_scoped_fixture]


def put(file, array):
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".png":
        Image.fromarray(array).save(file)
    else:
        tifffile.imwrite(file, array)


def described(folder, shape, image, tile_size=None, **more):
    """Write the JSON file of a tile set, as they are shipped."""
    content = {
        "image": image,
        "depth": shape[0],
        "height": shape[1],
        "width": shape[2],
        "tile_size": tile_size or shape[1],
        "tile_st": [0, 0],
        "tile_ratio": 1,
        "dtype": "uint8",
        "ndim": 1,
        "n_columns": 1,
        "n_rows": 1,
        **more,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "v.json").write_text(json.dumps({key: n for key, n in content.items() if n is not None}))
    return folder / "v.json"


def slices(folder, array, pattern="im/im%04d.png", **more):
    for z, plane in enumerate(array):
        put(folder / (pattern % z), plane)
    names = [pattern % z for z in range(len(array))]
    return described(folder, array.shape[:3], names, **{"dtype": array.dtype.name, **more})


def tiles(folder, array, tile_size, first=(0, 0), suffix=".png", **more):
    depth, height, width = array.shape
    for z in range(depth):
        for row, y in enumerate(range(0, height, tile_size[0])):
            for column, x in enumerate(range(0, width, tile_size[1])):
                name = f"{z:04d}/{row + first[0]}_{column + first[1]}{suffix}"
                put(folder / name, array[z, y : y + tile_size[0], x : x + tile_size[1]])
    names = [f"{z:04d}/{{row}}_{{column}}{suffix}" for z in range(depth)]
    properties = {"tile_size": list(tile_size), "tile_st": list(first), "dtype": array.dtype.name, **more}
    return described(folder, array.shape, names, **properties)


def test_slices_are_read_as_shipped(tmp_path):
    images, labels = values((3, 8, 8)), values((3, 8, 8), "uint32")
    found, spec = load(slices(tmp_path / "im", images))
    assert np.array_equal(found, images)
    assert (spec.dtype, spec.voxel_size_nm, spec.chunks) == ("uint8", None, (1, 8, 8))
    found, spec = load(slices(tmp_path / "seg", labels, "mito_train/seg%04d.tif"))
    assert np.array_equal(found, labels)
    assert spec.dtype == "uint32"
    assert spec.is_labels


@settings(max_examples=40, deadline=None, suppress_health_check=IN_ONE_FOLDER)
@given(
    LENGTHS,
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.sampled_from([("uint8", ".png"), ("uint16", ".png"), ("uint32", ".tif")]),
    LENGTHS,
)
def test_tiles_are_put_together(tmp_path_factory, shape, tile_size, first, kind, block):
    dtype, suffix = kind
    array = values(shape, dtype)
    path = tiles(tmp_path_factory.mktemp("tiles"), array, tile_size, first, suffix)
    assert np.array_equal(load(path, block=block)[0], array)


def test_a_box_is_read_across_tiles(tmp_path):
    array = values((3, 10, 10))
    path = tiles(tmp_path, array, (4, 3), (1, 2))
    assert np.array_equal(crop(path, (1, 3, 2), (3, 9, 8)), array[1:3, 3:9, 2:8])


def test_one_number_is_the_length_of_both_sides(tmp_path):
    array = values((2, 6, 6))
    path = tiles(tmp_path, array, (3, 3))
    path.write_text(path.read_text().replace("[3, 3]", "3"))
    assert np.array_equal(load(path)[0], array)


def test_tiles_at_the_end_may_be_filled_up(tmp_path):
    array = values((2, 5, 7))
    path = tiles(tmp_path, np.pad(array, ((0, 0), (0, 1), (0, 2))), (3, 3), height=5, width=7)
    assert np.array_equal(load(path)[0], array)


def test_colours_are_ids(tmp_path):
    """(1, 2, 3) is 65536 + 2 * 256 + 3."""
    colours = np.zeros((1, 2, 2, 3), "uint8")
    colours[0, 0, 1] = (1, 2, 3)
    for name, dtype in (("a", "uint32"), ("b", None)):
        found, spec = load(slices(tmp_path / name, colours, dtype=dtype))
        assert found.tolist() == [[[0, 66051], [0, 0]]]
        assert spec.dtype == "uint32"
    assert "holds values that are no uint16" in unreadable(slices(tmp_path / "c", colours, dtype="uint16"))


def test_greys_saved_as_colours_are_greys(tmp_path):
    array = values((2, 3, 3))
    path = slices(tmp_path, np.repeat(array[..., np.newaxis], 3, axis=-1))
    assert np.array_equal(load(path)[0], array)


@pytest.mark.parametrize("dtype", ["uint8", "uint32", "float32"])
@pytest.mark.parametrize("ratio", [2, 0.5, 1.5, 0.3, 4])
def test_tiles_are_zoomed_as_scipy_does(dtype, ratio):
    array = values((7, 9), dtype)
    order = 0 if dtype == "uint32" else 1
    expected = ndimage.zoom(array, ratio, order=order)
    found = zoomed(array, ratio)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    if order == 0:
        assert np.array_equal(found, expected)
    else:  # halves may be rounded either way
        assert np.allclose(found.astype(float), expected.astype(float), atol=1 if dtype == "uint8" else 1e-6)
        assert (found == expected).mean() > 0.9 or dtype == "float32"


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_tiles_are_zoomed_in_strips_as_they_are_in_one(monkeypatch, dtype):
    array = values((7, 9), dtype)
    whole = zoomed(array, 3)
    monkeypatch.setattr("mitotools.volume.formats.tile_pixels.STRIP_PIXELS", 4 * 27)
    assert np.array_equal(zoomed(array, 3), whole)


def test_a_zoom_that_makes_no_tile_of_the_volume_is_refused_before_it_is_done(tmp_path):
    path = slices(tmp_path, np.zeros((2, 4, 4), "uint8"), tile_ratio=10**9)
    assert f"expected 4 x 4 pixels, found {4 * 10**9} x {4 * 10**9}" in str(refusal(read, path))


def test_zoomed_ids_are_ids(tmp_path):
    """The corners stay where they are, and between 0 and 9 there is no 4."""
    labels = np.array([[[0, 9], [9, 0]]], "uint32")
    path = slices(tmp_path, labels, "seg%d.tif", tile_ratio=2, height=4, width=4, tile_size=4)
    expected = [[0, 0, 9, 9], [0, 0, 9, 9], [9, 9, 0, 0], [9, 9, 0, 0]]
    assert load(path)[0].tolist() == [expected]


def test_zoomed_images_are_interpolated(tmp_path):
    path = slices(tmp_path, np.array([[[0, 90]]], "uint8"), tile_ratio=4, height=4, width=8, tile_size=4)
    path.write_text(path.read_text().replace('"tile_size": 4', '"tile_size": [4, 8]'))
    assert load(path)[0][0, 0].tolist() == [0, 13, 26, 39, 51, 64, 77, 90]


def test_a_missing_tile_is_named_and_the_others_are_counted_before_any_is_read(tmp_path):
    path = tiles(tmp_path, values((2, 6, 6)), (3, 3))
    for name in ("0000/1_0.png", "0001/0_0.png", "0001/1_1.png"):
        (tmp_path / name).unlink()
    (tmp_path / "0000" / "0_0.png").write_bytes(b"rubbish that would be found if it were read")
    why = unreadable(path)
    assert f"{tmp_path}/0000/1_0.png: is missing, and so are 2 others of the 8 tiles of {path}" in why
    assert "Say --root DIR" in why


def test_one_missing_slice_is_named(tmp_path):
    path = slices(tmp_path, values((3, 4, 4)))
    (tmp_path / "im" / "im0001.png").unlink()
    assert f"im0001.png: is missing of {path}" in unreadable(path)


LAB = "/lab/home/somebody/EM30-H/im/im%04d.png"


@pytest.mark.parametrize(
    "place", ["", "EM30-H", "EM30-H/im", "somebody/EM30-H/im", "lab/home/somebody/EM30-H/im"]
)
def test_a_root_replaces_as_many_leading_folders_as_it_must(tmp_path, place):
    array = values((2, 4, 4))
    for z, plane in enumerate(array):
        put(tmp_path / "data" / place / f"im{z:04d}.png", plane)
    path = described(tmp_path / "lists", array.shape, [LAB % z for z in range(2)])
    root = tmp_path / "data" if place != "EM30-H" else tmp_path / "data" / "EM30-H"
    if place == "EM30-H/im":
        root = tmp_path / "data"
    assert np.array_equal(load(path, root=root)[0], array)


def test_a_root_serves_relative_names_too(tmp_path):
    array = values((2, 4, 4))
    path = slices(tmp_path / "a", array)
    (tmp_path / "a" / "im").rename(tmp_path / "elsewhere")
    assert "is missing" in unreadable(path)
    assert np.array_equal(load(path, root=tmp_path / "elsewhere")[0], array)


def test_tiles_in_folders_of_their_own_keep_them_under_a_root(tmp_path):
    array = values((2, 4, 4))
    path = tiles(tmp_path / "data", array, (2, 2))
    path = path.rename(tmp_path / "v.json")
    path.write_text(path.read_text().replace('"000', '"/lab/000'))
    assert np.array_equal(load(path, root=tmp_path / "data")[0], array)


def test_under_a_root_a_missing_tile_is_named_too(tmp_path):
    path = slices(tmp_path / "a", values((3, 4, 4)))
    (tmp_path / "a" / "im" / "im0000.png").unlink()
    assert "im0000.png: is missing of" in unreadable(path, root=tmp_path / "a" / "im")


def test_a_root_without_a_tile_is_refused(tmp_path):
    path = described(tmp_path / "a", (2, 4, 4), [LAB % z for z in range(2)])
    assert f"no tile of it lies in {tmp_path}" in unreadable(path, root=tmp_path)


def test_a_tile_of_another_size_is_named(tmp_path):
    path = slices(tmp_path, values((2, 4, 4)), height=5, width=4, tile_size=[5, 4])
    assert "im0000.png: expected 5 x 4 pixels, found 4 x 4" in unreadable(path)


def test_a_tile_that_cannot_be_read_is_named(tmp_path):
    path = slices(tmp_path, values((2, 4, 4)))
    (tmp_path / "im" / "im0001.png").write_bytes(b"rubbish")
    assert "im0001.png: cannot be read as an image" in unreadable(path)


def test_values_that_the_stated_type_does_not_hold_are_an_error(tmp_path):
    path = slices(tmp_path, np.full((2, 4, 4), 300, "uint16"), dtype="uint8")
    assert "im0000.png: holds values that are no uint8" in unreadable(path)


def test_a_plan_of_ours_is_called_one(tmp_path):
    (tmp_path / "v.json").write_text(json.dumps({"kind": "mitotools plan", "volume": "raw.h5", "tiles": []}))
    assert "is a plan of mitotools, not a volume" in unreadable(tmp_path / "v.json")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"image": None}, "no 'image'"),
        ({"image": "im.png"}, "no list of file names"),
        ({"image": [None, "a"]}, "no list of file names"),
        ({"depth": 3}, "states a depth of 3 and lists 2 slices"),
        ({"height": 0}, "its height is 0"),
        ({"width": 2.5}, "is no tile set"),
        ({"width": None}, "no 'width'"),
        ({"tile_size": [0, 4]}, "is no tile set"),
        ({"tile_size": [1, 2, 3]}, "is no tile set"),
        ({"tile_ratio": 0}, "is no tile set"),
        ({"tile_ratio": 1e308}, "is no tile set"),
        ({"tile_ratio": "two"}, "is no tile set"),
        ({"tile_st": "ab"}, "is no tile set"),
        ({"dtype": "complex64"}, "its dtype is complex64"),
        ({"dtype": "colour"}, "is no tile set"),
        ({"image": ["{row}_{column}.png"] * 2, "height": 10**9, "tile_size": 1}, "are more than 10000000"),
    ],
)
def test_a_description_that_cannot_be_true_is_refused(tmp_path, changes, why):
    path = slices(tmp_path, values((2, 4, 4)))
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    assert why in unreadable(path)


@pytest.mark.parametrize("content", ["", "rubbish", "[]", "7", "null", '"image"', "{}", "[" * 100_000])
def test_rubbish_is_refused(tmp_path, content):
    (tmp_path / "v.json").write_text(content)
    assert "is no" in unreadable(tmp_path / "v.json")


@settings(max_examples=60, deadline=None, suppress_health_check=IN_ONE_FOLDER)
@given(st.data())
def test_damage_raises_no_other_errors_than_ours(tmp_path, data):
    path = slices(tmp_path, values((2, 4, 4)))
    content = path.read_bytes()
    start = data.draw(st.integers(0, len(content)))
    rubbish = data.draw(st.binary(max_size=8))
    damaged = content[:start] + rubbish + content[start + len(rubbish) :]
    path.write_bytes(damaged[: data.draw(st.integers(0, len(content)))])
    result = outcome(load, path, None, (8, 8, 8))
    assert isinstance(result, InputError | tuple)


def test_it_holds_no_datasets(tmp_path):
    assert "no datasets" in unreadable(slices(tmp_path, values((2, 4, 4))), "main")


def test_it_is_not_written(tmp_path):
    assert "tile set is read, not written" in unwritable(tmp_path / "v.json", values((2, 3, 4)))


@pytest.mark.parametrize("way", ["..", "a link to a folder", "a link to a file", "an absolute name"])
def test_tiles_outside_of_the_folder_are_read_under_a_root_alone(tmp_path, way):
    """A list that came from somewhere does not decide which images of this machine are read."""
    array = values((2, 4, 4))
    elsewhere, folder = tmp_path / "private", tmp_path / "downloaded"
    elsewhere.mkdir()
    folder.mkdir()
    for z, pixels in enumerate(array):
        Image.fromarray(pixels).save(elsewhere / f"im{z}.png")
    names = {"..": "../private/im{}.png", "an absolute name": f"{elsewhere}/im{{}}.png"}.get(
        way, "im/im{}.png"
    )
    if way == "a link to a folder":
        (folder / "im").symlink_to(elsewhere)
    if way == "a link to a file":
        (folder / "im").mkdir()
        for z in range(2):
            (folder / f"im/im{z}.png").symlink_to(elsewhere / f"im{z}.png")
    content = {
        "image": [names.format(z) for z in range(2)],
        "depth": 2,
        "height": 4,
        "width": 4,
        "dtype": "uint8",
    }
    (folder / "set.json").write_text(json.dumps(content))
    assert f"lies outside of {folder}. Say --root DIR" in unreadable(folder / "set.json")
    assert np.array_equal(load(folder / "set.json", root=elsewhere)[0], array)
