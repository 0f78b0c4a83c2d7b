"""What ``--resume``, ``--part`` and plans make of inputs that are not those that an output was begun with."""

from __future__ import annotations

import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
from command_runs import journal_of, lines, names_in
from PIL import Image
from stages.networks import write_model

from mitotools.cli.main import run

RNG = np.random.default_rng(3)
LABELS = np.kron(np.arange(8, dtype="uint16").reshape(2, 2, 2), np.ones((8, 16, 16), "uint16"))
PREDICT = "-m model.safetensors --backend torch --precision float32"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with files that hold several volumes, and a model."""
    monkeypatch.chdir(tmp_path)
    with h5py.File("two.h5", "w") as file:
        for name in "ab":
            file[name] = RNG.integers(0, 256, (32, 32, 32), dtype="uint8")
            file[f"labels_{name}"] = LABELS
            file[f"maps_{name}"] = RNG.integers(0, 256, (2, 16, 32, 32), dtype="uint8")
        file["both"] = RNG.integers(0, 256, (2, 16, 32, 32), dtype="uint8")
    write_model(tmp_path / "model.safetensors")
    return tmp_path


def status(line, capsys):
    """Run a command line in one thread; return its status and its words."""
    code = run([*line.split(), "-t", "1"])
    return code, capsys.readouterr().err


def done(line, capsys):
    code, words = status(line, capsys)
    assert code == 0, words
    return words


DATASET, CROP = "dataset of {}/two.h5", "crop of {}/two.h5"


@pytest.mark.parametrize(
    ("line", "one", "other", "named"),
    [
        ("convert {} o.zarr", ":a", ":b", DATASET),
        ("convert {} o.h5", ":both[0]", ":both[1]", CROP),
        ("convert {} o.zarr", ":a[0:16,:,:]", ":b[16:32,:,:]", "dataset and crop of {}/two.h5"),
        ("filter {} o.h5 --min-size 9", ":labels_a", ":labels_b", DATASET),
        ("decode {} o.h5 --min-size 9", ":maps_a", ":maps_b", DATASET),
        ("tile {} o --size 8,32,32", ":a", ":b", DATASET),
        ("tile {} o --size 8,32,32", ":a[0:16,:,:]", ":a[16:32,:,:]", CROP),
        (f"predict {{}} o.zarr {PREDICT}", ":a[0:16,:,:]", ":a[16:32,:,:]", CROP),
    ],
)
def test_another_volume_of_the_same_file_is_another_input(folder, capsys, line, one, other, named):
    one, other = (f"{line.format(f'two.h5{name}')} --resume" for name in (one, other))
    done(one, capsys)
    assert "is complete already" in done(one, capsys)
    code, words = status(other, capsys)
    assert code == 1
    assert words.endswith(f"was made with other {named.format(folder)}. Use --force to replace it.\n")


def test_an_unfinished_output_is_not_continued_with_another_dataset(folder, capsys, monkeypatch):
    from mitotools.run.journal import Journal

    added = Journal.add

    def add(journal, entry):
        added(journal, entry)
        if len(lines(journal_of(folder / "o.zarr"))) == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("mitotools.run.budget.PREFERRED_BYTES", 8 * 32 * 32)
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", add)
        assert status("convert two.h5:a o.zarr --chunks 8,32,32", capsys)[0] == 130
    code, words = status("convert two.h5:b o.zarr --chunks 8,32,32 --resume", capsys)
    assert code == 1
    assert f"o.zarr: was begun with other dataset of {folder}/two.h5. Use --force" in words
    done("convert two.h5:a o.zarr --chunks 8,32,32 --resume", capsys)


def test_parts_of_plans_of_two_crops_are_not_mixed(folder, capsys):
    for number, crop in ((1, "[0:16,:,:]"), (2, "[16:32,:,:]")):
        done(f"tile two.h5:a{crop} p{number}.json --size 8,32,32", capsys)
    done(f"predict p1.json tiles --part 1/2 {PREDICT}", capsys)
    before = names_in(folder / "tiles")
    code, words = status(f"predict p2.json tiles --part 2/2 {PREDICT}", capsys)
    assert code == 1
    assert words.endswith(
        "holds tiles made with other crop of volume. Delete it first, or write elsewhere.\n"
    )
    assert names_in(folder / "tiles") == before


@pytest.mark.parametrize("name", ["stack", "stack/*.png"])
def test_a_slice_that_was_replaced_in_place_is_noticed(folder, capsys, name):
    Path("stack").mkdir()
    for z in range(4):
        Image.fromarray(np.full((8, 8), z, "uint8")).save(f"stack/z{z}.png")
    assert run(["convert", name, "o.zarr", "-q"]) == 0
    Image.fromarray(np.full((8, 8), 9, "uint8")).save("stack/z2.png")
    code, words = status(f"convert {name} o.zarr --resume", capsys)
    assert code == 1
    assert f"was made with other {folder}/{name}. Use --force" in words


def test_a_part_of_maps_made_otherwise_is_told_what_helps(folder, capsys):
    for part in ("1/2", "2/2"):
        done(f"predict two.h5:a o.zarr {PREDICT} --part {part}", capsys)
    code, words = status(f"predict two.h5:a o.zarr {PREDICT} --part 1/2 --resume --tta 4", capsys)
    assert code == 1
    assert words.endswith("o.zarr: was made with other tta. Delete it first.\n")
