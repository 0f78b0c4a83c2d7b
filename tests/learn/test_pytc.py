"""Checkpoints of PyTorch Connectomics; those in golden/ were made by it, with random weights."""

import json
import pickle
import warnings
import zipfile
from collections import OrderedDict
from contextlib import suppress
from copy import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mitotools.errors import InputError, ModelError
from mitotools.learn.models import build
from mitotools.learn.pytc import NEXT, read_checkpoint

GOLDEN = Path(__file__).parent / "golden" / "checkpoints"
CASES = json.loads((GOLDEN / "cases.json").read_text())
PLAIN, PLUS = (GOLDEN / f"{name}.pth.tar" for name in CASES)
NAMES = {"unet_3d": "pytc-unet", "unet_plus_3d": "pytc-unet-plus"}
UNREADABLE = "is no PyTorch checkpoint, or a damaged one, or holds more than tensors"
SETTINGS = {"filters": [8, 8, 16, 16, 24], "out_channels": 3, "in_channels": 1}


def state(path=PLAIN):
    return torch.load(path, weights_only=True)["state_dict"]


@pytest.fixture
def written(tmp_path):
    """Return a function that writes a state dict as a checkpoint."""

    def write(tensors, **entries):
        torch.save({"iteration": 7, "state_dict": tensors, **entries}, tmp_path / "checkpoint.pth.tar")
        return tmp_path / "checkpoint.pth.tar"

    return write


def refusal(path, kind=ModelError):
    with pytest.raises(kind) as error:
        read_checkpoint(path, pooling=False)
    line = str(error.value)
    assert "\n" not in line
    assert line.startswith(f"{path}: ")
    return line


@pytest.mark.parametrize("name", CASES)
def test_a_checkpoint_gives_the_output_that_its_own_program_gave(name):
    data = torch.load(GOLDEN / f"{name}.io.pt", weights_only=True)
    network = read_checkpoint(GOLDEN / f"{name}.pth.tar", pooling=False).network
    assert not network.training
    with torch.inference_mode():
        # What the program gave, up to 8.8, is itself 1.06e-5 from what float64 gives.
        torch.testing.assert_close(network(data["input"]), data["output"], atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_the_architecture_is_told_by_the_tensors(name):
    case = CASES[name]
    read = read_checkpoint(GOLDEN / f"{name}.pth.tar", pooling=False)
    assert read.architecture == NAMES[case["architecture"]]
    assert read.settings == {
        "in_channels": 1, "out_channels": case["out_channels"], "filters": case["filters"], "norm": "batch",
        "squeeze": case["block_type"] == "residual_se", "pooling": False,
    }  # fmt: skip


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("squeeze", [False, True])
@pytest.mark.parametrize("pooling", [False, True])
@pytest.mark.parametrize("name", NAMES.values())
def test_what_was_written_is_read_back(written, name, pooling, squeeze, norm):
    settings = {**SETTINGS, "norm": norm, "squeeze": squeeze, "pooling": pooling}
    torch.manual_seed(0)
    network = build(name, settings).eval()
    path = written({f"module.{key}": tensor for key, tensor in network.state_dict().items()})
    read = read_checkpoint(path, pooling=pooling)
    assert (read.architecture, read.settings) == (name, settings)
    volume = torch.randn(1, 1, 8, 32, 32) if pooling else torch.randn(1, 1, 9, 33, 33)
    with torch.inference_mode():
        assert torch.equal(read.network(volume), network(volume))


@pytest.mark.parametrize("zipped", [False, True])
def test_the_rest_of_a_checkpoint_and_old_file_formats_change_nothing(tmp_path, zipped):
    network = build("pytc-unet", SETTINGS)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.04, momentum=0.9)
    network.train()(torch.randn(2, 1, 4, 32, 32)).mean().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)
    content = {
        "iteration": 1, "state_dict": OrderedDict(network.state_dict()), "optimizer": optimizer.state_dict(),
        "lr_scheduler": scheduler.state_dict(),
    }  # fmt: skip
    path = tmp_path / "checkpoint.pth.tar"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(path, pooling=True).network.state_dict()
    assert all(torch.equal(tensor, read[name]) for name, tensor in network.state_dict().items())


def test_half_precision_is_read_as_single(written):
    halves = {name: t.half() if t.is_floating_point() else t for name, t in state().items()}
    network = read_checkpoint(written(halves), pooling=False).network
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}


def test_a_pickle_is_refused_and_not_executed(tmp_path, written):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    for path in (written(Bomb()), written(state(), optimizer=Bomb())):
        assert UNREADABLE in refusal(path)
    assert not (tmp_path / "executed").exists()


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pth.tar"
    assert "no such file" in refusal(path, InputError)
    assert "no such file" in refusal(tmp_path, InputError)
    for content in (b"", b"a text that is no model at all\n", b"PK\x03\x04 and no more", b"\x80\x02]q\x00."):
        path.write_bytes(content)
        assert refusal(path) == f"{path}: {UNREADABLE}. {NEXT}."
    save_file(state(), path)
    assert refusal(path) == f"{path}: {UNREADABLE}. {NEXT}."


def rewritten(path, compression, again=()):
    """Write a checkpoint's archive anew: compressed, or with some entries that share the bytes of one."""
    with zipfile.ZipFile(path) as old:
        parts = [(entry.filename, old.read(entry)) for entry in old.infolist()]
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, content in parts:
            new.writestr(name, content)
        (large, *_) = sorted(new.infolist(), key=lambda entry: -entry.file_size)
        for name in again:
            entry = copy(large)
            entry.filename = name
            new.filelist.append(entry)
            new.NameToInfo[name] = entry


@pytest.mark.parametrize(
    ("compression", "again"), [(zipfile.ZIP_DEFLATED, ()), (zipfile.ZIP_STORED, ("a", "b"))]
)
def test_an_archive_that_holds_more_than_its_size_is_refused_before_it_is_read(
    written, monkeypatch, compression, again
):
    path = written(state())
    rewritten(path, zipfile.ZIP_STORED)
    read_checkpoint(path, pooling=False)
    rewritten(path, compression, again)
    read = []
    monkeypatch.setattr(torch, "load", lambda *args, **_: read.append(args))
    assert UNREADABLE in refusal(path)
    assert read == []


def test_tensors_larger_than_their_file_are_refused(written):
    """One number that stands for all of a tensor's."""
    spread = {name: torch.zeros((), dtype=t.dtype).expand(t.shape) for name, t in state().items()}
    assert "is damaged: its tensors are larger than the file" in refusal(written(spread))


def test_a_pickle_of_another_protocol_is_refused_without_a_warning(tmp_path):
    path = tmp_path / "checkpoint.pth.tar"
    path.write_bytes(pickle.dumps({"state_dict": print}, protocol=4))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert UNREADABLE in refusal(path)
    assert caught == []


def test_truncated_and_damaged_files_are_refused_or_give_a_network(tmp_path):
    content = PLAIN.read_bytes()
    path = tmp_path / "checkpoint.pth.tar"
    for length in (1, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        refusal(path)
    rng = np.random.default_rng(0)
    for _ in range(40):
        damaged = bytearray(content)
        for place in rng.integers(20_000, size=20):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        with suppress(ModelError):
            read_checkpoint(path, pooling=False)


@pytest.mark.parametrize("content", [None, 7, [], {}, {"a": 1}, {1: torch.zeros(1)}])
def test_a_checkpoint_without_tensors_is_refused(written, content):
    assert refusal(written(content)).find("is of another network" if content == {} else "holds no") > 0


def without(tensors, word):
    return {name: tensor for name, tensor in tensors.items() if word not in name}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _: {"backbone.layer1.weight": torch.zeros(3)}, "it has no tensor conv_in.0.weight"),
        (lambda t: without(t, "down_layers.4"), "it has no tensor down_layers.4.1.0.weight"),
        (lambda t: without(t, "up_layers.3.1"), "it has no tensor up_layers.3.1.conv.0.0.weight"),
        (lambda t: without(without(t, ".1.weight"), "running"), "no norm, or instance norm"),
        (lambda t: {**t, "up_layers.4.0.0.weight": torch.zeros(2)}, "has a tensor up_layers.4.0.0.weight"),
        (
            lambda t: {**t, "conv_in.0.weight": torch.zeros(8, 1, 3, 3)},
            "its tensor conv_in.0.weight is (8, 1, 3, 3)",
        ),
        (
            lambda t: {**t, "conv_in.0.weight": torch.zeros(8, 1, 3, 3, 3)},
            "its tensor conv_in.0.weight is (8, 1, 3, 3, 3), not (8, 1, 1, 5, 5)",
        ),
        (
            lambda t: {**t, "conv_out.0.bias": torch.zeros(2, dtype=torch.complex64)},
            "its tensor conv_out.0.bias holds torch.complex64",
        ),
        (lambda t: {**t, "conv_out.0.weight": torch.zeros(0, 8, 1, 5, 5)}, "weight is (0, 8, 1, 5, 5)"),
        (lambda t: without(t, "running"), "12 channels do not divide into 8 groups"),
    ],
)
def test_another_network_is_refused_with_the_tensor_that_tells(written, change, words):
    line = refusal(written(change(state())))
    assert "is of another network (" in line
    assert words in line
    assert line.endswith("Only the unet_3d and unet_plus_3d of version 1, with residual blocks, can be read.")


@pytest.mark.parametrize(("path", "size"), [(PLAIN, (8, 33, 33)), (PLUS, (9, 32, 33))])
def test_a_network_with_strides_says_which_sizes_it_takes(path, size):
    network = read_checkpoint(path, pooling=False).network
    with pytest.raises(ValueError, match=r"expected multiples of \(4, 16, 16\) and 1 more"):
        network(torch.zeros(1, 1, *size))
