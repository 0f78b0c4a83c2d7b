"""Runs that are killed between the last changes that they make: the next one with ``--resume`` tidies up."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from command_runs import journal_of, names_in

from mitotools.cli.main import run
from mitotools.locking import locked
from mitotools.volume.formats.zarr_labels import listed_labels
from mitotools.volume.formats.zarr_places import read_json, write_json

LABELS = np.arange(2 * 8 * 8, dtype=np.uint16).reshape(2, 8, 8) // 16
COMMANDS = {
    "a zarr": "convert raw.zarr v.zarr",
    "a file": "convert raw.zarr v.tif",
    "tiles": "tile raw.zarr v --size 2,4,4",
    "a plan": "tile raw.zarr v.json --size 2,4,4",
    "labels": "filter raw.zarr v.h5 --min-size 1",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zarr.create_array("raw.zarr", data=LABELS, chunks=(2, 4, 4))
    return tmp_path


@pytest.mark.parametrize("line", COMMANDS.values(), ids=COMMANDS)
def test_the_journal_of_what_is_complete_goes(folder, line, capsys):
    words = line.split()
    assert run(words) == 0
    complete = names_in(folder)
    journal_of(folder / words[2]).write_text("{}\n")
    assert run([*words, "--resume"]) == 0
    assert f"{words[2]} is complete already" in capsys.readouterr().err
    assert names_in(folder) == complete


def test_the_journal_of_what_is_complete_stays_while_another_run_has_it_open(folder):
    words = COMMANDS["a zarr"].split()
    assert run(words) == 0
    with locked(journal_of(folder / "v.zarr")):
        assert run([*words, "--resume"]) == 0
        assert journal_of(folder / "v.zarr").exists()


def test_a_label_image_that_is_complete_and_not_listed_is_listed(folder):
    assert run(["convert", "raw.zarr", "image.zarr"]) == 0
    words = ["filter", "raw.zarr", "image.zarr/labels/kept", "--min-size", "1"]
    assert run(words) == 0
    listed = read_json("image.zarr/labels", "zarr.json")
    write_json("image.zarr/labels", "zarr.json", listed | {"attributes": {}})
    assert listed_labels("image.zarr") == []
    assert run([*words, "--resume"]) == 0
    assert read_json("image.zarr/labels", "zarr.json") == listed
    assert listed_labels("image.zarr") == ["kept"]


def test_what_is_left_of_a_list_that_was_being_written_is_written_over(folder):
    assert run(["convert", "raw.zarr", "image.zarr"]) == 0
    (folder / "image.zarr" / "labels").mkdir()
    (folder / "image.zarr" / "labels" / ".zarr.json.partial").write_text("{")
    assert run(["filter", "raw.zarr", "image.zarr/labels/kept", "--min-size", "1"]) == 0
    assert names_in(folder / "image.zarr" / "labels") == ["kept", "zarr.json"]
