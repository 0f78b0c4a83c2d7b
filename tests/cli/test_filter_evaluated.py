"""Truth against itself a voxel larger or smaller, as the MitoEM paper's table 1 has it."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from scipy import ndimage

from mitotools.cli.main import run


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(labels):
    with h5py.File("truth.h5", "w") as file:
        file["main"] = labels


def compared(capsys, option):
    """Return the voxels after one step, their Jaccard index with the truth, and each instance's."""
    assert run(["filter", "truth.h5", "other.h5", option, "1", "-qf"]) == 0
    capsys.readouterr()
    line = ["evaluate", "other.h5", "truth.h5", "--format", "json", "--matches", "matches.tsv", "-qf"]
    assert run(line) == 0
    report = json.loads(capsys.readouterr().out)
    with open("matches.tsv", encoding="utf-8") as file:  # noqa: PTH123
        names, *rows = (text.rstrip("\n").split("\t") for text in file)
    return report, [dict(zip(names, row, strict=True)) for row in rows]


def test_a_cube_of_three_voxels_gains_its_faces_or_loses_all_but_its_middle(capsys):
    labels = np.zeros((7, 7, 7), "uint8")
    labels[2:5, 2:5, 2:5] = 1
    written(labels)
    report, _ = compared(capsys, "--dilate")
    assert report["prediction"]["voxels"] == 27 + 6 * 9
    assert report["foreground"]["jaccard"] == 27 / 81
    report, _ = compared(capsys, "--erode")
    assert report["prediction"]["voxels"] == 1
    assert report["foreground"]["jaccard"] == 1 / 27


@pytest.mark.parametrize("option", ["--dilate", "--erode"])
def test_the_scores_of_larger_and_smaller_truth_are_those_of_scipys_morphology(capsys, option):
    rng = np.random.default_rng(5)
    labels = (rng.integers(1, 6, (4, 6, 7)) * (rng.random((4, 6, 7)) < 0.2)).astype("uint16")
    labels = labels.repeat(5, 0).repeat(5, 1).repeat(5, 2)
    written(labels)
    other = np.zeros_like(labels)
    for number in (5, 4, 3, 2, 1):
        mask = labels == number
        if option == "--erode":
            other[ndimage.binary_erosion(mask, border_value=1)] = number
        else:
            other[ndimage.binary_dilation(mask) & ((labels == 0) | mask)] = number

    report, matches = compared(capsys, option)

    shared, any_of_them = ((labels > 0) & (other > 0)).sum(), ((labels > 0) | (other > 0)).sum()
    assert report["foreground"]["jaccard"] == pytest.approx(shared / any_of_them, rel=1e-15)
    found = {int(row["truth"]): float(row["iou"]) for row in matches if row["truth"] and row["prediction"]}
    expected = {}
    for number in (1, 2, 3, 4, 5):
        one, two = labels == number, other == number
        expected[number] = (one & two).sum() / (one | two).sum()
    assert found == pytest.approx(expected, rel=1e-6)
