"""The page of `stats --report`: measurements, and pictures of the instances that stand out."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image, ImageColor
from stages.networks import write_volume

from mitotools.cli.main import run
from mitotools.stages.measuring.report import POINTED_OUT

SHAPE = (20, 80, 90)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three boxes: one long (1), one small (2), and a large one that the border cuts (3)."""
    monkeypatch.chdir(tmp_path)
    labels = np.zeros(SHAPE, np.uint8)
    labels[8:12, 20:24, 10:60] = 1
    labels[8:12, 40:46, 10:16] = 2
    labels[0:16, 50:75, 50:80] = 3
    write_volume(tmp_path / "labels.h5", labels)
    write_volume(tmp_path / "raw.h5", np.full(SHAPE, 90, np.uint8))
    return tmp_path


def stats(*words):
    return run(["stats", *words, "-q"])


def captions(page: str) -> list[str]:
    return [re.sub("<[^>]*>", "", one) for one in re.findall(r"<figcaption>(.*?)</figcaption>", page)]


def test_the_extremes_are_named_and_pictured(folder, capsys):
    assert stats("labels.h5", "--raw", "raw.h5", "--report", "a.html") == 0
    page = (folder / "a.html").read_text()
    told = captions(page)
    assert told == [  # each is pictured once, whatever it is an example of
        "largest, most elongated, most complex 3: voxels 12000, elongation 1.2, complexity_index 1.124, "
        "cut by the border, z 8, bar 100 nm",
        "largest, smallest whole, most elongated, most complex 1: voxels 800, elongation 12.5, "
        "complexity_index 3.536, z 10, bar 100 nm",
        "smallest whole 2: voxels 144, z 10, bar 100 nm",
    ]
    texts = re.findall(r'src="data:image/png;base64,([^"]*)"', page)
    assert len(texts) == len(told)
    for text in texts:
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))
        assert (picture == ImageColor.getrgb(POINTED_OUT)).all(axis=2).any()
    assert capsys.readouterr().out.count("\n") == 4  # the table is printed as ever


def test_an_instance_is_pictured_where_it_is_largest(folder):
    labels = np.zeros(SHAPE, np.uint8)
    labels[0:18, 40, 40], labels[3, 30:60, 30:60] = 1, 1  # a stalk, and a plate in slice 3
    write_volume(folder / "labels.h5", labels)
    assert stats("labels.h5", "--report", "a.html") == 0
    (told,) = captions((folder / "a.html").read_text())
    assert told == (
        "largest, most elongated, most complex 1: voxels 917, elongation 1.005, complexity_index 40.81, "
        "cut by the border, z 3, bar 100 nm"
    )


def test_the_table_has_the_mean_and_quantiles_of_each_measurement(folder):
    assert stats("labels.h5", "--report", "a.html") == 0
    page = (folder / "a.html").read_text()
    # 144, 800, 12000: mean 4314.67; q5 144 + .1 (800 - 144); q95 800 + .9 (12000 - 800)
    cells = ["voxels", "3", "4315", "209.6", "472", "800", "6400", "10880"]
    assert "".join(f"<td>{cell}</td>" for cell in cells) in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)


def test_tables_are_compared_without_pictures(folder):
    assert stats("labels.h5", "-o", "one.tsv") == 0
    assert stats("one.tsv", "labels.h5", "--report", "a.html") == 0
    page = (folder / "a.html").read_text()
    assert page.count("<td>volume_um3</td>") == 2
    assert captions(page) == []


def test_labels_without_an_instance_are_reported(folder):
    write_volume(folder / "none.h5", np.zeros(SHAPE, np.uint8))
    assert stats("none.h5", "--report", "a.html") == 0
    assert captions((folder / "a.html").read_text()) == []


def test_a_report_that_exists_is_kept(folder, capsys):
    (folder / "a.html").write_text("mine")
    assert stats("labels.h5", "--report", "a.html") == 1
    captured = capsys.readouterr()
    assert "a.html: exists already." in captured.err
    assert captured.out == ""
    assert (folder / "a.html").read_text() == "mine"


def test_without_a_voxel_size_a_report_says_what_to_do(folder, capsys):
    write_volume(folder / "unknown.h5", np.ones(SHAPE, np.uint8), voxel_size_nm=None)
    assert stats("unknown.h5", "--report", "a.html") == 1
    assert "voxel size" in capsys.readouterr().err
    assert not (folder / "a.html").exists()


def test_with_skeletons_the_longest_are_pictured(folder):
    assert stats("labels.h5", "--skeleton", "--report", "a.html") == 0
    told = captions((folder / "a.html").read_text())
    lengths = [re.findall(r"longest \d.*skeleton_length_um ([\d.]*)", one) for one in told]
    assert lengths == [["0.1525"], ["0.255"], []]  # the shortest is none of the two longest
