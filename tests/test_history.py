"""How a file came to be."""

from __future__ import annotations

import json
import os
import re

import pytest

from mitotools import __version__
from mitotools.history import (
    Input,
    differences,
    extended,
    fingerprint,
    from_json,
    from_records,
    read_sidecar,
    sidecar,
    to_json,
    united,
    write_sidecar,
)

RAW = {"command_line": "mitotools convert", "inputs": []}
MODEL = {"command_line": "mitotools train", "inputs": []}
FINGERPRINT = "0123456789abcdef"  # eight digits of sizes, eight of the rest


def test_what_a_command_did_follows_what_was_done_to_its_inputs(tmp_path):
    (tmp_path / "maps.h5").write_text("maps")
    maps = Input(str(tmp_path / "maps.h5"), (2, 4, 5, 6), "uint8", (RAW, MODEL))
    history = extended([maps], "mitotools decode maps.h5 labels.h5", {"seed": 0.85})
    assert history[:2] == (RAW, MODEL)
    record = history[2]
    assert record["command_line"] == "mitotools decode maps.h5 labels.h5"
    assert record["version"] == __version__
    assert record["parameters"] == {"seed": 0.85}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record["time_utc"])
    assert record["inputs"] == [
        {"path": maps.path, "shape": [2, 4, 5, 6], "dtype": "uint8", "fingerprint": fingerprint(maps)}
    ]
    assert from_json(to_json(history)) == history


def test_an_ancestor_that_inputs_share_stands_once():
    assert united([(RAW, MODEL), (RAW,), (), (MODEL, RAW)]) == (RAW, MODEL)
    reordered = dict(reversed(RAW.items()))
    assert united([(RAW,), (reordered,)]) == (RAW,)


def test_a_fingerprint_changes_with_the_file_and_with_what_is_known_of_it(tmp_path):
    file = tmp_path / "v.h5"
    file.write_text("one")
    os.utime(file, ns=(0, 1000))
    first = Input(str(file), (1, 2, 3), "uint8", (RAW,))
    prints = {
        fingerprint(first),
        fingerprint(Input(str(file), (1, 2, 3), "uint8")),
        fingerprint(Input(str(file))),
    }
    os.utime(file, ns=(0, 2000))
    prints.add(fingerprint(first))
    file.write_text("longer")
    os.utime(file, ns=(0, 1000))
    prints.add(fingerprint(first))
    assert len(prints) == 5
    assert all(re.fullmatch("[0-9a-f]{16}", text) for text in prints)
    file.write_text("one")
    os.utime(file, ns=(0, 1000))
    assert fingerprint(first) in prints


def test_the_fingerprint_of_many_files_changes_with_each_and_with_their_order(tmp_path):
    files = [tmp_path / name for name in ("a.png", "b.png")]
    for file in files:
        file.write_text("same")
        os.utime(file, ns=(0, 1000))
    prints = {fingerprint(Input(str(tmp_path), files=some)) for some in (files, files[:1], files[::-1])}
    os.utime(files[1], ns=(0, 2000))
    prints.add(fingerprint(Input(str(tmp_path), files=files)))
    assert len(prints) == 4


def test_the_first_half_of_a_fingerprint_is_kept_by_a_copy(tmp_path):
    for name, text, time in (("a", "same", 1000), ("b", "same", 2000), ("c", "other", 1000)):
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, ns=(0, time))
    a, b, c = (fingerprint(Input(str(tmp_path / name))) for name in "abc")
    assert a[:8] == b[:8] != c[:8]
    assert a[8:] != b[8:]


def test_what_of_a_file_was_read_is_said_where_it_was_asked_for():
    (record,) = extended([Input("v.h5", dataset="raw", crop="[0]")], "", {})
    (entry,) = record["inputs"]
    assert {key: entry[key] for key in ("path", "dataset", "crop")} == {
        "path": "v.h5",
        "dataset": "raw",
        "crop": "[0]",
    }
    assert "root" not in entry


def read_as(**facts):
    return ({"parameters": {}, "inputs": [{"path": "/a/v.h5", "fingerprint": FINGERPRINT, **facts}]},)


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        ({}, []),
        ({"dataset": "raw"}, ["dataset of /a/v.h5"]),
        ({"dataset": "raw", "crop": "[0]"}, ["dataset and crop of /a/v.h5"]),
        ({"root": "/images", "fingerprint": "f" * 16}, ["root of /a/v.h5"]),
        ({"fingerprint": "01234567" + "f" * 8}, ["/a/v.h5"]),
        ({"path": "/b/v.h5", "crop": "[0]"}, ["/b/v.h5"]),
    ],
)
def test_an_input_that_differs_is_named_and_what_of_it(facts, names):
    assert differences(read_as(), read_as(**facts)) == names
    called = [name.replace("/a/v.h5", "volume").replace("/b/v.h5", "volume") for name in names]
    assert differences(read_as(), read_as(**facts), ["volume"]) == called


@pytest.mark.parametrize(
    ("facts", "is_same"),
    [
        ({"path": "/b/v.h5"}, True),
        ({"path": "/b/v.h5", "fingerprint": "01234567" + "f" * 8, "root": "/b"}, True),
        ({"path": "/b/v.h5", "fingerprint": "f" * 8 + "89abcdef"}, False),  # of another size
        ({"path": "/b/v.h5", "crop": "[0]"}, False),
        ({"fingerprint": "01234567" + "f" * 8}, False),  # the same file, written anew
    ],
)
def test_a_copy_elsewhere_is_the_same_input_where_that_is_asked(facts, is_same):
    assert bool(differences(read_as(), read_as(**facts), or_copies=True)) is not is_same
    assert differences(read_as(), read_as(**facts))


def test_a_file_that_is_gone_has_a_fingerprint_all_the_same():
    assert len(fingerprint(Input("/nowhere/at/all"))) == 16


@pytest.mark.parametrize(
    "text", [None, "", "words", "5", "{}", "null", b"\xff", "[" * 10**5, "[1, [], null]"]
)
def test_what_is_no_history_is_none(text):
    assert from_json(text) == ()


def test_records_among_other_things_are_kept():
    broken = [
        {"inputs": ["raw.h5"]},
        {"inputs": 1},
        {"inputs": [{}]},
        {"parameters": [1]},
        {"parameters": None},
    ]
    assert from_records([1, RAW, "words", *broken, MODEL]) == (RAW, MODEL)


def test_a_sidecar_lies_beside_its_file_and_reads_back(tmp_path):
    file = tmp_path / "v.tif"
    assert read_sidecar(file) == ()
    write_sidecar(file, (RAW, MODEL))
    assert sidecar(file) == tmp_path / "v.tif.history.json"
    assert json.loads(sidecar(file).read_text()) == [RAW, MODEL]
    assert read_sidecar(file) == (RAW, MODEL)


@pytest.mark.parametrize("content", [b"words", b"\xff\xfe", b""])
def test_a_sidecar_of_somebody_else_is_no_history(tmp_path, content):
    sidecar(tmp_path / "v.tif").write_bytes(content)
    assert read_sidecar(tmp_path / "v.tif") == ()
