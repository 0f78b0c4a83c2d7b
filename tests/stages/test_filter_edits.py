"""Instances merged, deleted and split by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr

from mitotools.cli.main import run

LABELS = np.array([[[1, 1, 0, 2, 0, 3, 0, 3, 0, 2, 0, 9]]], "uint8")


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mitotools.run.budget.PREFERRED_BYTES", 64)
    monkeypatch.setattr("mitotools.stages.filtering.regions.CELL", (1, 1, 5))
    zarr.create_array("labels.zarr", data=LABELS, chunks=(1, 1, 3))


def edited(folder, text, *options):
    (folder / "edits").write_text(text)
    assert run(["filter", "labels.zarr", "out.zarr", "-qf", "--edits", "edits", *options]) == 0
    return zarr.open_array("out.zarr/0")[0, 0].tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [1, 1, 0, 2, 0, 3, 0, 3, 0, 2, 0, 9]),
        ("merge 1 3 9", [1, 1, 0, 2, 0, 1, 0, 1, 0, 2, 0, 1]),
        ("merge 9 1", [9, 9, 0, 2, 0, 3, 0, 3, 0, 2, 0, 9]),
        ("delete 1 2", [0, 0, 0, 0, 0, 3, 0, 3, 0, 0, 0, 9]),
        ("split 2", [1, 1, 0, 2, 0, 3, 0, 3, 0, 10, 0, 9]),
        ("split 3 2", [1, 1, 0, 2, 0, 3, 0, 10, 0, 11, 0, 9]),
        ("merge 2 9\nsplit 2", [1, 1, 0, 2, 0, 3, 0, 3, 0, 4, 0, 5]),
        ("split 2\nmerge 2 9", [1, 1, 0, 2, 0, 3, 0, 3, 0, 4, 0, 5]),
        ("merge 2 3\nmerge 1 2", [1, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 9]),
        ("merge 2 3\ndelete 2", [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]),
        ("merge 2 3\ndelete 3", [1, 1, 0, 2, 0, 2, 0, 2, 0, 2, 0, 9]),
        ("delete 3\nmerge 2 3", [1, 1, 0, 2, 0, 0, 0, 0, 0, 2, 0, 9]),
        ("delete 2\nmerge 2 9", [1, 1, 0, 0, 0, 3, 0, 3, 0, 0, 0, 2]),
        ("merge 1 2\nmerge 3 1\nmerge 1 9", [3, 3, 0, 3, 0, 3, 0, 3, 0, 3, 0, 1]),
        ("merge 1 1 1", [1, 1, 0, 2, 0, 3, 0, 3, 0, 2, 0, 9]),
        ("merge 300 9  # a note\n\n# another\n", [1, 1, 0, 2, 0, 3, 0, 3, 0, 2, 0, 300]),
        ("delete 77\nsplit 78\nmerge 79 80", [1, 1, 0, 2, 0, 3, 0, 3, 0, 2, 0, 9]),
    ],
)
def test_merges_and_deletions_follow_each_other_and_splits_come_last(tmp_path, text, expected):
    assert edited(tmp_path, text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("delete 12345", "--edits: 1 of 1 ids are not there."),
        ("merge 777 888\nsplit 3", "--edits: 2 of 3 ids are not there."),
        ("merge 300 9\ndelete 300", "--edits: 1 of 2 ids are not there."),
        ("merge 1 2\nmerge 3 1", ""),
    ],
)
def test_ids_that_are_not_there_before_the_edits_are_counted_in_a_warning(tmp_path, capsys, text, message):
    (tmp_path / "edits").write_text(text)
    assert run(["filter", "labels.zarr", "out.zarr", "--edits", "edits"]) == 0
    said = capsys.readouterr().err
    assert message in said
    assert ("not there" in said) == bool(message)


def test_edits_come_before_all_other_options(tmp_path):
    found = edited(tmp_path, "merge 2 9", "--where", "voxels >= 3", "--relabel")
    assert found == [0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1]


def test_the_history_records_the_edits(tmp_path):
    edited(tmp_path, "merge  2 9 # looked at\n")
    attributes = zarr.open_group("out.zarr").attrs.asdict()
    assert '"edits": ["merge 2 9"]' in json.dumps(attributes).replace('\\"', '"')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("merge 1 2\njoin 1 2", "edits: line 2: 'join 1 2' is no edit. Give 'merge A B', 'delete A' or"),
        ("merge 1", "line 1: 'merge 1' is no edit"),
        ("split", "line 1: 'split' is no edit"),
        ("delete all", "line 1: 'all' is no id"),
        ("delete 1,2", "line 1: '1,2' is no id"),
        ("merge 1 0", "line 1: '0' is no id"),
    ],
)
def test_a_line_that_is_no_edit_is_refused_by_its_number(tmp_path, capsys, text, message):
    (tmp_path / "edits").write_text(text)
    assert run(["filter", "labels.zarr", "out.zarr", "--edits", "edits"]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out.zarr").exists()
