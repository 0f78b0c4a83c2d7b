"""What filter and stats say of labels that are none, or not what they expect."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from mitotools.cli.main import run


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(name, array, voxel_size=(30.0, 8.0, 8.0)):
    with h5py.File(name, "w") as file:
        file["main"] = array
        if voxel_size:
            file["main"].attrs["voxel_size_nm"] = voxel_size


def said(capsys, *arguments, status=1):
    capsys.readouterr()
    assert run(list(arguments)) == status
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["stats"], ["filter"], ["filter", "--dilate", "1"], ["filter", "--split"]]
)
@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.array([[[0, -3, 2]]], "int16"), "holds the negative id -3. Ids are 0 and above."),
        (
            np.zeros((1, 1, 3), "float32"),
            "expected integer labels, found float32. Run 'mitotools decode' first.",
        ),
    ],
)
def test_labels_that_are_none_are_refused_and_nothing_is_written(tmp_path, capsys, command, array, why):
    written("a.h5", array)
    line = [command[0], "a.h5", *(["out.h5"] if command[0] == "filter" else ["-o", "out.tsv"]), *command[1:]]
    words = said(capsys, *line)
    assert words.startswith(f"mitotools {command[0]}: a.h5: ")
    assert words.endswith(f"{why}\n")
    assert words.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["a.h5"]


def test_negative_ids_of_hosts_are_said_with_the_name_of_their_file(capsys):
    written("a.h5", np.array([[[0, 3, 2]]], "uint8"))
    written("cells.h5", np.array([[[1, 1, -4]]], "int16"))
    said_of = "mitotools stats: cells.h5: holds the negative id -4. Ids are 0 and above.\n"
    assert said(capsys, "stats", "a.h5", "--within", "cells.h5", "-q") == said_of


def test_ids_that_fit_a_smaller_type_take_it_and_no_id_is_too_large_for_its_type():
    written("a.h5", np.array([[[300, 70000, 2**64 - 1]]], "uint64"))
    for options, dtype, ids in (
        ([], "uint64", [300, 70000, 2**64 - 1]),
        (["--relabel"], "uint8", [1, 2, 3]),
        (["--where", "id < 1000"], "uint16", [300, 0, 0]),
    ):
        assert run(["filter", "a.h5", "b.h5", "-qf", *options]) == 0
        with h5py.File("b.h5") as file:
            assert file["main"].dtype == dtype
            assert file["main"][0, 0].tolist() == ids


def test_256_instances_are_too_many_for_a_byte(tmp_path):
    written("a.h5", np.arange(1, 257, dtype="uint32").reshape(1, 16, 16) * 9)
    assert run(["filter", "a.h5", "b.h5", "-q", "--relabel"]) == 0
    with h5py.File("b.h5") as file:
        assert file["main"].dtype == "uint16"
        assert file["main"][:].max() == 256


def test_pieces_beyond_the_largest_id_of_all_are_refused(capsys):
    written("a.h5", np.array([[[2**64 - 1, 0, 2**64 - 1]]], "uint64"))
    assert said(capsys, "filter", "a.h5", "b.h5", "--split") == (
        f"mitotools filter: labels: the id {2**64} does not fit 64 bits without sign. Relabel them.\n"
    )


def test_a_volume_of_background_is_a_header_and_no_row(capsys):
    written("a.h5", np.zeros((2, 3, 4), "uint8"))
    assert run(["stats", "a.h5", "-q"]) == 0
    (header,) = capsys.readouterr().out.splitlines()
    assert header.startswith("id\tvoxels\tvolume_um3\t")
    assert header.endswith("\tneighbours\tcontact_um2")
    assert "\tnearest_nm\t" in header


def test_an_unknown_voxel_size_is_said_once_and_its_columns_are_empty(capsys):
    written("a.h5", np.array([[[1, 1, 2]]], "uint8"), voxel_size=None)
    assert run(["stats", "a.h5"]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("the voxel size is unknown") == 1
    header, *rows = (line.split("\t") for line in printed.out.splitlines())
    for row in rows:
        known = dict(zip(header, row, strict=True))
        assert known["neighbours"] == "1"
        assert {name for name, value in known.items() if not value} == {
            name for name in header if name.endswith(("_nm", "_um2", "_um3"))
        } | {"elongation", "flatness", "sphericity", "complexity_index"}


def test_the_only_instance_has_an_empty_field_for_the_nearest(capsys):
    written("a.h5", np.array([[[1, 1, 0]]], "uint8"))
    assert run(["stats", "a.h5", "-q"]) == 0
    header, row = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert dict(zip(header, row, strict=True))["nearest_nm"] == ""


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_grey_values_that_are_no_integers_are_refused_with_what_makes_them_some(capsys, dtype):
    written("a.h5", np.array([[[1, 1, 0]]], "uint8"))
    written("raw.h5", np.array([[[0.5, 2, 7]]], dtype))
    assert said(capsys, "stats", "a.h5", "--raw", "raw.h5").endswith(
        f"expected grey values in integers of 8 or 16 bits, found {dtype}. "
        "Run 'mitotools convert --clip 0,100' first.\n"
    )
    assert run(["convert", "raw.h5", "grey.h5", "--clip", "0,100", "-q"]) == 0
    assert run(["stats", "a.h5", "--raw", "grey.h5", "-q"]) == 0


def test_volumes_of_other_shapes_are_refused_with_the_crop_that_fits(capsys):
    written("a.h5", np.ones((2, 3, 4), "uint8"))
    written("raw.h5", np.ones((5, 3, 4), "uint8"))
    words = said(capsys, "stats", "a.h5", "--raw", "raw.h5")
    assert "have different shapes, (2, 3, 4) and (5, 3, 4)" in words
    assert "[0:2,:,:] would fit" in words
