"""``FILE[:DATASET][CROP]``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitotools.errors import InputError, UsageError
from mitotools.volume.blocks import Box
from mitotools.volume.path import VolumePath, parse_crop, parse_volume_path

NAMES = {
    "raw.h5": VolumePath("raw.h5"),
    "raw.h5:volumes/raw": VolumePath("raw.h5", "volumes/raw"),
    "raw.h5:/volumes/raw": VolumePath("raw.h5", "volumes/raw"),
    "a.b/RAW.HDF5:x": VolumePath("a.b/RAW.HDF5", "x"),
    "cell.zarr": VolumePath("cell.zarr"),
    "cell.zarr/labels/mito": VolumePath("cell.zarr", "labels/mito"),
    "cell.zarr:labels/mito": VolumePath("cell.zarr", "labels/mito"),
    "cell.zarr/": VolumePath("cell.zarr"),
    "s3://bucket/a.zarr": VolumePath("s3://bucket/a.zarr"),
    "s3://bucket/a.zarr/labels/mito": VolumePath("s3://bucket/a.zarr", "labels/mito"),
    "gs://bucket/a.zarr:labels/mito[0:1,:,:]": VolumePath(
        "gs://bucket/a.zarr", "labels/mito", ((0, 1), (0, None), (0, None))
    ),
    "https://host:8000/b/a.zarr/0": VolumePath("https://host:8000/b/a.zarr", "0"),
    "http://127.0.0.1:80/a.zarr[1]": VolumePath("http://127.0.0.1:80/a.zarr", None, None, 1),
    "memory://a.zarr:0": VolumePath("memory://a.zarr", "0"),
    "file:///data/a.zarr/0": VolumePath("/data/a.zarr", "0"),
    "FILE://localhost/data/a%20b.h5:main": VolumePath("/data/a b.h5", "main"),
    "slices/": VolumePath("slices/"),
    "im/im[0-9]*.png": VolumePath("im/im[0-9]*.png"),
    "a:b.tif": VolumePath("a:b.tif"),
    "run:1/raw.h5:main": VolumePath("run:1/raw.h5", "main"),
    "raw.h5:a:b": VolumePath("raw.h5", "a:b"),
    "backup.h5.zarr": VolumePath("backup.h5.zarr"),
    "raw.h5:": VolumePath("raw.h5"),
    "slices[final]": VolumePath("slices[final]"),
    "stack[1]/": VolumePath("stack[1]/"),
    "stack[1]/im*.png[0:2,:,:]": VolumePath("stack[1]/im*.png", None, ((0, 2), (0, None), (0, None))),
    "im/im[0-9]": VolumePath("im/im[0-9]"),
    "im/*[!0-9]": VolumePath("im/*[!0-9]"),
    "raw.tif[0:1,0:2,0:3]": VolumePath("raw.tif", None, ((0, 1), (0, 2), (0, 3))),
    "slices[0]": VolumePath("slices", None, None, 0),
    "-": VolumePath("-"),
    "-[0]": VolumePath("-", None, None, 0),
    "-[0:1,:,:]": VolumePath("-", None, ((0, 1), (0, None), (0, None))),
    "maps.h5[:]": VolumePath("maps.h5", None, None, (0, None)),
    "raw.h5[0:10,20:30,:]": VolumePath("raw.h5", None, ((0, 10), (20, 30), (0, None))),
    "raw.h5[:5, 3:, 1:2]": VolumePath("raw.h5", None, ((0, 5), (3, None), (1, 2))),
    "maps.h5:main[1]": VolumePath("maps.h5", "main", None, 1),
    "maps.h5[0:2]": VolumePath("maps.h5", None, None, (0, 2)),
    "maps.h5[1,0:1,0:2,0:3]": VolumePath("maps.h5", None, ((0, 1), (0, 2), (0, 3)), 1),
}


@pytest.mark.parametrize(("text", "expected"), NAMES.items(), ids=NAMES)
def test_a_name_is_taken_apart(text, expected):
    assert parse_volume_path(text) == expected


@pytest.mark.parametrize(
    ("name", "is_remote"),
    [
        ("s3://bucket/a.zarr", True),
        ("S3://bucket/a.zarr", True),
        ("https://host/a.zarr:0[0:1,:,:]", True),
        ("memory://a.zarr", True),
        ("file:///data/a.zarr", False),
        ("a.zarr", False),
        ("s3:/a.zarr", False),
        ("./s3://a.zarr", False),
        ("C:/data/a.zarr", False),
        ("-", False),
    ],
)
def test_a_url_is_remote_unless_it_names_a_file_of_this_machine(name, is_remote):
    assert parse_volume_path(name).is_remote == is_remote


@pytest.mark.parametrize("name", ["file://", "file://host/a.zarr", "s3://", "https://[0]"])
def test_a_url_that_names_no_file_here_is_wrong_usage(name):
    with pytest.raises(UsageError, match="names"):
        parse_volume_path(name)


MALFORMED = [
    "[0:1,0:1]", "[1,2,3]", "[]", "[ ]", "[1:2:3,:,:]", "[0:1,:,:,:,:]", "[-1]", "[-5:,:,:]", "[a:b,:,:]",
    "[0:1,,:]", "[0:1;2:3]", "[1.5:2,:,:]", "[\u00b2:3,:,:]", "[0x1:2,:,:]",
    f"[{'9' * 5000}]", f"[0:{'9' * 5000},:,:]",
]  # fmt: skip


@pytest.mark.parametrize("crop", MALFORMED, ids=lambda crop: crop[:12])
@pytest.mark.parametrize("name", ["a.h5", "a.h5:main", "slices", "-"])
def test_a_malformed_crop_is_wrong_usage(name, crop):
    with pytest.raises(UsageError):
        parse_volume_path(name + crop)


@pytest.mark.parametrize("text", ["0:3,:,4:", "[0:3,:,4:]", " [0:3,:,4:] ", " 0:3, :, 4: "])
def test_a_crop_alone_needs_no_brackets_and_may_stand_between_blanks(text):
    assert parse_crop(text, "--crop") == (((0, 3), (0, None), (4, None)), None)
    assert parse_crop("2", "--crop") == (None, 2)


@pytest.mark.parametrize(
    "text", ["5-10", "abc", "0:3,:,:/", "[0:3,:,:", "0:3,:,:]x", "[[0:3,:,:]]", "", " ", "[]"]
)
def test_a_crop_that_is_not_understood_is_wrong_usage(text):
    with pytest.raises(UsageError, match=r"^--crop: "):
        parse_crop(text, "--crop")


@pytest.mark.parametrize("text", ["", "[0]", "[0:1,:,:]"])
def test_a_name_of_nothing_is_wrong_usage(text):
    with pytest.raises(UsageError, match="names no file"):
        parse_volume_path(text)


BOUNDS = st.tuples(st.integers(0, 99), st.none() | st.integers(0, 99))


LETTERS = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0\n", exclude_categories=["Cs"]), max_size=8
)
NAMED = st.builds(
    lambda stem, suffix: f"x{stem}{suffix}", LETTERS, st.sampled_from([".h5", ".zarr", ".HDF5"])
)


@given(
    file=NAMED.filter(lambda name: parse_volume_path(name) == VolumePath(name)),
    dataset=st.none() | st.sampled_from(["main", "volumes/raw", "a:b"]),
    ranges=st.none() | st.tuples(BOUNDS, BOUNDS, BOUNDS),
    channels=st.none() | st.integers(0, 9) | BOUNDS,
)
def test_a_name_put_together_reads_back(file, dataset, ranges, channels):
    path = VolumePath(file, dataset, ranges, channels)
    assert parse_volume_path(f"{path}{path.crop}") == path


@given(st.text(max_size=30))
def test_any_text_is_a_name_or_wrong_usage(text):
    try:
        path = parse_volume_path(text)
    except UsageError:
        return
    assert path.file
    assert path.file in text


def test_a_crop_with_open_ends_reaches_them():
    path = parse_volume_path("raw.h5[:,2:,:3]")
    assert path.box((4, 5, 6)) == Box((0, 2, 0), (4, 5, 3))


@pytest.mark.parametrize(
    "crop", ["[0:5,:,:]", "[3:3,:,:]", "[3:2,:,:]", "[:,9:,:]", "[0:999999999999999999,:,:]"]
)
def test_a_crop_outside_the_volume_or_empty_is_refused(crop):
    with pytest.raises(InputError, match="does not lie in the volume"):
        parse_volume_path(f"raw.h5{crop}").box((4, 5, 6))
