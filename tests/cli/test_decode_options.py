"""Options of decoders: given, from a file, in tune's grid; and what a method does not read is refused."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from map_phantoms import mask_contour_maps, phantom_truth

from mitotools.cli.decode_options import SETTINGS, read_config, written_config, written_options
from mitotools.cli.main import run
from mitotools.errors import InputError
from mitotools.parameters import AFFINITY_OFFSETS, DecodeParameters
from mitotools.segment.decoders import DECODERS
from mitotools.segment.decoders.watershed import decode


@pytest.fixture(scope="module")
def phantom():
    truth = phantom_truth(1)
    return mask_contour_maps(truth)[:, :20, :64, :64], truth[:20, :64, :64]


@pytest.fixture
def folder(tmp_path, monkeypatch, phantom):
    monkeypatch.chdir(tmp_path)
    write("maps.h5", phantom[0])
    write("truth.h5", phantom[1])
    return tmp_path


def write(name, array):
    with h5py.File(name, "w") as file:
        file["main"] = array


def voxels(name):
    with h5py.File(name) as file:
        return file["main"][:]


def history_of(name):
    with h5py.File(name) as file:
        return json.loads(file["main"].attrs["history"])


def parameters_of(name):
    return history_of(name)[-1]["parameters"]


def test_every_parameter_has_an_option_and_every_method_reads_known_ones():
    fields = {entry.field for entry in SETTINGS}
    assert fields == set(DecodeParameters.__dataclass_fields__) - {"method"}
    assert {field for entry in DECODERS for field in entry.options} == fields


@pytest.mark.parametrize("method", [entry.name for entry in DECODERS])
def test_a_file_of_options_is_read_as_it_was_written(tmp_path, method):
    parameters = DecodeParameters(
        method,
        seed_contour=0.55,
        min_size_voxels=7,
        affinity_offsets=((-1, 0, 0), (0, -3, 4)),
        scoring="quantile-50",
    )
    (tmp_path / "best.toml").write_text(written_config(parameters))
    known = next(entry for entry in DECODERS if entry.name == method).options
    expected = {field: getattr(parameters, field) for field in known} | {"method": method}
    assert read_config(tmp_path / "best.toml") == expected


def test_options_to_paste_are_all_that_the_method_reads_or_those_asked_for():
    parameters = DecodeParameters("mw", seed_foreground=0.9, min_size_voxels=128, link_iou=0.5)
    assert written_options(parameters) == (
        "--method mw --seed-foreground 0.9 --seed-contour 0.6 --foreground 0.8 --min-size 128 --min-seed 32"
        " --landscape mask"
    )
    assert written_options(parameters, {"min_size_voxels"}) == "--method mw --min-size 128"
    edges = DecodeParameters("mutex", affinity_offsets=AFFINITY_OFFSETS[:2])
    assert written_options(edges, {"affinity_offsets"}) == "--method mutex --affinity-offsets '-1,0,0;0,-1,0'"


def test_options_to_paste_keep_every_digit():
    parameters = DecodeParameters("cc", foreground=0.1 + 0.2, seed_contour=1.0)
    assert written_options(parameters, {"foreground", "seed_contour"}) == (
        "--method cc --seed-contour 1 --foreground 0.30000000000000004"
    )


def test_the_command_line_comes_before_the_file(folder):
    (folder / "best.toml").write_text("[decode]\nseed-foreground = 0.9\nmin-size = 100\n")
    assert run(["decode", "maps.h5", "labels.h5", "--config", "best.toml", "--min-size", "200"]) == 0
    used = parameters_of("labels.h5")
    assert (used["seed_foreground"], used["min_size_voxels"], used["seed_contour"]) == (0.9, 200, 0.6)
    expected = decode(voxels("maps.h5"), DecodeParameters(seed_foreground=0.9, min_size_voxels=200))
    assert np.array_equal(voxels("labels.h5"), expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[decode]\nseed-foreground = 2\n", "seed-foreground = 2: "),
        ("[decode]\nseed-foreground = nan\n", "seed-foreground = nan: 'nan' is no number"),
        ("[decode]\nscoring = 'max'\n", "scoring = max: 'max' is not mean, quantile-Q"),
        ("[decode]\nseed_foreground = 0.5\n", "seed_foreground: decode has no such option"),
        ("[decode]\nmethod = 'best'\n", "method best: no decoder has this name"),
    ],
)
def test_a_file_with_options_that_are_wrong_is_wrong_usage(folder, capsys, text, message):
    (folder / "best.toml").write_text(text)
    assert run(["decode", "maps.h5", "labels.h5", "--config", "best.toml"]) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "labels.h5").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "best.toml: cannot be read as TOML (No such file or directory)."),
        (b"[decode\n", "best.toml: cannot be read as TOML ("),
        (b"\xff", "best.toml: cannot be read as TOML ("),
        (b"min-size = 5\n", "best.toml: has no table [decode]. Put the options below a line [decode]."),
    ],
)
@pytest.mark.parametrize("command", ["decode maps.h5 labels.h5", "tune maps.h5 truth.h5"])
def test_a_file_that_holds_no_options_is_a_failure(folder, capsys, command, content, message):
    if content is not None:
        (folder / "best.toml").write_bytes(content)
    assert run([*command.split(), "--config", "best.toml"]) == 1
    assert message in capsys.readouterr().err
    assert not (folder / "labels.h5").exists()


def test_an_option_that_the_method_does_not_read_is_refused_with_those_that_it_reads(folder, capsys):
    assert run(["decode", "maps.h5", "labels.h5", "--method", "cc", "--min-seed", "3"]) == 2
    assert (
        "--min-seed: --method cc does not read it. It reads --seed-contour, --foreground, --min-size, --as."
        in capsys.readouterr().err
    )


def test_channels_are_put_into_the_order_of_the_method(folder):
    maps = voxels("maps.h5")
    write("other.h5", np.stack([maps[1], np.zeros_like(maps[0]), maps[0]]))
    assert run(["decode", "other.h5", "labels.h5", "--channels=mask=2,contour=0", "--min-size=100"]) == 0
    assert np.array_equal(voxels("labels.h5"), decode(maps, DecodeParameters(min_size_voxels=100)))
    assert parameters_of("labels.h5")["channels"] == {"mask": 2, "contour": 0}
    assert run(["decode", "other.h5", "mask.h5", "--channels", "mask=2", "--min-size", "100"]) == 0
    assert np.array_equal(voxels("mask.h5"), decode(maps[:1], DecodeParameters(min_size_voxels=100)))


@pytest.mark.parametrize(
    ("options", "message", "status"),
    [
        ("--channels mask=0,contour=2", "has channels 0 to 1, and no channel 2", 1),
        (
            "--channels contour=1",
            "--channels contour: --method mw does not read them. Give mask=N or mask=N,contour=N",
            2,
        ),
        ("--channels 0,1", "is not NAME=N,NAME=N", 2),
        (
            "--method bcd",
            "decoder bcd reads this many channels: 3 (mask, contour, distance); the maps have 2",
            1,
        ),
        ("--method iou", "decoder iou reads this many channels: 1 (mask); the maps have 2", 1),
        ("--method waterz", "decoder waterz reads this many channels: 3 (z, y, x); the maps have 2", 1),
        ("--method mutex", "maps.h5: decoder mutex has 8 --affinity-offsets, and the maps have 2", 1),
        ("--scoring max", "Invalid value for '--scoring': 'max' is not mean, quantile-Q", 2),
        ("--method multicut --workers 2", "--workers: --method multicut computes in one process", 2),
        ("--method multicut --memory 1M", "1M is too little for --method multicut, which holds all maps", 1),
        ("--method waterz --scores s.tsv", "--scores: --method waterz reads affinities", 2),
    ],
)
def test_what_does_not_fit_together_is_refused(folder, capsys, options, message, status):
    assert run(["decode", "maps.h5", "labels.h5", *options.split()]) == status
    assert message in capsys.readouterr().err
    assert not (folder / "labels.h5").exists()


def test_a_mask_alone_has_no_landscape_of_two(folder, capsys):
    assert run(["decode", "maps.h5[0]", "labels.h5", "--landscape", "mask-contour"]) == 2
    assert "--landscape mask-contour: the maps have no contour" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [-0.1, 1.5, np.nan])
def test_maps_that_are_no_probabilities_are_refused(folder, capsys, wrong):
    maps = voxels("maps.h5").astype(np.float32) / 255
    maps[1, 7, 8, 9] = wrong
    write("wrong.h5", maps)
    assert run(["decode", "wrong.h5", "labels.h5"]) == 1
    assert "wrong.h5: expected probabilities from 0 to 1" in capsys.readouterr().err
    assert sorted(file.name for file in folder.iterdir()) == ["maps.h5", "truth.h5", "wrong.h5"]


def test_truncated_maps_are_refused(folder, capsys):
    whole = (folder / "maps.h5").read_bytes()
    (folder / "short.h5").write_bytes(whole[: len(whole) // 2])
    assert run(["decode", "short.h5", "labels.h5"]) == 1
    assert "short.h5" in capsys.readouterr().err
    assert not (folder / "labels.h5").exists()


def test_dry_run_says_what_is_needed_and_does_nothing(folder, capsys):
    for method in ("mw", "multicut"):
        assert run(f"decode maps.h5 labels.h5 --dry-run --method {method}".split()) == 0
        header, row = capsys.readouterr().out.splitlines()
        assert dict(zip(header.split("\t"), row.split("\t"), strict=True))["shape"] == "20x64x64"
    assert sorted(file.name for file in folder.iterdir()) == ["maps.h5", "truth.h5"]


def test_a_dry_run_of_tune_says_how_often_it_would_decode(folder, capsys):
    """Points that differ in --min-size alone are decoded once."""
    line = "tune maps.h5 truth.h5 --grid seed-contour=.02,.6 --grid min-size=100,1024 -o best.toml --dry-run"
    assert run(line.split()) == 0
    header, row = capsys.readouterr().out.splitlines()
    table = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    assert (table["points"], table["shape"]) == ("2", "20x64x64")
    assert {"blocks", "block", "at_once", "memory"} <= table.keys()
    assert sorted(file.name for file in folder.iterdir()) == ["maps.h5", "truth.h5"]


def test_tune_prints_a_table_best_first_and_the_options_last(folder, capsys):
    line = "tune maps.h5 truth.h5 --grid seed-contour=.02,.6 --grid min-size=100,1024 -o best.toml"
    assert run(line.split()) == 0
    header, *rows, options = capsys.readouterr().out.splitlines()
    assert header.split("\t")[:4] == ["seed-contour", "min-size", "instances", "AP 0.75 small"]
    scores = [float(row.split("\t")[-1]) for row in rows]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)
    best = rows[0].split("\t")
    assert best[:2] == ["0.6", "100"]
    assert options.startswith("--method mw --seed-foreground 0.85 ")
    assert " --min-size 100 " in options
    assert read_config(folder / "best.toml")["min_size_voxels"] == 100
    assert (folder / "best.toml.history.json").exists()
    assert run(["decode", "maps.h5", "labels.h5", "--config", "best.toml"]) == 0
    assert parameters_of("labels.h5")["min_size_voxels"] == 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--grid seed-contours=.5", "seed-contours: decode has no such option"),
        ("--grid seed-contour=", "--grid seed-contour=: is not OPTION=V,V,..."),
        ("--grid seed-contour=.5 --grid seed-contour=.6", "names an option for the second time"),
        ("--grid seed-contour=5", "seed-contour = 5: 5.0 is not in the range"),
        ("--method iou", "--method iou: has no grid of its own"),
    ],
)
def test_a_grid_that_is_wrong_is_refused(folder, capsys, options, message):
    assert run(["tune", "maps.h5", "truth.h5", *options.split()]) == 2
    assert message in capsys.readouterr().err


def test_the_grid_of_the_watershed_is_known(folder, capsys):
    assert run(["tune", "maps.h5", "truth.h5", "--iou", "0.5", "--min-size", "100"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 21 + 1


def test_a_missing_library_is_named_with_its_extra(folder, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bioimage_cpp", None)
    assert run(["decode", "maps.h5", "labels.h5", "--method", "multicut"]) in (1, 2)
    assert "pip install 'mitotools[multicut]'" in capsys.readouterr().err


def test_read_config_reports_unreadable_files(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_config(tmp_path)


def test_labels_tell_the_tuning_of_their_options(folder):
    """And a tuning that goes on from the options of another tells of both."""
    tune = "tune maps.h5 truth.h5 --min-size 100 --grid"
    how = "seed-contour=.6 -o first.toml --iou 0.5 --protocol challenge2021 --sizes 50,500 --min-truth-size 9"
    assert run([*tune.split(), *how.split()]) == 0
    assert run([*tune.split(), "min-seed=32", "--config", "first.toml", "-o", "best.toml"]) == 0
    assert run(["decode", "maps.h5", "labels.h5", "--config", "best.toml"]) == 0
    first, second, last = history_of("labels.h5")
    assert [[Path(entry["path"]).name for entry in record["inputs"]] for record in (first, second, last)] == [
        ["maps.h5", "truth.h5"],
        ["maps.h5", "truth.h5", "first.toml"],
        ["maps.h5", "best.toml"],
    ]
    scored_by = ("iou", "protocol", "sizes_voxels", "min_truth_size_voxels")
    assert [first["parameters"][name] for name in scored_by] == [[0.5], "challenge2021", [50, 500], 9]
    assert [second["parameters"][name] for name in scored_by] == [[0.75], "paper", None, None]


def test_resuming_with_another_file_of_options_is_refused_by_its_name(folder, capsys):
    decode_it = ["decode", "maps.h5", "labels.h5", "--config", "best.toml"]
    (folder / "best.toml").write_text("[decode]\nmin-size = 100\n")
    assert run(decode_it) == 0
    assert run([*decode_it, "--resume"]) == 0
    assert "labels.h5 is complete already" in capsys.readouterr().err
    (folder / "best.toml").write_text("[decode]\nmin-size = 200\n")
    assert run([*decode_it, "--resume"]) == 1
    words = f"labels.h5: was made with other min_size_voxels, {folder / 'best.toml'}."
    assert words in capsys.readouterr().err


def test_the_best_options_are_not_written_over_those_that_are_read(folder, capsys):
    (folder / "best.toml").write_text("[decode]\nmin-size = 100\n")
    line = "tune maps.h5 truth.h5 --grid seed-contour=.6 --config best.toml -o best.toml --force"
    assert run(line.split()) == 2
    assert "best.toml: is to be read and written" in capsys.readouterr().err
    assert (folder / "best.toml").read_text() == "[decode]\nmin-size = 100\n"
