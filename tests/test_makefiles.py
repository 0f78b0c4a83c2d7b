"""The Makefiles of the papers' tables, end to end on small stand-ins for the data."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import h5py
import pytest
from command_lines import command_lines

from mitotools.cli.main import mitotools

EXAMPLES = Path(__file__).parent.parent / "examples"
QUICK = "--iterations 2 --patch 16,32,32 --batch 4 --set filters=4,4,4,4,4 --set loaders=0"
TARGETS = {
    "lucchi": ("table1",),
    "mitoem": ("table2", "table3", "update2021", "grid", "figure1", "figure3", "submission"),
}
SMALL = {
    "lucchi": ("SIZE=24 96 96",),
    "mitoem": (
        "TRAINED=0:16", "SCORED=16:24", "SECRET=24:32",
        "IMAGES=32 96 96", "LABELS=24 96 96", "SUBMITTED=8 96 96",
    ),
}  # fmt: skip

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def make(tmp_path, commands):
    """Return a function that makes a target of an example, and returns what is printed."""
    environment = commands.environment

    def run(name, *words, status=0):
        if name in SMALL and not (tmp_path / name).exists():
            script = [sys.executable, EXAMPLES / "miniature.py", name, tmp_path / name]
            subprocess.run(script, check=True, env=environment)
        variables = [
            f"DATA={tmp_path / name}", f"OUT={tmp_path / 'out'}", f"PYTHON={sys.executable}",
            f"TRAIN={QUICK}", "PREDICT=--backend torch", "DECODE=--min-size 10", "DECODE_mw=--foreground 0.1",
            *SMALL.get(name, ()),
        ]  # fmt: skip
        how = {"cwd": EXAMPLES / name, "env": environment, "capture_output": True, "text": True}
        result = subprocess.run(["make", "-j2", *variables, *words], check=False, **how)
        assert result.returncode == status, result.stderr
        return result.stdout + result.stderr if status else result.stdout

    return run


@pytest.mark.parametrize(("name", "target"), [(name, one) for name, ones in TARGETS.items() for one in ones])
def test_every_command_that_a_target_would_run_parses(make, name, target):
    found = list(command_lines(make(name, "-n", target)))
    assert found
    context = click.Context(mitotools, info_name="mitotools")
    for words in found:
        mitotools.get_command(context, words[0]).make_context(words[0], words[1:], parent=context)


@pytest.mark.parametrize("name", list(TARGETS))
def test_files_that_are_missing_or_of_another_size_are_named(make, tmp_path, name):
    assert make(name, "check").count(": ok\n") == 4
    missing = sorted((tmp_path / name).iterdir())[0]
    shutil.move(missing, tmp_path / "elsewhere")
    told = make(name, "check", status=2)
    assert f"{missing}: " in told
    assert f"{missing}: ok" not in told


@pytest.mark.slow
def test_table_1_has_all_rows_beside_the_published_ones(make, tmp_path):
    table = [line.split("|") for line in make("lucchi", "table1").splitlines() if line.startswith("|")]
    rows = {title.strip(): [cell.strip() for cell in cells] for _, title, *cells in table}
    assert rows["U3D-BC + MW"][0] == ".812"
    assert rows["U3D-BC + MW"][2] == ".887"
    assert rows["FFN"][:2] == [".230", ""]  # which is not ours
    for title in (
        "U3D-A + waterz",
        "U2D-B + IoU tracking",
        "U2D-B + MC",
        "U3D-B + CC",
        "truth, eroded by a voxel",
    ):
        assert re.match(r"\.\d{3}", rows[title][1])
    assert float(rows["truth, dilated by a voxel"][3]) > 0.7
    again = make("lucchi", "table1").splitlines()
    assert len(again) == len(table)  # and nothing is computed twice


@pytest.mark.slow
def test_the_tables_and_figures_of_mitoem_are_made(make, tmp_path):
    # The other rows differ from these, and from those of Lucchi's table, in a word each: they parse.
    # All targets at once, as they share models and maps.
    rows = [f"{table}=u3d-bc+mw" for table in ("TABLE2", "TABLE3", "UPDATE")]
    make("mitoem", *rows, *TARGETS["mitoem"])
    table2, table3, update2021, grid = (
        (tmp_path / "out" / name).read_text()
        for name in ("table2.md", "table3.md", "update2021.md", "grid.tsv")
    )
    assert "| U3D-BC + MW | .489 |" in table2
    assert len(table2.splitlines()[-1].split("|")) == 2 + 1 + 16
    assert "| U3D-BC of the other tissue + MW | .587 |" in table3
    assert "| .810 |" in update2021
    assert grid.count("\n") > 21
    for name in ("figure3.html", "figure1_small", "figure1_large"):
        assert (tmp_path / "out" / name).exists()
    for name in ("0_human_instance_seg_pred.h5", "1_rat_instance_seg_pred.h5"):
        with h5py.File(tmp_path / "out" / name) as file:
            assert list(file) == ["main"]
            assert file["main"].shape == (8, 96, 96)


@pytest.fixture
def proofread(tmp_path, make):
    """Return a function that makes targets of the loop, on the sample and a model without training."""
    from stages.networks import write_model

    write_model(tmp_path / "model.safetensors", patch=(16, 32, 32), voxel_size_nm=(10.0, 10.0, 10.0))
    raw = EXAMPLES / "data" / "medulla_test.h5"
    with h5py.File(raw) as file, h5py.File(tmp_path / "raw.h5", "w") as target:
        target["main"] = file["raw"][:32, :96, :96]
        target["main"].attrs["voxel_size_nm"] = [10.0, 10.0, 10.0]
    words = [
        f"RAW={tmp_path / 'raw.h5'}", f"MODEL={tmp_path / 'model.safetensors'}", f"OUT={tmp_path / 'out'}",
        f"EDITS={tmp_path / 'edits.txt'}", "COUNT=3", "TRAIN=--iterations 1 --patch 8,32,32",
        "DECODE=--foreground 0.3 --seed-foreground 0.4 --seed-contour 0.9 --min-size 10 --min-seed 1",
    ]  # fmt: skip
    return lambda *targets: make("proofread", *words, *targets)


@pytest.mark.slow
def test_suspects_are_shown_and_what_is_put_right_is_learnt(proofread, tmp_path):
    header, *suspects = [line.split("\t") for line in proofread("suspects").splitlines() if "\t" in line]
    assert header == ["id", "z", "why", "voxels", "score"]
    assert len(suspects) == 3
    assert {row[2] for row in suspects} <= {"large", "small", "thin or unsure neck"}
    assert (
        f'"rows":[[{min(int(row[0]) for row in suspects)},'
        in (tmp_path / "out" / "suspects.html").read_text()
    )
    (tmp_path / "edits.txt").write_text(f"delete {suspects[0][0]}  # no mitochondrion\n")
    proofread("model")
    with h5py.File(tmp_path / "out" / "corrected.h5") as file:
        assert int(suspects[0][0]) not in file["main"][:]
    first = (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns
    (tmp_path / "edits.txt").write_text(f"delete {suspects[0][0]} {suspects[1][0]}\n")
    proofread("model")
    with h5py.File(tmp_path / "out" / "corrected.h5") as file:
        assert int(suspects[1][0]) not in file["main"][:]
    assert (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns > first


def test_the_loop_begins_with_the_model_that_comes_along_and_says_where_edits_belong(make, tmp_path):
    words = [f"OUT={tmp_path}", f"EDITS={tmp_path / 'edits.txt'}", f"RAW={tmp_path / 'raw.h5'}"]
    (tmp_path / "raw.h5").touch()
    assert " -m bundled --resume" in make("proofread", "-n", *words, "suspects")
    (tmp_path / "labels.h5").touch()
    asked = ("-o", f"{tmp_path / 'labels.h5'}", "corrected")
    assert f"Write {tmp_path / 'edits.txt'} first" in make("proofread", *words, *asked, status=2)


def test_an_instance_is_as_suspicious_as_the_rarest_thing_about_it(tmp_path):
    stats = "id\tvoxels\tz_min\tz_max\ttouches_border\n"
    rows = [(1, 100, "false"), (2, 5, "true"), (3, 90, "false"), (4, 110, "false"), (5, 9000, "false")]
    stats += "".join(f"{number}\t{voxels}\t0\t4\t{cut}\n" for number, voxels, cut in rows)
    (tmp_path / "stats.tsv").write_text(stats)
    (tmp_path / "scores.tsv").write_text("id\tscore\n1\t.9\n2\t.9\n3\t.8\n4\t.1\n5\t.95\n")
    script = EXAMPLES / "proofread" / "suspects.py"
    words = [sys.executable, script, "stats.tsv", "scores.tsv", "3"]
    told = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    # 5 is the largest of five, 4 has the lowest score of five, and 3 is the smallest of four that are whole.
    assert told.splitlines()[1:] == [
        "5\t2\tlarge\t9000\t.95",
        "4\t2\tthin or unsure neck\t110\t.1",
        "3\t2\tsmall\t90\t.8",
    ]
