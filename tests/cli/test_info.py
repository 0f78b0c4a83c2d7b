"""`mitotools info` of all that commands write."""

from __future__ import annotations

import time

import h5py
import numpy as np
import pytest
from stages.networks import write_model

from mitotools.cli.main import run
from mitotools.cli.reporting import LINE_EVERY_S, running_of
from mitotools.stages.training.log import TrainingLog


@pytest.fixture(autouse=True)
def labels(tmp_path, monkeypatch):
    """Two instances, of 8 voxels and of 4, in labels.h5."""
    monkeypatch.chdir(tmp_path)
    array = np.zeros((4, 6, 8), "uint16")
    array[:2, :2, :2], array[3, 4:, 6:] = 3, 7
    with h5py.File("labels.h5", "w") as file:
        file["main"] = array
        file["main"].attrs["voxel_size_nm"] = (30.0, 8.0, 8.0)


def made(*words):
    assert run([*words, "-q"]) == 0


def described(name, capsys):
    """Return what `info` prints of a file, by key."""
    capsys.readouterr()
    assert run(["info", name]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header == "key\tvalue"
    return dict(line.split("\t") for line in lines)


def commands(name, capsys):
    """Return the commands, without `mitotools`, that `info --history` prints of a file."""
    capsys.readouterr()
    assert run(["info", name, "--history"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header == "time_utc\tversion\tcommand_line"
    return [line.split("\t")[2] for line in lines]


@pytest.fixture
def as_command(monkeypatch):
    """Let what runs in this process have the command line that it was given."""
    monkeypatch.setattr("mitotools.cli.options.command_line", lambda: "mitotools made it")
    return ["mitotools made it"]


@pytest.mark.parametrize("suffix", ["tsv", "csv", "json", "parquet"])
def test_a_table_has_rows_columns_and_a_history(capsys, as_command, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    name = f"sizes.{suffix}"
    made("stats", "labels.h5", "-o", name)
    shown = described(name, capsys)
    assert (shown["kind"], shown["rows"]) == ("table", "2")
    assert shown["columns"].startswith("id voxels volume_um3 ")
    assert commands(name, capsys) == as_command


def test_a_report_says_what_was_compared_and_how(capsys, as_command, tmp_path):
    assert run(["evaluate", "labels.h5", "labels.h5", "--format", "json"]) == 0
    (tmp_path / "scores.json").write_text(capsys.readouterr().out)
    shown = described("scores.json", capsys)
    assert (shown["kind"], shown["protocol"]) == ("report", "paper")
    assert shown["prediction"] == shown["truth"] == str(tmp_path / "labels.h5")
    assert commands("scores.json", capsys) == as_command


def test_a_report_of_several_volumes_names_them_all(capsys, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.h5").write_bytes((tmp_path / "labels.h5").read_bytes())
        capsys.readouterr()
        assert run(["evaluate", f"{name}.h5", "labels.h5", "--format", "json"]) == 0
        (tmp_path / f"{name}.json").write_text(capsys.readouterr().out)
    assert run(["evaluate", "--combine", "a.json", "b.json", "--format", "json"]) == 0
    (tmp_path / "all.json").write_text(capsys.readouterr().out)
    assert described("all.json", capsys)["prediction"] == f"{tmp_path}/a.h5 {tmp_path}/b.h5"


def test_what_evaluate_writes_is_told_apart(capsys, as_command, tmp_path):
    made("evaluate", "labels.h5", "labels.h5", "--save-overlap", "both.overlap", "--matches", "m.tsv")
    shown = described("both.overlap", capsys)
    assert (shown["kind"], shown["overlaps"]) == ("overlap", "3")  # of the background with itself too
    assert shown["prediction"] == str(tmp_path / "labels.h5")
    assert commands("both.overlap", capsys) == as_command
    assert described("m.tsv", capsys)["rows"] == "2"
    assert commands("m.tsv", capsys) == as_command


@pytest.mark.parametrize(("name", "kind"), [("sizes.png", "picture"), ("sizes.html", "page")])
def test_a_plot_has_the_history_beside_it(capsys, as_command, name, kind):
    made("stats", "labels.h5", "--plot", name)
    assert described(name, capsys)["kind"] == kind
    assert commands(name, capsys) == as_command


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("view labels.h5 labels.h5 -o seen.png", "picture"),
        ("view labels.h5 labels.h5 -o seen.html", "page"),
        ("evaluate labels.h5 labels.h5 --report seen.html", "page"),
        ("stats labels.h5 --report seen.html", "page"),
    ],
)
def test_what_is_looked_at_has_its_history_beside_it(capsys, as_command, words, kind):
    made(*words.split())
    file = words.split()[-1]
    assert described(file, capsys)["kind"] == kind
    assert commands(file, capsys) == as_command


def test_meshes_are_counted(capsys, as_command):
    made("stats", "labels.h5", "--mesh", "meshes")
    assert described("meshes", capsys) == {"kind": "meshes", "files": "2"}
    assert commands("meshes", capsys) == as_command


@pytest.mark.parametrize("name", ["model.foo", "model", "model.h5"])
def test_a_model_is_known_by_its_content_whatever_its_name(capsys, tmp_path, name):
    write_model(tmp_path / name)
    assert described(name, capsys)["architecture"] == "residual-unet"
    assert commands(name, capsys) == ["mitotools train"]


def test_the_tables_of_a_training_have_its_history(capsys, tmp_path):
    record = {"command_line": "mitotools train", "version": "1", "time_utc": "now"}
    with TrainingLog(tmp_path / "log", records=(record,)) as log:
        log.trained({"iteration": 1, "loss": 0.5})
        log.validated({"iteration": 1, "ap75": 0.25, "jaccard": 0.5})
    assert described("log/training.tsv", capsys)["columns"] == "iteration loss"
    assert commands("log/training.tsv", capsys) == ["mitotools train"]
    assert commands("log/validation.tsv", capsys) == ["mitotools train"]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("no.foo", b"", "unknown suffix '.foo'"),
        ("no.json", b"{}", "is not a plan"),
        ("no.json", b"\xb3", "is not a plan"),
        ("no.json", b'{"protocol": 1, "history": 2, "truth": 3}', "is not a report"),
        ("no.json", b'[{"id": 1}, 2]', "row 2: is no object with columns"),
        ("no.tsv", b"", "has no header"),
        ("no.zip", b"PK\5\6" + bytes(18), "is no table of overlaps"),
        ("no.safetensors", b"", "is not a mitotools model"),
    ],
)
def test_what_is_none_of_these_is_refused_in_one_line(capsys, tmp_path, name, content, why):
    (tmp_path / name).write_bytes(content)
    assert run(["info", name]) == 1
    words = capsys.readouterr().err
    assert why in words
    assert words.count("\n") == 1


@pytest.mark.parametrize("command", ["info labels.h5", "doctor"])
def test_options_that_all_commands_have_may_be_passed_on(capsys, command):
    line = f"{command} -q -v -f -t 2 --memory 2G --no-progress"
    assert run(line.split()) == 0
    assert capsys.readouterr().err == ""
    assert run([*command.split(), "--memory", "much"]) == 2
    assert "'much' is no amount of memory" in capsys.readouterr().err


def test_the_state_of_a_computation_is_a_line_a_minute_where_there_is_no_terminal(capsys, monkeypatch):
    from mitotools.cli.reporting import configure

    configure("train", quiet=False, verbose=False)
    status = running_of(1, None, "", force=False, show_progress=True).status
    for seconds in (0, LINE_EVERY_S - 1, LINE_EVERY_S + 1, 2 * LINE_EVERY_S):
        monkeypatch.setattr(time, "monotonic", lambda now=seconds: 1000.0 + now)
        status(f"after {seconds:.0f} s")
    assert LINE_EVERY_S == 60
    assert capsys.readouterr().err == "mitotools train: after 0 s\nmitotools train: after 61 s\n"
