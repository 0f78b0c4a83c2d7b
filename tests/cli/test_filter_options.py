"""What the command line of filter takes, refuses and records."""

from __future__ import annotations

import io
import json

import h5py
import numpy as np
import pytest

from mitotools.cli.main import run


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    """Three instances of 3, 2 and 1 voxels of 100 nm in a file."""
    monkeypatch.chdir(tmp_path)
    with h5py.File("labels.h5", "w") as file:
        file["main"] = np.array([[[1, 1, 1, 0, 2, 2, 0, 3]]], "uint8")
        file["main"].attrs["voxel_size_nm"] = (100.0, 100.0, 100.0)


def kept(options, status=0):
    assert run(["filter", "labels.h5", "out.h5", "-qf", *options]) == status
    with h5py.File("out.h5") as file:
        return np.unique(file["main"][:]).tolist()[1:]


def refused(capsys, options, message, status):
    assert run(["filter", "labels.h5", "out.h5", *options]) == status
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_a_condition_may_be_on_physical_columns():
    assert kept(["--where", "volume_um3 > 0.0015"]) == [1, 2]


@pytest.mark.parametrize(("option", "row"), [("--erode", [0] * 8), ("--dilate", [1, 1, 1, 1, 2, 2, 2, 3])])
def test_more_steps_than_there_are_voxels_end_where_nothing_changes_any_more(option, row):
    kept([option, str(10**20)])
    with h5py.File("out.h5") as file:
        assert file["main"][0, 0].tolist() == row


def test_a_list_of_ids_is_read_line_by_line(tmp_path):
    (tmp_path / "ids").write_text("3\n\n 1 \r\n3\n")
    assert kept(["--keep-ids", "ids"]) == [1, 3]
    assert kept(["--drop-ids", "ids"]) == [2]


def test_the_table_of_stats_is_a_list_of_ids(tmp_path, capsys):
    assert run(["stats", "labels.h5", "-q"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (tmp_path / "small.tsv").write_text("\n".join([lines[0], *lines[2:]]))
    assert kept(["--drop-ids", "small.tsv"]) == [1]


def test_ids_come_through_a_pipe(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("2\n"))
    assert kept(["--keep-ids", "-"]) == [2]


def test_only_one_thing_comes_through_the_pipe(capsys):
    refused(capsys, ["--keep-ids", "-", "--drop-ids", "-"], "only one input", 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n-2\n", "ids: line 2: '-2' is no id. Ids are whole numbers above 0."),
        ("0\n", "line 1: '0' is no id"),
        ("id\tvoxels\nmito\t3\n", "line 2: 'mito' is no id"),
        ("id\nid\n", "line 2: 'id' is no id"),
        ("1.5\n", "line 1: '1.5' is no id"),
        ("18446744073709551616\n", "is no id"),
        ("9" * 5000, "is no id"),
        ("1 2\n", "'1 2' is no id"),
    ],
)
def test_a_line_that_is_no_id_is_refused_by_its_number(tmp_path, capsys, text, message):
    (tmp_path / "ids").write_text(text)
    refused(capsys, ["--keep-ids", "ids"], message, 1)


def test_a_list_that_is_no_text_is_refused(tmp_path, capsys):
    (tmp_path / "ids").write_bytes(b"\xff\xfe\x00")
    refused(capsys, ["--keep-ids", "ids"], "ids: is no text", 1)


def test_a_list_that_is_not_there_is_wrong_usage(capsys):
    refused(capsys, ["--drop-ids", "nowhere"], "nowhere", 2)


@pytest.mark.parametrize(
    ("condition", "message", "status"),
    [
        ("size > 3", "there is no column 'size'. There is ", 2),
        ("__import__('os').system('touch pwned')", "is nothing that a condition may have", 2),
        ("voxels", "is a number, not a condition", 2),
        ("", "'' is no condition", 2),  # a variable of the shell that is not set
        ("(" * 5000, "longer than 1000 characters", 2),
    ],
)
def test_a_wrong_condition_is_one_line(capsys, tmp_path, condition, message, status):
    refused(capsys, ["--where", condition], message, status)
    assert [file.name for file in tmp_path.iterdir()] == ["labels.h5"]


def test_the_history_records_what_was_kept(tmp_path):
    (tmp_path / "ids").write_text("1\n2\n7\n")
    kept(["--keep-ids", "ids", "--where", "voxels > 2", "--clear-border"])
    with h5py.File("out.h5") as file:
        records = json.loads(file["main"].attrs["history"])
    made = records[-1]["parameters"]
    assert made["keep_ids"] == "1-2,7"
    assert made["where"] == "voxels > 2"
    assert made["clear_border"] is True


def test_a_run_with_other_ids_is_not_continued(tmp_path, capsys):
    (tmp_path / "ids").write_text("1\n")
    kept(["--keep-ids", "ids"])
    (tmp_path / "ids").write_text("2\n")
    refused(capsys, ["--keep-ids", "ids", "--resume"], "keep_ids", 1)
