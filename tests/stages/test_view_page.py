"""What the page of `mitotools view` holds; test_view_browser.py opens it."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from stages.networks import write_volume

from mitotools.cli.main import run
from mitotools.stages.viewing import page as view_page
from mitotools.view.slices import colours
from mitotools.volume.path import parse_volume_path

SHAPE = (12, 60, 80)
LARGE_ID = 2**60


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A bright volume with a dark corner; a hit (1 and 7), a missed truth (2) and a false positive."""
    monkeypatch.chdir(tmp_path)
    raw = np.full(SHAPE, 200, np.uint8)
    raw[:, :10, :10] = 0
    truth = np.zeros(SHAPE, np.uint8)
    truth[1:6, 5:15, 5:25] = 1
    truth[1:6, 25:35, 5:25] = 2
    found = np.zeros(SHAPE, np.uint64)
    found[1:6, 5:15, 5:25] = 7
    found[6:11, 40:55, 30:50] = LARGE_ID
    for name, array in (("raw", raw), ("truth", truth), ("found <b>&", found)):
        write_volume(tmp_path / f"{name}.h5", array)
    return tmp_path


def view(*words):
    assert run(["view", "raw.h5", *words, "--force", "-q"]) == 0


def facts_of(path):
    text = re.search(r'<script type="application/json" id="meta">(.*?)</script>', path.read_text()).group(1)
    return json.loads(text)


def image_of(path, name) -> np.ndarray:
    text = re.search(rf'id="{name}" data-kind="[a-z/]+">([^<]*)<', path.read_text()).group(1)
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image.convert("RGB"))


def test_a_page_holds_every_slice_and_the_rows_of_its_instances(folder):
    view("found <b>&.h5", "--truth", "truth.h5", "-o", "a.html")
    facts = facts_of(folder / "a.html")
    assert facts["positions"] == list(range(12))
    assert facts["size"] == [60, 80]
    assert facts["width_nm"] == 400
    found, truth = facts["layers"]
    assert [row[0] for row in found["rows"]] == [7, str(LARGE_ID)]  # which is no number to a browser
    assert found["kinds"] == ["hit", "false positive"]
    assert found["partners"] == [[1, 1.0], [None, 0.0]]
    assert found["slices"] == [3, 8]  # of z 1 to 5, and 6 to 10, which are all as large: the middle
    assert truth["kinds"] == ["hit", "missed"]
    assert truth["rows"][0][truth["names"].index("voxels")] == 5 * 10 * 20
    numbers = image_of(folder / "a.html", "labels-0-8")
    assert np.array_equal(np.argwhere(numbers[..., 0] == 2).min(0), (40, 30))
    assert numbers[..., 1:].max() == 0
    grey = image_of(folder / "a.html", "raw-8").astype(int)
    assert abs(grey[3, 3] - 0).max() < 12
    assert abs(grey[50, 70] - 255).max() < 12


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_slabs_of_any_depth_make_the_same_page(folder, axis, monkeypatch):
    view("truth.h5", "-o", "a.html", "--axis", axis)
    monkeypatch.setattr(view_page, "PART_OF_MEMORY", 2**40)  # room for one slice at a time
    view("truth.h5", "-o", "b.html", "--axis", axis)
    pages = [(folder / name).read_text().splitlines() for name in ("a.html", "b.html")]
    assert sorted(pages[0]) == sorted(pages[1])  # the images stand in another order
    size = {"z": [60, 80], "y": [12, 80], "x": [12, 60]}[axis]
    assert facts_of(folder / "a.html")["size"] == size


def test_larger_slices_are_resampled_and_ids_stay_ids(folder):
    view("truth.h5", "-o", "a.html", "--longest", "40", "--slices", "3,8,3")
    facts = facts_of(folder / "a.html")
    assert facts["positions"] == [3, 8]
    assert facts["size"] == [30, 40]
    numbers = image_of(folder / "a.html", "labels-0-0")[..., 0]
    assert set(np.unique(numbers)) == {0, 1, 2}
    assert np.count_nonzero(numbers == 1) == 4 * 9  # of 10 x 20, and half pixels around


def test_instances_that_were_not_asked_for_are_not_on_the_page(folder):
    view("truth.h5", "-o", "a.html", "--ids", "2")
    facts = facts_of(folder / "a.html")
    assert facts["positions"] == [1, 2, 3, 4, 5]
    assert [row[0] for row in facts["layers"][0]["rows"]] == [2]
    assert np.count_nonzero(image_of(folder / "a.html", "labels-0-2")[..., 0]) == 200


def test_names_of_files_cannot_become_part_of_the_page(folder):
    view("found <b>&.h5", "-o", "a.html")
    text = (folder / "a.html").read_text()
    assert "<b>" not in text
    assert "<title>raw.h5 found &lt;b&gt;&amp;.h5</title>" in text
    assert facts_of(folder / "a.html")["layers"][0]["name"] == "found <b>&.h5"


def test_an_instance_is_shown_on_the_slice_with_most_of_it(folder):
    """A bow: the slices in the middle of its extent are empty, and of its ends one is larger."""
    bow = np.zeros(SHAPE, np.uint8)
    bow[1, 5:15, 5:25] = 1
    bow[9, 5:10, 5:25] = 1
    bow[6, 30, 30] = 2
    write_volume(folder / "bow.h5", bow)
    view("bow.h5", "-o", "a.html", "--slices", "1,5,9")
    assert facts_of(folder / "a.html")["layers"][0]["slices"] == [0, None]


@pytest.mark.parametrize("first", [1, LARGE_ID])
def test_each_id_has_the_colour_that_pictures_give_it(folder, first):
    ids = np.array([first, first + 1], np.uint64)
    labels = np.zeros(SHAPE, np.uint64)
    labels[3, 3], labels[3, 5] = ids
    write_volume(folder / "near.h5", labels)
    view("near.h5", "-o", "a.html")
    told = facts_of(folder / "a.html")["layers"][0]["colours"]
    assert told == [f"#{bytes(colour).hex()}" for colour in colours(ids)]
    assert len(set(told)) == 2


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("runs/a.h5:volumes/labels", "a.h5:volumes/labels"),
        ("a.h5:volumes/labels[0:5,:,:]", "a.h5:volumes/labels[0:5,0:,0:]"),
        ("runs/a.tif", "a.tif"),
    ],
)
def test_volumes_are_told_apart_by_file_dataset_and_crop(given, name):
    assert view_page.shown_name(parse_volume_path(given)) == name


def test_the_page_names_the_truth_and_the_crop(folder):
    assert run(["view", "raw.h5[2:4,:,:]", "truth.h5[2:4,:,:]", "-o", "a.html", "--force", "-q"]) == 0
    facts = facts_of(folder / "a.html")
    assert facts["raw"] == {"name": "raw.h5[2:4,0:,0:]", "path": "raw.h5[2:4,0:,0:]", "crop": "[2:4,0:,0:]"}
    view("found <b>&.h5", "--truth", "truth.h5", "-o", "a.html")
    assert [layer["name"] for layer in facts_of(folder / "a.html")["layers"]] == [
        "found <b>&.h5",
        "truth.h5",
    ]


def test_labels_without_an_instance_and_a_volume_without_labels_make_a_page(folder):
    write_volume(folder / "none.h5", np.zeros(SHAPE, np.uint8))
    view("none.h5", "--truth", "truth.h5", "-o", "a.html")
    assert facts_of(folder / "a.html")["counts"]["missed"] == 2
    view("-o", "b.html")
    assert facts_of(folder / "b.html")["layers"] == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["-o", "a.gif"], "a.gif: a view is one of .png, .html."),
        (
            ["truth.h5", "truth.h5", "--truth", "truth.h5", "-o", "a.html"],
            "--truth: judges one prediction on",
        ),
    ],
)
def test_what_no_page_can_show_is_said(folder, capsys, words, why):
    assert run(["view", "raw.h5", *words]) == 2
    assert why in capsys.readouterr().err
