import json
import resource
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mitotools.errors import InputError, ModelError, TargetError
from mitotools.learn.checkpoint import load_model, save_model
from mitotools.learn.metadata import KEY, ModelMetadata, read_metadata
from mitotools.learn.models import build

SETTINGS = {
    "in_channels": 1, "out_channels": 2, "filters": [4, 8], "isotropic": True, "norm": "batch",
    "fold": [1, 1, 1],
}  # fmt: skip
METADATA = ModelMetadata(
    architecture="residual-unet",
    settings=SETTINGS,
    targets=("mask", "contour"),
    patch_voxels=(16, 16, 16),
    voxel_size_nm=(5.0, 5.0, 5.5),
    decode={"seed_foreground": 0.7},
    training={"iterations_done": 12},
    history=({"command_line": "mitotools train", "inputs": []},),
)


def trained():
    """A network whose norms have seen data, so that their buffers matter."""
    torch.manual_seed(0)
    network = build("residual-unet", SETTINGS)
    for _ in range(3):
        network(torch.randn(4, 1, 16, 16, 16))
    return network.eval()


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, trained(), METADATA)
    return path


def rewritten(model, change):
    """Change the header entry of a model file."""
    network, metadata = load_model(model)
    header = json.loads(metadata.header()[KEY])
    change(header)
    save_file(network.state_dict(), model, {KEY: json.dumps(header)})


def refusal(path, kind=ModelError):
    """The one line that says why a file is refused, both with and without its tensors."""
    with pytest.raises(kind) as error:
        load_model(path)
    line = str(error.value)
    assert "\n" not in line
    assert line.startswith(f"{path}: ")
    return line


def test_a_saved_network_gives_the_same_output_bit_for_bit(model):
    volume = torch.randn(1, 1, 16, 16, 16)
    network, _ = load_model(model)
    assert not network.training
    with torch.inference_mode():
        assert torch.equal(network(volume), trained()(volume))


def test_a_model_knows_all_that_was_said_of_it(model):
    assert load_model(model)[1] == read_metadata(model) == METADATA


def test_metadata_are_read_without_torch(model):
    program = (
        "import sys; from pathlib import Path; from mitotools.learn.metadata import read_metadata; "
        f"print(read_metadata(Path({str(model)!r})).targets, 'torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "('mask', 'contour') False\n"


def test_a_missing_file_and_a_folder_are_no_models(tmp_path):
    assert "no such file" in refusal(tmp_path / "model.safetensors", InputError)
    assert "no such file" in refusal(tmp_path, InputError)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a text that is no model at all\n" * 10,
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 50_000_000) + b"{}",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 40) + b'{"a":{"dtype":"F32","shape":[9999999999]' + b"}",
    ],
    ids=["empty", "text", "huge header", "longer header", "no entry", "a list", "broken"],
)
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert "is not a mitotools model" in refusal(path)
    with pytest.raises(ModelError):
        read_metadata(path)


def test_a_pickle_is_refused_and_not_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    path = tmp_path / "model.pth"
    torch.save({"state_dict": Bomb()}, path)
    assert "is not a mitotools model" in refusal(path)
    assert not (tmp_path / "executed").exists()


def test_a_truncated_model_is_refused(model):
    content = model.read_bytes()
    for length in (7, 100, len(content) // 2, len(content) - 1):
        model.write_bytes(content[:length])
        assert "is not a mitotools model" in refusal(model)


def test_somebody_elses_safetensors_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(2)}, path, {"format": "pt"})
    assert "is not a mitotools model (its header has no 'mitotools'). Models are made by" in refusal(path)


@pytest.mark.parametrize(
    "entry", ["", "nonsense", "[]", "7", "{}", "[" * 100_000, '{"version": 1}', '{"version": "new"}']
)
def test_an_entry_that_says_nothing_is_refused(tmp_path, entry):
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(2)}, path, {KEY: entry})
    assert "is not a mitotools model" in refusal(path)


def test_a_newer_version_is_refused_with_both_versions(model):
    rewritten(model, lambda header: header.update(version=2))
    assert refusal(model).endswith("has version 2, newer than this program's 1. Install a newer mitotools.")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"architecture": "transformer"}, "transformer: no such network"),
        ({"settings": {**SETTINGS, "filters": [4, 9]}}, "its tensor down.1"),
        ({"settings": {**SETTINGS, "filters": [4, 8, 8]}}, "its tensor down.2"),
        ({"settings": {**SETTINGS, "filters": [4, 8], "norm": "group"}}, "its tensor down.0"),
        ({"settings": {**SETTINGS, "filters": "many"}}, "cannot be rebuilt"),
        ({"settings": {**SETTINGS, "fold": [2]}}, "fold: expected three positive numbers"),
        ({"settings": {**SETTINGS, "depth": 4}}, "depth"),
        ({"settings": {**SETTINGS, "filters": [10**30]}}, "cannot be rebuilt"),
        ({"targets": ["mask"]}, "its channels are not its targets"),
        ({"patch_voxels": [16, 16, 15]}, "no multiples of (2, 2, 2)"),
        ({"patch_voxels": [16, 16, 0]}, "its patches have 16 x 16 x 0 voxels"),
        ({"patch_voxels": [16, 16]}, "is not a mitotools model"),
        ({"patch_voxels": [16, 16, 10**9]}, "its patches have 16 x 16 x 1000000000 voxels"),
        ({"patch_voxels": [16, 16, 16.0]}, "is not a mitotools model"),
        ({"training": [["loss", 2]]}, "its training is no table"),
        ({"settings": [["norm", "batch"]]}, "its settings is no table"),
        ({"decode": None}, "its decode is no table"),
        ({"card": "a title"}, "its card is no table"),
    ],
)
def test_a_header_that_does_not_fit_the_tensors_is_refused(model, change, words):
    rewritten(model, lambda header: header.update(change))
    assert words in refusal(model)


def test_a_header_that_promises_a_huge_network_costs_no_memory(model):
    rewritten(model, lambda header: header["settings"].update(filters=[4096, 4096]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refusal(model)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < before / 2  # the network would take 16 GiB


def test_an_implausible_voxel_size_is_unknown(model):
    rewritten(model, lambda header: header.update(voxel_size_nm=[1e6, 1e6, 1e6]))
    assert read_metadata(model) == replace(METADATA, voxel_size_nm=None)


def test_a_model_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(TargetError, match="cannot be written"):
        save_model(tmp_path / "no folder" / "model.safetensors", trained(), METADATA)


def test_a_model_that_is_half_written_when_its_run_is_interrupted_goes(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_model(tmp_path / "model.safetensors", trained(), METADATA)
    assert not list(tmp_path.iterdir())


def test_a_model_may_be_read_by_those_who_may_read_new_files(model):
    (model.parent / "new").touch()
    assert model.stat().st_mode == (model.parent / "new").stat().st_mode
