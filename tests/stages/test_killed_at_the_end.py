"""Runs that are killed between the last changes that they make: the next one with ``--resume`` tidies up."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from command_runs import journal_of, names_in
from safetensors.numpy import load_file

from mitotools.cli.main import run
from mitotools.locking import locked
from mitotools.stages import train as training
from mitotools.stages.blocks import blockwise
from mitotools.stages.decoding import block_step
from mitotools.volume import atomic
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


def dies_where(module, name, is_time, monkeypatch):
    """Have a function end the run, once, where it is called with some path: what it did not do is left."""
    real = getattr(module, name)

    def call(path, *more):
        if is_time(path):
            monkeypatch.setattr(module, name, real)
            raise KeyboardInterrupt
        return real(path, *more)

    monkeypatch.setattr(module, name, call)


@pytest.fixture
def maps(folder):
    """Maps of one instance."""
    mask = np.zeros((2, 16, 96, 96), np.uint8)
    mask[0, 4:12, 20:80, 30:40] = 255
    zarr.create_array("maps.zarr", data=mask, chunks=(2, 8, 32, 32))


DECODE = ["decode", "maps.zarr", "labels.zarr"]
WORKSPACE = ["labels.zarr.parts.unfinished", "labels.zarr.parts.unfinished.journal"]


@pytest.fixture
def killed_after_decoding(folder, maps, monkeypatch):
    """Labels that are complete, and what was made on the way to them."""
    dies_where(block_step, "remove", lambda _: (folder / "labels.zarr").exists(), monkeypatch)
    assert run([*DECODE, "--resume"]) == 130
    return [name for name in names_in(folder) if name not in WORKSPACE]


def test_what_was_made_on_the_way_to_labels_that_are_complete_goes(folder, killed_after_decoding):
    assert set(WORKSPACE) < set(names_in(folder))
    assert run([*DECODE, "--resume"]) == 0
    assert names_in(folder) == killed_after_decoding


def test_what_was_made_on_the_way_to_other_labels_stays(folder, killed_after_decoding, monkeypatch):
    for name in WORKSPACE:
        (folder / name).rename(folder / f"{name}.kept")
    dies_where(block_step, "remove", lambda _: (folder / "other.zarr").exists(), monkeypatch)
    other = [*DECODE[:2], "other.zarr", *DECODE[3:], "--resume", "--min-size", "7"]
    assert run(other) == 130
    for name in WORKSPACE:
        (folder / name.replace("labels", "other")).rename(folder / name)
    assert run([*DECODE, "--resume"]) == 0
    assert set(WORKSPACE) < set(names_in(folder))


@pytest.fixture
def killed_after_packing(folder, monkeypatch):
    """A packed file that is complete, and the zarr that it was packed from."""
    dies_where(blockwise, "remove", lambda path: path.name == "v.h5.staged.zarr", monkeypatch)
    assert run(["convert", "raw.zarr", "v.h5", "--resume"]) == 130
    assert names_in(folder) == ["raw.zarr", "v.h5", "v.h5.staged.zarr"]


def test_the_zarr_of_a_file_that_is_complete_goes(folder, killed_after_packing, capsys):
    (folder / "v.h5.staged.zarr.lock").touch()
    assert run(["convert", "raw.zarr", "v.h5", "--resume"]) == 0
    assert "v.h5 is complete already" in capsys.readouterr().err
    assert names_in(folder) == ["raw.zarr", "v.h5"]


def test_half_a_zarr_of_a_file_that_is_complete_goes(folder, killed_after_packing):
    (folder / "v.h5.staged.zarr" / "zarr.json").unlink()
    assert run(["convert", "raw.zarr", "v.h5", "--resume"]) == 0
    assert names_in(folder) == ["raw.zarr", "v.h5"]


def test_the_zarr_of_another_file_stays(folder, killed_after_packing):
    (folder / "v.h5").unlink()
    words = ["convert", "raw.zarr[:,:,0:4]", "v.h5"]
    (folder / "v.h5.staged.zarr").rename(folder / "kept")
    assert run([*words, "--resume"]) == 0
    (folder / "kept").rename(folder / "v.h5.staged.zarr")
    assert run([*words, "--resume"]) == 0
    assert names_in(folder) == ["raw.zarr", "v.h5", "v.h5.staged.zarr"]


def test_the_zarr_stays_while_another_run_has_it(folder, killed_after_packing):
    with locked(folder / "v.h5.staged.zarr.lock"):
        assert run(["convert", "raw.zarr", "v.h5", "--resume"]) == 0
        assert (folder / "v.h5.staged.zarr").exists()


def test_it_is_said_that_a_file_can_still_be_packed(folder, monkeypatch, capsys):
    dies_where(atomic, "_put_in_place", lambda path: path.name == "v.h5.unfinished", monkeypatch)
    assert run(["convert", "raw.zarr", "v.h5", "--resume"]) == 130
    assert names_in(folder) == ["raw.zarr", "v.h5.staged.zarr"]
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "mitotools convert: v.h5.staged.zarr is written, and --resume continues",
        "mitotools convert: interrupted.",
    ]
    assert run(["convert", "raw.zarr", "v.h5", "--resume"]) == 0
    assert names_in(folder) == ["raw.zarr", "v.h5"]


MODEL = [
    "m.safetensors", "--patch", "8,16,16", "--iterations", "3", "--batch", "1", "--set", "filters=4,8",
    "--set", "norm=group", "--device", "cpu", "--set", "save_minutes=0", "--seed", "1",
]  # fmt: skip


def test_a_model_that_is_written_and_has_no_name_yet_gets_it(pair, folder, monkeypatch):
    train = ["train", *(path.file for path in pair), *MODEL]
    assert run(train) == 0
    whole = load_file("m.safetensors")
    (folder / "m.safetensors").unlink()
    dies_where(atomic, "_put_in_place", lambda path: path.name == "m.safetensors.unfinished", monkeypatch)
    assert run(train) == 130
    assert not (folder / "m.safetensors").exists()
    monkeypatch.setattr(training, "_fitted", pytest.fail)
    assert run([*train, "--resume"]) == 0
    assert names_in(folder) == ["m.safetensors", "raw.zarr"]
    found = load_file("m.safetensors")
    assert found.keys() == whole.keys()
    assert all(np.array_equal(found[name], whole[name]) for name in whole)
