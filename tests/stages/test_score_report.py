"""The page of `evaluate --report`: what it says is what the scores are."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageColor
from segment.labelings import pairs
from stages.networks import write_volume

from mitotools import __version__
from mitotools.cli.main import run
from mitotools.parameters import PROTOCOLS
from mitotools.segment.scores.average_precision import average_precision, precision_curve
from mitotools.segment.scores.instances import instances_of
from mitotools.segment.scores.overlap import overlap_of_block
from mitotools.stages.scoring.judging import LEGEND

SHAPE = (10, 100, 120)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A hit (1, 1), a missed truth (2), a false positive (3) and two truths that one prediction joins."""
    monkeypatch.chdir(tmp_path)
    truth, found = np.zeros((2, *SHAPE), np.uint8)
    truth[2:6, 5:25, 5:25] = 1
    found[2:6, 5:25, 5:24] = 1
    truth[3:7, 40:60, 5:25] = 2
    found[4:8, 70:90, 5:25] = 3
    truth[1:9, 10:30, 60:80] = 4
    truth[1:9, 10:30, 80:100] = 5
    found[1:9, 10:30, 60:100] = 4
    for name, array in (("truth", truth), ("found", found), ("raw", np.full(SHAPE, 90, np.uint8))):
        write_volume(tmp_path / f"{name}.h5", array)
    return tmp_path


def evaluate(*words):
    return run(["evaluate", *words, "--piece-size", "100", "-q"])


def captions(page: str) -> list[str]:
    found = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    return [re.sub("<[^>]*>", "", one) for one in found]


def pictures(page: str) -> list[np.ndarray]:
    texts = re.findall(r'src="data:image/png;base64,([^"]*)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")) for text in texts]


def test_the_worst_instances_are_named_and_pictured_in_the_colour_of_their_kind(folder):
    assert evaluate("found.h5", "truth.h5", "--report", "a.html", "--raw", "raw.h5") == 0
    page = (folder / "a.html").read_text()
    assert captions(page) == [
        "missed truth 2: 1600 voxels, IoU 0.00, z 5, bar 100 nm",
        "false positive prediction 3: 1600 voxels, IoU 0.00, z 6, bar 100 nm",
        "merged truth 4, prediction 4: 6400 voxels, IoU 0.50, z 5, bar 100 nm",
    ]  # an IoU of .95, as of the hit, is not bad
    for picture, kind in zip(pictures(page), ("missed", "false positive", "merged"), strict=True):
        assert (picture == ImageColor.getrgb(LEGEND[kind])).all(axis=2).any()
        assert picture.shape[0] == picture.shape[1] >= 320


def test_the_page_says_what_its_numbers_are_of_and_how_it_was_made(folder):
    assert evaluate("found.h5", "truth.h5", "--report", "a.html", "--raw", "raw.h5", "--bootstrap", "20") == 0
    page = (folder / "a.html").read_text()
    for told in (
        "<title>found.h5 compared with truth.h5</title>",
        "the 95% interval of AP, from 20 samples of the instances",
        "have no partner of an IoU of 0.1; a poor fit has one, but not of 0.75",
        "<td>VOI</td><td>split 0.048, merge 0.715</td>",
        "voxels of 5 x 5 x 5 nm (z, y, x)",
        "default-src 'none'",
        f">mitotools {__version__}, ",
        'aria-label="found.h5 compared with truth.h5"',
    ):
        assert told in page


def test_a_merger_is_pictured_where_both_are_though_it_is_larger_elsewhere(folder):
    truth, found = np.zeros((2, *SHAPE), np.uint8)
    truth[0:6, 10:50, 10:50] = 1  # alone, and large
    truth[4:9, 50:60, 10:50] = 2
    found[0:9, 10:60, 10:50] = 1
    found[0:4, 50:60], found[6:9, 10:50] = 0, 0
    write_volume(folder / "truth.h5", truth)
    write_volume(folder / "found.h5", found)
    assert evaluate("found.h5", "truth.h5", "--report", "a.html") == 0
    (merged,) = [one for one in captions((folder / "a.html").read_text()) if one.startswith("merged")]
    assert re.search(r"z (\d+)", merged)[1] in ("4", "5")


def test_the_table_holds_the_scores_that_are_printed(folder, capsys):
    words = ("found.h5", "truth.h5", "--bootstrap", "50", "--format", "json", "--iou", ".5", "--iou", ".75")
    assert evaluate(*words, "--report", "a.html") == 0
    report = json.loads(capsys.readouterr().out)
    page = (folder / "a.html").read_text()
    low, high = report["bootstrap"]["ap"]["0.75"]["all"]
    assert f"<td>{report['ap']['0.75']['all']:.3f} ({low:.3f} to {high:.3f})</td>" in page
    assert f"<td>recall 0.50</td><td>{report['detection']['0.50']['all']['recall']:.3f}</td>" in page
    assert "split 0, merged 1, missed 1, spurious 1" in page
    assert f"<td>{report['foreground']['jaccard']:.3f}</td>" in page


def test_a_page_loads_nothing_and_is_small(folder):
    assert evaluate("found.h5", "truth.h5", "--report", "a.html", "--raw", "raw.h5") == 0
    page = (folder / "a.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert len(page) < 300_000


def test_names_of_files_are_escaped(folder):
    (folder / "found.h5").rename(folder / "<b>.h5")
    assert evaluate("<b>.h5", "truth.h5", "--report", "a.html") == 0
    assert "<b>.h5" not in (folder / "a.html").read_text()


def test_without_volumes_there_are_scores_and_no_pictures(folder):
    assert evaluate("found.h5", "truth.h5", "--save-overlap", "both.overlap") == 0
    assert evaluate("both.overlap", "--report", "a.html") == 0
    page = (folder / "a.html").read_text()
    assert "AP 0.75" in page
    assert captions(page) == []


@pytest.mark.parametrize("empty", ["found", "truth"])
def test_a_side_without_an_instance_is_reported(folder, empty):
    write_volume(folder / f"{empty}.h5", np.zeros(SHAPE, np.uint8))
    assert evaluate("found.h5", "truth.h5", "--report", "a.html", "--bootstrap", "20") == 0
    kind = "missed" if empty == "found" else "false positive"
    assert {
        one.split(" truth")[0].split(" prediction")[0] for one in captions((folder / "a.html").read_text())
    } == {kind}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--raw", "raw.h5"], "--raw: is shown in a --report, and none is written."),
        (["--report", "a.tsv", "--matches", "a.tsv"], "a.tsv: is to be two files."),
        (["--report", "there.html"], "there.html: exists already."),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is_read(folder, capsys, words, why):
    (folder / "there.html").write_text("mine")
    assert evaluate("found.h5", "truth.h5", *words) > 0
    assert why in capsys.readouterr().err
    assert (folder / "there.html").read_text() == "mine"


@given(pairs(), st.sampled_from([0.25, 0.5, 0.75]))
@settings(max_examples=50)
def test_the_area_under_the_curve_that_is_drawn_is_ap(pair, iou):
    instances = instances_of(overlap_of_block(*pair))
    curve = precision_curve(instances, PROTOCOLS[0], iou)
    ap = average_precision(instances, PROTOCOLS[0], more_iou=[iou])[f"{iou:.2f}"]["all"]
    assert (curve is None and ap is None) or float(np.mean(curve)) == ap
