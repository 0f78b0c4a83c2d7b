"""`--dtype` of decode and filter: the smallest type that holds the ids, unless it says otherwise."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from mitotools.cli.main import run

WRITTEN = {"decode": "decode maps.h5 out.h5 --method cc --min-size 1", "filter": "filter labels.h5 out.h5"}


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """300 voxels apart from each other: instances 1 to 300 of labels.h5, and what is decoded of maps.h5."""
    monkeypatch.chdir(tmp_path)
    mask = np.zeros((2, 30, 80), np.uint8)
    mask[0, ::2, :40:2] = 255
    labels = np.zeros(mask.shape, np.uint16)
    labels[mask > 0] = np.arange(300) + 1
    for name, array in (("maps.h5", mask[np.newaxis]), ("labels.h5", labels)):
        with h5py.File(name, "w") as file:
            file["main"] = array
    return labels


def written():
    with h5py.File("out.h5") as file:
        return file["main"][()]


@pytest.mark.parametrize("line", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize(
    ("option", "dtype"), [("", "uint16"), ("--dtype uint16", "uint16"), ("--dtype uint64", "uint64")]
)
def test_ids_are_the_same_in_every_type(files, line, option, dtype):
    assert run([*line.split(), *option.split(), "-q"]) == 0
    assert written().dtype == dtype
    assert np.array_equal(written(), files)


@pytest.mark.parametrize("workers", ["", "--workers 1"])
def test_a_type_that_is_too_small_is_refused_with_the_least(workers, capsys, tmp_path):
    before = sorted(tmp_path.iterdir())
    assert run([*WRITTEN["filter"].split(), "--dtype", "uint8", *workers.split()]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == "mitotools filter: --dtype uint8: does not hold the id 300. The least is uint16."
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_decoded_before_a_type_is_too_small_is_continued_in_another(files, capsys, tmp_path):
    before = sorted(tmp_path.iterdir())
    assert run([*WRITTEN["decode"].split(), "--dtype", "uint8"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "decode: --dtype uint8: does not hold the id 300. The least is uint16. 1 block is done" in said
    assert run([*WRITTEN["decode"].split(), "--dtype", "uint16", "--resume"]) == 0
    assert "continuing after 1 block" in capsys.readouterr().err
    assert np.array_equal(written(), files)
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "out.h5"])


def test_a_type_with_a_sign_is_no_type_of_labels(capsys):
    assert run(["filter", "labels.h5", "out.h5", "--dtype", "int32"]) == 2
    assert "'int32' is not one of 'uint8', 'uint16', 'uint32', 'uint64'" in capsys.readouterr().err


@pytest.mark.parametrize("line", WRITTEN.values(), ids=WRITTEN)
def test_another_type_is_not_what_was_made_before(line, capsys):
    assert run([*line.split(), "--dtype", "uint32", "-q"]) == 0
    assert run([*line.split(), "--dtype", "uint64", "--resume"]) == 1
    assert "made with other dtype" in capsys.readouterr().err
    assert run([*line.split(), "--dtype", "uint32", "--resume"]) == 0
    assert "is complete already" in capsys.readouterr().err


def test_other_processes_write_the_type_too(files):
    for line in WRITTEN.values():
        assert run([*line.split(), "--dtype", "uint32", "--workers", "1", "-q", "-f"]) == 0
        assert written().dtype == "uint32"
        assert np.array_equal(written(), files)
