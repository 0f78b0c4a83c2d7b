"""What the commands print."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest

from mitotools.cli.main import run


@pytest.fixture
def labels(tmp_path):
    """Two instances: 8 voxels at the corner, 4 at the end, voxels of 30 x 8 x 8 nm."""
    array = np.zeros((4, 6, 8), "uint16")
    array[:2, :2, :2], array[3, 4:, 6:] = 3, 7
    with h5py.File(tmp_path / "labels.h5", "w") as file:
        file["main"] = array
        file["main"].attrs["voxel_size_nm"] = (30.0, 8.0, 8.0)
    return str(tmp_path / "labels.h5")


def test_stats_is_a_table_with_units_in_its_column_names(labels, capsys):
    assert run(["stats", labels]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:12] == [
        "id",
        "voxels",
        "volume_um3",
        "z_min",
        "y_min",
        "x_min",
        "z_max",
        "y_max",
        "x_max",
        "centroid_z_nm",
        "centroid_y_nm",
        "centroid_x_nm",
    ]
    assert lines[1][:2] == ["3", "8"]
    assert float(lines[1][2]) == pytest.approx(8 * 30 * 8 * 8 / 1e9)
    assert lines[1][3:9] == ["0", "0", "0", "2", "2", "2"]
    assert [float(word) for word in lines[1][9:12]] == [15, 4, 4]
    assert lines[2][:2] == ["7", "4"]
    assert [float(word) for word in lines[2][9:12]] == [90, 36, 52]


def test_stats_leaves_physical_columns_empty_where_the_voxel_size_is_unknown(labels, capsys):
    with h5py.File(labels, "r+") as file:
        del file["main"].attrs["voxel_size_nm"]
    assert run(["stats", labels]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1].startswith("3\t8\t\t0\t0\t0\t2\t2\t2\t\t\t\t")
    assert printed.err.count("voxel size is unknown") == 1


def test_tile_says_how_many_tiles_of_which_size_there_are(labels, tmp_path, capsys):
    plan = tmp_path / "plan.json"
    assert run(["tile", labels, str(plan), "--size", "2,6,4"]) == 0
    assert capsys.readouterr().err == f"mitotools tile: {plan}: 4 tiles of 2 x 6 x 4 voxels, of 4 x 6 x 8\n"


def test_evaluate_prints_json_as_the_contract_says(labels, capsys):
    assert run(["evaluate", labels, labels, "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report) == [
        "protocol", "iou", "sizes", "min_truth_size", "score", "error_thresholds", "prediction", "truth",
        "ap", "detection", "foreground", "voi", "adapted_rand_error", "errors", "history",
    ]  # fmt: skip
    assert report["prediction"] == {"path": labels, "instances": 2, "voxels": 12}
    assert report["ap"]["0.75"] == {
        "all": pytest.approx(1),
        "small": pytest.approx(1),
        "medium": None,
        "large": None,
    }
    assert report["detection"]["0.75"]["all"]["tp"] == 2
    assert report["foreground"] == {"jaccard": 1, "dice": 1, "precision": 1, "recall": 1}
    assert report["history"][-1]["parameters"]["protocol"] == "paper"


def test_evaluate_adds_a_threshold_outside_the_ten(labels, capsys):
    assert (
        run(["evaluate", labels, labels, "--iou", "0.77", "--iou", "0.5:0.6:0.05", "--format", "json"]) == 0
    )
    report = json.loads(capsys.readouterr().out)
    assert "0.77" in report["ap"]
    assert list(report["detection"]) == ["0.77", "0.50", "0.55", "0.60"]


def test_evaluate_prints_tsv_where_there_is_no_terminal(labels, capsys):
    assert run(["evaluate", labels, labels]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "score\tsmall\tmedium\tlarge\tall"
    assert lines[1].split("\t") == ["AP 0.75", "1.0", "-1", "-1", "1.0"]
    assert lines[-2:] == [
        "protocol paper, voxels up to\t5000\t15000\t\t",
        "truth left out under voxels\t\t\t\t0",
    ]


def test_evaluate_names_the_protocol_and_what_was_left_out_in_tsv_too(labels, capsys):
    line = f"evaluate {labels} {labels} --protocol challenge2021 --min-truth-size 5 --ignore-border"
    assert run([*line.split(), "--ignore", labels]) == 0
    lines = capsys.readouterr().out.splitlines()
    # The one truth of at least 5 voxels is ignored, with the other 4 voxels, as all that is no background.
    assert lines[-5:] == [
        "protocol challenge2021, voxels up to\t5000\t30000\t\t",
        "truth left out under voxels\t\t\t\t5",
        "ignored voxels\t\t\t\t12",
        "prediction left out at the border\t\t\t\t0",
        "truth left out at the border\t\t\t\t0",
    ]
    assert lines[1] == "AP 0.75\t-1\t-1\t-1\t-1"


def test_evaluate_prints_markdown(labels, capsys):
    assert run(["evaluate", labels, labels, "--format", "markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "labels.h5: 2 instances, 12 voxels" in lines[0]
    assert "| AP 0.75 | 1.000 | -1 | -1 | 1.000 |" in lines


def test_evaluate_prints_a_table_with_both_names_on_a_terminal(labels):
    shown = on_a_terminal(["evaluate", labels, labels])
    assert shown.count("labels.h5: 2 instances") == 2
    heading = next(line for line in shown.splitlines() if "Small" in line)
    assert heading.split() == ["Small", "Medium", "Large", "All"]
    assert "protocol   paper: small up to 5000 voxels" in shown


def test_a_pipe_out_is_refused_on_a_terminal(labels):
    assert "standard output is a terminal" in on_a_terminal(["convert", labels, "-"])


def test_info_shows_a_volume_and_its_history(labels, tmp_path, capsys):
    target = str(tmp_path / "copy.zarr")
    assert run(["convert", labels, target, "--dtype", "uint32"]) == 0
    assert run(["info", target]) == 0
    shown = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert shown["shape"] == "4 6 8"
    assert shown["dtype"] == "uint32"
    assert shown["voxel_size_nm"] == "30.0 8.0 8.0"
    assert run(["info", target, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)["history"][0]
    assert set(record) == {"command_line", "version", "time_utc", "parameters", "inputs"}
    assert record["parameters"]["dtype"] == "uint32"
    assert record["inputs"][0]["path"] == labels
    assert record["inputs"][0]["shape"] == [4, 6, 8]
    assert len(record["inputs"][0]["fingerprint"]) == 16


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("", "no voxel is foreground with --foreground 0.8; the largest mask value is 0.78"),
        ("--foreground 0.5", "no voxel is a seed with --seed-foreground 0.85 and --seed-contour 0.6"),
        ("--foreground 0.5 --seed-foreground 0.7", "no voxel is a seed with --seed-foreground 0.7 and"),
        (
            "--foreground 0.5 --seed-foreground 0.7 --seed-contour 0.8 --min-seed 121",
            "no seed has --min-seed 121",
        ),
        (
            "--foreground 0.5 --seed-foreground 0.7 --seed-contour 0.8 --min-seed 9",
            "no instance has --min-size 1024 voxels",
        ),
        ("--method cc", "no voxel is left by --foreground 0.8 and --seed-contour 0.6"),
        ("--method cc --foreground 0.5 --seed-contour 0.8", "no instance has --min-size 1024 voxels"),
    ],
)
def test_decode_says_which_threshold_leaves_no_instance(tmp_path, capsys, options, why):
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file["main"] = np.full((2, 4, 5, 6), 200, "uint8")
    assert run(["decode", str(tmp_path / "maps.h5"), str(tmp_path / "labels.h5"), *options.split()]) == 0
    assert f"warning: no instance: {why}" in capsys.readouterr().err
    with h5py.File(tmp_path / "labels.h5") as file:
        assert not file["main"][:].any()


def test_quiet_says_nothing(labels, tmp_path, capsys):
    assert run(["filter", labels, str(tmp_path / "out.h5"), "--min-size", "5", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_program_without_arguments_shows_its_help(capsys):
    assert run([]) == 2
    assert "Commands:" in capsys.readouterr().err


def on_a_terminal(arguments, columns=120):
    """Run a command in a pseudo-terminal and return all that it shows."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mitotools", *arguments], stdout=follower, stderr=follower, stdin=follower,
        env={**os.environ, "COLUMNS": str(columns)},
    )  # fmt: skip
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 4096)
        except OSError:  # how Linux says that the other end is closed
            piece = b""
        if not piece:
            break
        shown += piece
    process.wait()
    os.close(leader)
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).replace("\r", "")
