"""``mitotools stats`` as a user gives its options."""

from __future__ import annotations

import csv
import json

import h5py
import numpy as np
import pytest

from mitotools.cli.main import run
from mitotools.history import read_sidecar


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = np.zeros((4, 6, 8), "uint16")
    labels[1:3, 1:3, 1:3], labels[1:3, 1:3, 3:5] = 300, 7
    for name, array in (("labels", labels), ("raw", labels % 251), ("cells", labels // 300)):
        with h5py.File(f"{name}.h5", "w") as file:
            file["main"] = array
            file["main"].attrs["voxel_size_nm"] = (30.0, 8.0, 8.0)
    return tmp_path


def printed(line, capsys):
    assert run(line.split()) == 0
    return [row.split("\t") for row in capsys.readouterr().out.splitlines()]


def test_a_file_holds_what_standard_output_would_in_each_format(folder, capsys):
    names, *rows = printed("stats labels.h5 -q", capsys)
    for name in ("t.tsv", "t.csv", "t.json"):
        assert printed(f"stats labels.h5 -q -o {name}", capsys) == []
    assert [line.split("\t") for line in (folder / "t.tsv").read_text().splitlines()] == [names, *rows]
    with (folder / "t.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [names, *rows]
    objects = json.loads((folder / "t.json").read_text())
    assert [list(entry) for entry in objects] == [names, names]
    assert [entry["id"] for entry in objects] == [7, 300]
    assert objects[0]["touches_border"] is False
    assert [[str(value).lower() for value in entry.values()] for entry in objects] == rows


def test_a_table_has_its_history_beside_it(folder):
    assert run(["stats", "labels.h5", "--raw", "raw.h5", "-o", "t.csv", "-q"]) == 0
    (record,) = read_sidecar(folder / "t.csv")
    assert [source["path"] for source in record["inputs"]] == [
        str(folder / f"{n}.h5") for n in ("labels", "raw")
    ]
    assert record["parameters"]["summary"] is False


def test_a_table_that_exists_is_replaced_with_force_alone(folder, capsys):
    (folder / "t.tsv").write_text("mine")
    assert run(["stats", "labels.h5", "-o", "t.tsv"]) == 1
    assert "t.tsv: exists already. Use --force to replace it." in capsys.readouterr().err
    assert (folder / "t.tsv").read_text() == "mine"
    assert run(["stats", "labels.h5", "-o", "t.tsv", "-f"]) == 0
    assert capsys.readouterr().err.endswith("t.tsv: 2 rows\n")
    assert (folder / "t.tsv").read_text().startswith("id\t")


@pytest.mark.parametrize(("name", "status", "words"), [
    ("t.xlsx", 2, "t.xlsx: a table is one of .tsv, .csv, .json, .parquet."),
    ("none/t.tsv", 1, "the folder none does not exist"),
])  # fmt: skip
def test_a_table_that_cannot_be_written_is_refused_before_anything_is_read(
    folder, capsys, name, status, words
):
    assert run(["stats", "missing.h5", "-o", name]) == status
    assert words in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["cells.h5", "labels.h5", "raw.h5"]


def test_a_failure_leaves_no_table(folder, capsys):
    assert run(["stats", "missing.h5", "-o", "t.tsv"]) == 1
    assert not list(folder.glob("t.*"))


def test_raw_within_and_summary_reach_the_stage(folder, capsys):
    names, first, _ = printed("stats labels.h5 -q --raw raw.h5 --within cells.h5", capsys)
    row = dict(zip(names, first, strict=True))
    assert (row["intensity_mean"], row["host"], row["neighbours"]) == ("7.0", "0", "1")
    summary = dict(printed("stats labels.h5 -q --summary", capsys))
    assert summary["count"] == "2"
    hosts = printed("stats labels.h5 -q --within cells.h5 --summary", capsys)
    assert [line[0] for line in hosts] == ["host", "0", "1"]


def test_an_empty_json_table_is_an_empty_list(folder):
    with h5py.File("empty.h5", "w") as file:
        file["main"] = np.zeros((2, 2, 2), "uint8")
    assert run(["stats", "empty.h5", "-q", "-o", "t.json"]) == 0
    assert json.loads((folder / "t.json").read_text()) == []
