"""The two ways to apply a network, held against each other."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mitotools.errors import MitotoolsError, UsageError
from mitotools.learn import backends
from mitotools.learn.backends import backend_of, chosen_backend
from mitotools.learn.installed import BUNDLED
from mitotools.learn.library import read_model
from mitotools.learn.models import build, smallest_input
from mitotools.run.engine import ordered_map
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.path import parse_volume_path

pytestmark = pytest.mark.openvino

CPU = torch.device("cpu")
SAMPLE = Path(__file__).parents[2] / "examples" / "data" / "medulla_test.h5"

U3D = {"in_channels": 1, "out_channels": 2, "filters": [4, 8, 8]}
PYTC = {"in_channels": 1, "out_channels": 2, "filters": [4, 8, 8, 8, 8]}
NETWORKS = {
    "sections": ("residual-unet", {**U3D, "isotropic": False}),
    "isotropic": ("residual-unet", {**U3D, "isotropic": True}),
    "folded": ("residual-unet", {**U3D, "isotropic": True, "fold": [2, 2, 2]}),
    "group norm": ("residual-unet", {**U3D, "norm": "group"}),
    "instance norm": ("residual-unet", {**U3D, "norm": "instance"}),
    "squeeze, replicate": ("residual-unet", {**U3D, "squeeze": True, "padding": "replicate"}),
    "two decoders": ("two-decoder-unet", U3D),
    "pytc, pooling": ("pytc-unet", {**PYTC, "pooling": True}),
    "pytc, strides": ("pytc-unet", {**PYTC, "pooling": False}),
    "pytc, plus": ("pytc-unet-plus", {**PYTC, "pooling": True, "norm": "batch"}),
}


def network(name, std=0.3):
    torch.manual_seed(0)
    architecture, settings = NETWORKS[name]
    built = build(architecture, settings)
    for tensor in built.parameters():
        torch.nn.init.normal_(tensor, std=std)
    return built.eval()


def window_of(net):
    """A size that is not the one of which the graph is made."""
    smallest = smallest_input(net)
    return tuple(2 * n - net.surplus for n in smallest)


def image(size, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, size).astype(np.float32))


@pytest.mark.parametrize("name", NETWORKS)
def test_openvino_gives_what_torch_gives(name):
    net = network(name)
    size = window_of(net)
    expected = backend_of("torch", net, size, CPU, "float32", 1)(image(size)).sigmoid()
    found = backend_of("openvino", net, size, CPU, "float32", 1)(image(size)).sigmoid()
    assert expected.shape == found.shape == (2, *size)
    assert expected.std() > 0.03
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["sections", "group norm"])
def test_in_bfloat16_both_are_within_2_of_255_nearly_everywhere(name):
    net = network(name, std=0.15)
    size = window_of(net)
    one, two = (
        backend_of(backend, net, size, CPU, "bfloat16", 1)(image(size)).sigmoid()
        for backend in ("torch", "openvino")
    )
    assert ((one - two).abs() <= 2 / 255).float().mean() >= 0.999


def test_in_bfloat16_the_bundled_model_finds_the_same_with_both():
    network, _ = read_model(BUNDLED, "")
    with open_volume(parse_volume_path(f"{SAMPLE}:raw[0:96,0:96,0:96]"), "image") as volume:
        grey = torch.from_numpy(volume.read(Box.whole((96, 96, 96))).astype(np.float32) / 127.5 - 1)
    with torch.inference_mode():
        one, two = (
            backend_of(backend, network, (96, 96, 96), CPU, "bfloat16", 1)(grey).sigmoid()
            for backend in ("torch", "openvino")
        )
    assert ((one - two).abs() <= 2 / 255).float().mean() >= 0.999


@pytest.mark.parametrize("name", ["sections", "group norm", "squeeze, replicate"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_on_several_threads_a_backend_gives_what_one_gives_bit_for_bit(backend, name, precision):
    net = network(name)
    size = window_of(net)
    one, four = (backend_of(backend, net, size, CPU, precision, threads) for threads in (1, 4))
    assert (one.at_once, four.at_once) == (1, 4)
    images = [image(size, seed) for seed in range(12)]
    together = [logits for _, logits in ordered_map(four, images, four.at_once)]
    for alone, logits in zip(map(one, images), together, strict=True):
        assert torch.equal(alone, logits)


def test_openvino_takes_a_network_while_a_profiler_keeps_what_it_sees():
    net = network("sections")
    size = window_of(net)
    kept = []
    sys.setprofile(lambda frame, *_: kept.append(frame))
    try:
        watched = backend_of("openvino", net, size, CPU, "float32", 1)
    finally:
        sys.setprofile(None)
    assert len(kept) > 1000
    alone = backend_of("openvino", net, size, CPU, "float32", 1)
    assert torch.equal(watched(image(size)), alone(image(size)))


def test_openvino_tells_nobody_that_it_is_used(tmp_path):
    """Its telemetry keeps a folder at home, unless it runs in CI."""
    program = (
        "import sys, torch; from learn.test_backends import network, window_of, CPU, backend_of; "
        "net = network('sections'); backend_of('openvino', net, window_of(net), CPU, 'float32', 1); "
        "print([name for name, module in sys.modules.items() if 'openvino_telemetry' in name and module])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
    assert list(tmp_path.iterdir()) == []


def test_auto_is_openvino_on_a_processor_and_torch_elsewhere():
    assert chosen_backend("auto", CPU) == "openvino"
    assert chosen_backend("auto", torch.device("cuda")) == "torch"
    assert chosen_backend("torch", CPU) == "torch"


def test_without_openvino_auto_is_torch_and_openvino_says_what_to_install(monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda _: None)
    assert chosen_backend("auto", CPU) == "torch"
    with pytest.raises(MitotoolsError, match=r"not installed\. pip install 'mitotools\[openvino\]'"):
        chosen_backend("openvino", CPU)


def test_openvino_on_a_gpu_is_refused():
    with pytest.raises(UsageError, match=r"runs on CPUs, not on cuda\. Use --device cpu"):
        chosen_backend("openvino", torch.device("cuda"))
