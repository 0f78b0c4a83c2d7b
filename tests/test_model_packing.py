"""examples/models/pack.py: a model as others get it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from stages.networks import write_model, write_phantom

from mitotools.cli.main import run
from mitotools.learn.checkpoint import load_model, save_model
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.path import parse_volume_path

ROOT = Path(__file__).parent.parent
CARD = """
title = "Mitochondria of the liver"
data = "liver_1"
terms = "CC BY 4.0"
cite = "us"
scores = "AP-75 .9 on liver_2"
limits = '''nothing but
liver'''
"""


@pytest.fixture
def packed(tmp_path):
    return pack(tmp_path, CARD)


def pack(folder, card, *, is_new=True):
    if is_new:
        write_model(folder / "model.safetensors")
    (folder / "card.toml").write_text(card)
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / "models" / "pack.py"),
         "model.safetensors", "card.toml", "packed.safetensors"],
        cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_it_is_half_as_large_and_its_card_is_printed(tmp_path, packed, capsys):
    assert (packed.returncode, packed.stderr) == (0, "")
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("model", "packed")]
    assert sizes[1] < 0.75 * sizes[0]  # of a tiny network the header is a good part
    assert run(["info", str(tmp_path / "packed.safetensors")]) == 0
    lines = dict(line.split("\t", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["title"] == "Mitochondria of the liver"
    assert lines["terms"] == "CC BY 4.0"
    assert lines["limits"] == "nothing but liver"
    assert lines["architecture"] == "residual-unet"


def test_folders_of_the_machine_stay_out_of_it_and_names_of_files_stay_in(tmp_path):
    write_model(tmp_path / "model.safetensors")
    network, metadata = load_model(tmp_path / "model.safetensors")
    record = {
        "command_line": "mitotools train '/home/me/liver 1.h5:raw' /data/x/l.h5:raw[:,0:8,:] m "
        "--config a/b/c.toml --also ../x/c.h5",
        "parameters": {}, "inputs": [{"path": "/data/x/l.h5", "shape": [1, 1, 1]}],
    }  # fmt: skip
    save_model(tmp_path / "model.safetensors", network, replace(metadata, history=(record,)))
    assert pack(tmp_path, CARD, is_new=False).returncode == 0
    (record,) = load_model(tmp_path / "packed.safetensors")[1].history
    assert record["command_line"] == (
        "mitotools train 'liver 1.h5:raw' l.h5:raw[:,0:8,:] m --config a/b/c.toml --also c.h5"
    )
    assert record["inputs"] == [{"path": "l.h5", "shape": [1, 1, 1]}]


def test_options_of_decode_in_the_card_take_the_place_of_those_of_the_validation(tmp_path):
    assert pack(tmp_path, f"{CARD}\n[decode]\nseed_foreground = 0.9\n").returncode == 0
    metadata = load_model(tmp_path / "packed.safetensors")[1]
    assert metadata.decode["seed_foreground"] == 0.9
    assert "decode" not in metadata.card


def test_maps_made_with_it_carry_its_card_and_are_those_of_the_model(tmp_path, packed):
    write_phantom(tmp_path)
    maps = {}
    for name in ("model", "packed"):
        target = tmp_path / f"{name}.h5"
        arguments = [
            "predict",
            str(tmp_path / "raw.h5"),
            str(target),
            "-m",
            str(tmp_path / f"{name}.safetensors"),
        ]
        assert run([*arguments, "--precision", "float32", "--backend", "torch", "-q"]) == 0
        with open_volume(parse_volume_path(str(target))) as volume:
            maps[name] = volume.read(Box.whole(volume.spec.size)).astype(int)
            records = volume.spec.history
    assert records[-1]["parameters"]["card"]["terms"] == "CC BY 4.0"
    assert abs(maps["model"] - maps["packed"]).mean() < 1


def test_a_card_that_leaves_something_out_is_refused(tmp_path):
    result = pack(tmp_path, CARD.replace("terms", "conditions"))
    assert result.returncode == 1
    assert result.stderr == "pack: card.toml: does not say terms.\n"
    assert not (tmp_path / "packed.safetensors").exists()


def test_a_card_survives_the_file(tmp_path, packed):
    _, metadata = load_model(tmp_path / "packed.safetensors")
    assert json.loads(json.dumps(metadata.card)) == metadata.card
    assert set(metadata.card) == {"title", "data", "terms", "cite", "scores", "limits"}
