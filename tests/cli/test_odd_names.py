"""Names of files, and what files say of themselves, are shown as text, whatever they hold."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from stages.networks import write_model

from mitotools.cli.main import FAILED, run
from mitotools.learn.checkpoint import load_model, save_model, write_tensors
from mitotools.printable import printable
from mitotools.segment.scores.comparison import Comparison
from mitotools.segment.scores.heatmap import HeatSums
from mitotools.segment.scores.overlap import Overlap
from mitotools.stages.scoring.overlap_file import Origin, save_overlap
from mitotools.view.plot_file import POLICY

ODD = "cell\udcff\x1b[31m\n"
SHOWN = r"cell\udcff\x1b[31m\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The same labels as `plain.h5`, and as a file of an odd name."""
    monkeypatch.chdir(tmp_path)
    array = np.zeros((4, 16, 16), "uint8")
    array[1:3, 2:8, 2:8], array[1:3, 10:14, 2:8] = 1, 2
    for name in ("plain", ODD):
        try:
            with h5py.File(f"{name}.h5", "w") as file:
                file["main"] = array
                file["main"].attrs["voxel_size_nm"] = (30.0, 8.0, 8.0)
        except OSError:
            pytest.skip("this file system has no such names")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("日本 é.h5", "日本 é.h5"),
        ("a\tb\r\n", r"a\tb\r\n"),
        ("\x1b]0;title\x07\x9b31m", r"\x1b]0;title\x07\x9b31m"),
        ("gpj.\u202e.h5", r"gpj.\u202e.h5"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_steers_a_terminal_or_ends_a_line_becomes_an_escape(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("words", "page"),
    [
        (["view", "plain.h5", f"{ODD}.h5", "-o", "a.html"], True),
        (["view", "plain.h5", f"{ODD}.h5", "-o", "a.png"], False),
        (["evaluate", f"{ODD}.h5", "plain.h5", "--report", "a.html"], True),
        (["stats", f"{ODD}.h5", "--report", "a.html"], True),
        (["stats", f"{ODD}.h5", "--plot", "a.html"], True),
        (["stats", f"{ODD}.h5", "--plot", "a.png"], False),
    ],
)
def test_a_volume_of_any_name_is_pictured(folder, monkeypatch, words, page):
    monkeypatch.setattr("mitotools.cli.options.command_line", lambda: f"mitotools {ODD}")
    assert run([*words, "-q"]) == 0
    if page:
        assert SHOWN in (folder / "a.html").read_text("utf-8")


@pytest.mark.parametrize("line", ["stats plain.h5 --report", "stats plain.h5 --plot",
                                  "evaluate plain.h5 plain.h5 --report"])  # fmt: skip
def test_reports_and_plots_forbid_what_they_do_not_hold(folder, line):
    assert run([*line.split(), "a.html", "-q"]) == 0
    page = (folder / "a.html").read_text("utf-8")
    head = page[: page.index("<style>")]
    assert f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">' in head
    assert "<script" not in page


def test_tiles_of_a_volume_of_any_name_have_one_that_can_be_printed(folder, capsys):
    assert run(["tile", f"{ODD}.h5", "plan.json", "--size", "4,16,8", "-q"]) == 0
    assert json.loads(Path("plan.json").read_text())["name"] == "cell__[31m_"
    assert run(["info", "plan.json"]) == 0
    assert f"volume\t{SHOWN}.h5\n" in capsys.readouterr().out


def test_a_message_is_one_line_of_text(capsys, monkeypatch):
    # Test processes cannot send each other what pytest would note of the log: such names are no UTF-8.
    monkeypatch.setattr(logging.getLogger("mitotools"), "propagate", False)
    assert run(["info", "no\x1b[31m\nsuch.h5"]) == FAILED
    assert capsys.readouterr().err == r"mitotools info: no\x1b[31m such.h5: no such file or folder." "\n"
    assert run(["tile", f"{ODD}.h5", "plan.json", "--size", "4,16,8"]) == 0
    assert run(["stats", f"{ODD}.h5", "-o", f"{ODD}.tsv"]) == 0
    told = capsys.readouterr().err
    assert "\x1b" not in told
    assert told.count("\n") == 2


def test_what_a_model_says_of_itself_is_a_line_each(folder, capsys):
    network, metadata = load_model(write_model(folder / "m.safetensors"))
    metadata.card["title"] = "red\x1b[31m\nkind\tvolume"
    save_model(folder / "m.safetensors", network, metadata)
    capsys.readouterr()
    assert run(["info", "m.safetensors"]) == 0
    shown = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert (shown["title"], shown["kind"]) == (r"red\x1b[31m\nkind\tvolume", "model")


@pytest.mark.parametrize("form", ["markdown", "table"])
def test_what_a_table_of_overlaps_was_made_of_is_shown_as_text(folder, capsys, form):
    one, none = np.array([1], np.uint64), np.zeros(0, np.uint64)
    comparison = Comparison(Overlap(one, one, np.array([9])), none, none, HeatSums.none())
    save_overlap(folder / "a.overlap", comparison, Origin("a\x1b[31m", "b\nc"), (), force=True)
    assert run(["evaluate", "a.overlap", "--format", form]) == 0
    out = capsys.readouterr().out
    assert r"a\x1b[31m: 1 instances" in out
    assert r"b\nc: 1 instances" in out
    assert "\x1b" not in out


def test_a_dry_run_is_a_table_whatever_its_target_is_called(capsys):
    assert run(["convert", "plain.h5", "a\tb\n.zarr", "--dry-run"]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert dict(zip(header.split("\t"), row.split("\t"), strict=True))["target"] == r"a\tb\n.zarr"


def test_what_is_nested_almost_without_end_is_told_or_is_one_line(folder):
    """900 levels, which can be parsed, but not copied before Python 3.12."""
    network, metadata = load_model(write_model(folder / "m.safetensors"))
    metadata.training["nested"] = "HERE"
    header = {key: text.replace('"HERE"', "[" * 900 + "]" * 900) for key, text in metadata.header().items()}
    write_tensors(folder / "m.safetensors", network.state_dict(), header)
    words = [sys.executable, "-m", "mitotools", "info", "m.safetensors"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if sys.version_info >= (3, 12):
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("training.nested\t\n")
    else:
        assert (done.returncode, done.stdout) == (FAILED, "")
        assert done.stderr.startswith("mitotools info: ")
        assert done.stderr.count("\n") == 1
