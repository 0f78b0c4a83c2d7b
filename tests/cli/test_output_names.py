"""No output of a command has the name of another, or of what it reads, not even with --force."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from mitotools.cli.main import WRONG_USAGE, run

LABELS = np.array([[[0, 5, 5, 5], [0, 0, 6, 6]]], np.uint16)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    maps = np.stack([LABELS > 0, LABELS > 5]).astype(np.uint8)
    for name, array in {"labels": LABELS, "truth": LABELS, "raw": LABELS, "maps": maps}.items():
        with h5py.File(f"{name}.h5", "w") as file:
            file["main"] = array
            file["main"].attrs["voxel_size_nm"] = (30.0, 8.0, 8.0)
    Path("set.json").write_text(json.dumps({"image": ["a.png"], "depth": 1, "height": 2, "width": 4}))
    Path("table.tsv").write_text("id\tvolume_um3\n1\t2.5\n")
    Path("scores.tsv").write_text("id\tscore\n5\t1\n6\t1\n")
    Path("link.tsv").symlink_to("labels.h5")
    return tmp_path


TWO_FILES, READ_TOO = "is to be two files", "is to be read and written"


@pytest.mark.parametrize(
    ("line", "name", "why"),
    [
        ("decode maps.h5 d.h5 --scores d.h5", "d.h5", TWO_FILES),
        ("decode maps.h5 d.h5 --scores maps.h5", "maps.h5", READ_TOO),
        ("decode maps.h5 d.h5 --scores maps.h5 --resume", "maps.h5", READ_TOO),
        ("stats labels.h5 --plot a.html --report a.html", "a.html", TWO_FILES),
        ("stats labels.h5 -o t.json --report ./t.json", "t.json", TWO_FILES),
        ("stats labels.h5 --report labels.h5", "labels.h5", READ_TOO),
        ("stats labels.h5[0:1,:,:] --raw raw.h5 --report raw.h5", "raw.h5", READ_TOO),
        ("stats table.tsv labels.h5 -o table.tsv", "table.tsv", READ_TOO),
        ("stats labels.h5 -o link.tsv", "link.tsv", READ_TOO),
        ("evaluate labels.h5 truth.h5 --matches truth.h5", "truth.h5", READ_TOO),
        ("evaluate labels.h5 truth.h5 --scores scores.tsv --matches scores.tsv", "scores.tsv", READ_TOO),
        ("evaluate labels.h5 truth.h5 --matches a --save-overlap ../{folder}/a", "../{folder}/a", TWO_FILES),
        ("evaluate both.overlap --report both.overlap", "both.overlap", READ_TOO),
        ("tune maps.h5 truth.h5 -o truth.h5", "truth.h5", READ_TOO),
        ("tile set.json set.json", "set.json", READ_TOO),
        ("train raw.h5 labels.h5 labels.h5", "labels.h5", READ_TOO),
        ("train raw.h5 labels.h5 m.png --plot m.png", "m.png", TWO_FILES),
    ],
)
def test_outputs_of_one_name_are_refused_and_nothing_is_touched(folder, capsys, line, name, why):
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert run([*line.format(folder=folder.name).split(), "--force"]) == WRONG_USAGE
    said = capsys.readouterr().err
    name = name.format(folder=folder.name)
    assert said.endswith(f": {name}: {why}. Give each output a name of its own.\n")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
