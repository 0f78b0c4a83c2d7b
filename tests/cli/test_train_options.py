"""Options of train: what they mean, which comes first, and which do not go together."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from stages.networks import write_model, write_phantom

from mitotools.cli.main import run
from mitotools.learn.checkpoint import load_model, save_model
from mitotools.learn.fit import Fit
from mitotools.learn.metadata import read_metadata
from mitotools.learn.models import build
from mitotools.presets import PRESETS
from mitotools.stages import train as stage

FAILED, WRONG_USAGE = 1, 2
SMALL = (
    "--patch 8,16,16 --iterations 2 --device cpu --precision float32 -t 1 --set filters=4,8 --set loaders=0"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_phantom(tmp_path)
    (tmp_path / "other").mkdir()
    write_phantom(tmp_path / "other", seed=1)
    return tmp_path


@pytest.fixture
def call(folder, monkeypatch):
    """Return a function that runs the command, and returns what its stage was called with."""
    calls = []

    def train_model(*args):
        calls.append(args)
        return Fit(7, 0.25, 12.0, 0.125)

    monkeypatch.setattr(stage, "train_model", train_model)

    def called(line=""):
        assert run(["train", "raw.h5", "labels.h5", "m.safetensors", *line.split()]) == 0
        return calls.pop()

    return called


def parameters(call, line):
    return call(line)[2]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_what_it_says(call, name):
    assert parameters(call, f"--preset {name}") == PRESETS[name]


def test_without_options_the_paper_is_followed(call):
    data, target, chosen, running, files = call()
    assert chosen == PRESETS["u3d-bc"]
    assert (str(data[0].raw), str(data[0].labels), str(target)) == ("raw.h5", "labels.h5", "m.safetensors")
    assert (data[0].ignore, data[0].held_out, len(data)) == (None, None, 1)
    assert (running.resume, running.force) == (False, False)
    assert (list(files.validation), files.init, files.log, files.plot) == ([], None, None, None)


def test_options_change_the_preset(call):
    changes = parameters(call, "--set augment=copy-paste:0.5,flip:0").augment
    assert changes == ("copy-paste:0.5", "flip:0")
    line = "--preset fast --recipe none --iterations 9 --minutes 1.5 --patch 8x16x24 --batch 6 --seed 3"
    assert parameters(call, f"{line} --device cuda:1 --precision bfloat16 --set norm=group") == replace(
        PRESETS["fast"], recipe="none", iterations=9, minutes=1.5, patch_voxels=(8, 16, 24), batch=6, seed=3,
        device="cuda:1", precision="bfloat16", norm="group",
    )  # fmt: skip


def test_a_preset_then_a_file_then_set_then_options(call, folder):
    (folder / "c.toml").write_text('batch = 5\nseed = 5\nmomentum = 0.5\ndevice = "cpu"\nrecipe = "mild"\n')
    found = parameters(call, "--preset u3d-b --config c.toml --set momentum=.6 --seed 6")
    expected = replace(PRESETS["u3d-b"], batch=5, seed=6, momentum=0.6, device="cpu", recipe="mild")
    assert found == expected
    assert parameters(call, "--preset u3d-b --config c.toml --device auto").device == "auto"


def test_volumes_are_paired_with_what_is_left_out_of_them(call):
    line = "--also a.h5 b.h5 --also c.h5:raw c.h5:mito --ignore x.h5 --also-ignore y.h5"
    data = call(line)[0]
    assert [[str(one.raw), str(one.labels), one.ignore and str(one.ignore)] for one in data] == [
        ["raw.h5", "labels.h5", "x.h5"], ["a.h5", "b.h5", "y.h5"], ["c.h5:raw", "c.h5:mito", None],
    ]  # fmt: skip
    assert call("--also a.h5 b.h5 --also-ignore y.h5")[0][0].ignore is None


def test_what_is_scored_is_given_or_held_out(call):
    data, *_, files = call(
        "--validate a.h5 b.h5 --validate c.h5 d.h5 --validate-crop 0:4,:,2:9 --also e.h5 f.h5"
    )
    names = [[raw.file, labels.file, raw.crop, labels.crop] for raw, labels in files.validation]
    assert names == [
        ["a.h5", "b.h5", "", ""], ["c.h5", "d.h5", "", ""],
        ["raw.h5", "labels.h5", "[0:4,0:,2:9]", "[0:4,0:,2:9]"],
    ]  # fmt: skip
    assert [one.held_out and one.held_out.crop for one in data] == ["[0:4,0:,2:9]", None]


def test_a_model_that_is_trained_on_brings_its_settings_along(call, folder):
    network, metadata = load_model(write_model(folder / "old.safetensors"))
    values = json.loads(json.dumps(asdict(replace(
        PRESETS["fast"], filters=(4, 8), recipe="strong", learning_rate=0.125, batch=3, minutes=7.0, seed=5,
        device="cuda", patch_voxels=(9, 9, 9),
    ))))  # fmt: skip
    # What is recorded of the network is not asked: it says itself what it is.
    training = {**values, "final_loss": 0.5, "crops": [["", ""]], "of_a_newer_version": 1}
    save_model(folder / "old.safetensors", network, replace(metadata, training=training))
    patch = metadata.patch_voxels
    expected = replace(
        PRESETS["fast"], filters=(4, 8), fold=(1, 1, 1), recipe="strong", learning_rate=0.125, batch=3,
        section_patch_voxels=patch, isotropic_patch_voxels=patch,
    )  # fmt: skip
    assert parameters(call, "--init old.safetensors") == expected
    # What is said comes after it.
    (folder / "c.toml").write_text("batch = 5\n")
    changed = parameters(call, "--init old.safetensors --config c.toml --recipe mild --seed 6")
    assert changed == replace(expected, batch=5, recipe="mild", seed=6)


def test_a_preset_changes_nothing_in_the_network_of_a_model_and_that_is_said(call, folder, capsys):
    write_model(folder / "old.safetensors")
    network = {"filters": (4, 8), "fold": (1, 1, 1), "flat_levels": None}
    expected = replace(PRESETS["sections"], **network)
    assert parameters(call, "--init old.safetensors --preset sections") == expected
    said = "the network is that of old.safetensors, not that of --preset sections: "
    assert f"{said}filters=4,8, fold=1,1,1, flat_levels=None\n" in capsys.readouterr().err


def test_of_a_model_of_the_same_preset_there_is_nothing_to_say(call, folder, capsys):
    fast = PRESETS["fast"]
    write_model(folder / "old.safetensors", filters=list(fast.filters), fold=list(fast.fold))
    assert parameters(call, "--init old.safetensors --preset fast") == fast
    assert "network" not in capsys.readouterr().err


def test_the_settings_of_a_checkpoint_of_another_program_are_those_of_the_preset_but_for_the_network(call):
    filters = (4, 4, 8, 8, 8)
    network = build("pytc-unet", {"filters": filters, "out_channels": 1, "pooling": False, "squeeze": True})
    torch.save({"state_dict": network.state_dict()}, "old.pth.tar")
    network = {"architecture": "pytc-unet", "filters": filters, "squeeze": True}
    assert parameters(call, "--init old.pth.tar --as pytc") == replace(PRESETS["u3d-bc"], **network)
    # Its networks are what the presets are about, whatever they are called here.
    chosen = parameters(call, "--init old.pth.tar --as pytc --preset u3d-b")
    assert chosen == replace(PRESETS["u3d-b"], **network)


def test_settings_of_a_model_that_make_no_sense_are_refused(folder, capsys):
    network, metadata = load_model(write_model(folder / "old.safetensors"))
    save_model(folder / "old.safetensors", network, replace(metadata, training={"batch": "many"}))
    assert run(["train", "raw.h5", "labels.h5", "m.safetensors", "--init", "old.safetensors"]) == WRONG_USAGE
    assert 'old.safetensors: batch = "many" is nothing like 4' in capsys.readouterr().err


def test_files_and_how_to_run_are_passed_on(call, folder):
    write_model(folder / "old.st")
    *_, running, files = call("--init old.st --log numbers --plot c.html --resume -t 3")
    assert (files.init, files.log, files.plot) == (Path("old.st"), Path("numbers"), Path("c.html"))
    assert (running.resume, running.threads) == (True, 3)


def test_the_end_is_told_in_a_line(call, capsys):
    call()
    assert capsys.readouterr().err == (
        "mitotools train: m.safetensors: 7 iterations in 12 s, loss 0.250; "
        "12% of the time went by waiting for patches\n"
    )


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("--also-ignore x.h5", WRONG_USAGE, "--also-ignore: is given more often (1) than --also (0)."),
        ("--preset u3d", WRONG_USAGE, "'u3d' is not one of 'u2d-b', 'u3d-b'"),
        ("--recipe 2020a", WRONG_USAGE, "2020"),
        ("--set recipee=mild", WRONG_USAGE, "there is no setting 'recipee'. There is recipe"),
        (
            "--config bad.toml",
            WRONG_USAGE,
            "bad.toml: there is no setting 'learning'. There is learning_rate",
        ),
        ("--config none.toml", FAILED, "none.toml: cannot be read as TOML (No such file or directory)."),
        ("--seed 4 --set seed=5", WRONG_USAGE, "--set seed=5: this has an option of its own."),
        ("--minutes 0", WRONG_USAGE, "0"),
        ("--batch 0", WRONG_USAGE, "0 is not in the range"),
        ("--patch 8,16", WRONG_USAGE, "8,16"),
        ("--plot curves.pdf", WRONG_USAGE, "curves.pdf: a plot is one of .png, .html."),
        ("--log raw.h5", WRONG_USAGE, "--log raw.h5: is no folder."),
        ("--init none.safetensors", FAILED, "none.safetensors: no such file, and no such model"),
        ("--init raw.h5", FAILED, "raw.h5: is not a mitotools model"),
        ("--validate-crop 0:9", WRONG_USAGE, "--validate-crop 0:9: is not Z0:Z1,Y0:Y1,X0:X1."),
        ("--init old.safetensors --set filters=4,9", WRONG_USAGE, "filters is 4,8 in the network of old."),
        (
            "--init old.safetensors --set filters=28,36,48,64,80",  # as the default preset has them
            WRONG_USAGE,
            "filters is 4,8 in the network of old.",
        ),
        (
            "--init old.safetensors --preset res-unet",
            WRONG_USAGE,
            "--preset res-unet: architecture is residual-unet in the network of old.safetensors. "
            "Leave it out, or leave --init out.",
        ),
        ("--set uniform_share=7", WRONG_USAGE, "uniform_share = 7.0 is out of range. It is from 0 to 1."),
        ("--set targets=mask,mask", WRONG_USAGE, "targets mask,mask: one stands twice. Name each once."),
        ("--targets contact", WRONG_USAGE, "No such option"),
        ("--set targets=contact --validate-crop 0:4,:,:", WRONG_USAGE, "--validate: scores maps of mask;"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_leaves_nothing(folder, capsys, line, status, words):
    (folder / "bad.toml").write_text("learning = 1\n")
    write_model(folder / "old.safetensors")
    before = sorted(path.name for path in folder.iterdir())
    assert run(["train", "raw.h5", "labels.h5", "m.safetensors", *line.split()]) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert words in printed.err
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("how", ["--device cuda", "--config gpu.toml"])
def test_a_gpu_that_is_not_there_is_refused_with_what_there_is(folder, capsys, how):
    (folder / "gpu.toml").write_text('device = "cuda"\n')
    assert run(["train", "raw.h5", "labels.h5", "m.safetensors", *how.split()]) == FAILED
    words = capsys.readouterr().err
    assert re.search(r"^mitotools train: --device cuda: is not available \(.*\)\. Use --device cpu\.$", words)
    assert not (folder / "m.safetensors").exists()


def test_a_file_of_settings_is_an_input_of_the_model(folder):
    (folder / "small.toml").write_text("filters = [4, 8]\n")
    options = ["--config", "small.toml", *SMALL.split()]
    arguments = ["train", "raw.h5", "labels.h5", "m.safetensors", *options]
    assert run(arguments) == 0
    inputs = read_metadata(folder / "m.safetensors").history[-1]["inputs"]
    assert [Path(entry["path"]).name for entry in inputs] == ["raw.h5", "labels.h5", "small.toml"]
    assert run(["train", "raw.h5", "labels.h5", "small.toml", *options, "--force"]) == WRONG_USAGE
    assert (folder / "small.toml").read_text() == "filters = [4, 8]\n"


def test_all_of_it_together_makes_a_model(folder, capsys):
    write_model(folder / "old.safetensors")
    line = (
        "--preset u3d-bc --batch 4 --recipe none --init old.safetensors --also other/raw.h5 other/labels.h5 "
    )
    line += "--validate-crop 0:24,0:40,0:20 --set validations=1 --log log --plot log.png --no-progress"
    arguments = ["train", "raw.h5", "labels.h5", "m.safetensors", *line.split(), *SMALL.split()]
    assert run(arguments) == 0
    assert "AP-75" in capsys.readouterr().err
    metadata = read_metadata(folder / "m.safetensors")
    assert metadata.decode["method"] == "mw"
    assert [Path(entry["path"]).name for entry in metadata.history[-1]["inputs"]] == [
        "raw.h5", "labels.h5", "raw.h5", "labels.h5", "old.safetensors", "raw.h5", "labels.h5",
    ]  # fmt: skip
    made = {"log", "log.png", "log.png.history.json", "m.safetensors", "old.safetensors", "other"}
    assert {path.name for path in folder.iterdir()} == {*made, "raw.h5", "labels.h5"}
    assert run([*arguments, "--resume"]) == 0
    assert "m.safetensors is complete already" in capsys.readouterr().err
