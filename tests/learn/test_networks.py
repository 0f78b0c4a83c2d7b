"""What all networks of the table have in common, and how training names one."""

import json

import pytest
import torch

from mitotools.errors import ModelError
from mitotools.learn.models import MODELS, build, fits, settings_of, stride_of, surplus_of
from mitotools.learn.models.blocks import convolution
from mitotools.parameters import TrainParameters

SMALL = TrainParameters(filters=(4, 4, 4, 8, 8))
NAMES = [architecture.name for architecture in MODELS]


def parameters(name, **change):
    return TrainParameters(**{"filters": SMALL.filters, "architecture": name, **change})


@pytest.mark.parametrize("isotropic", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_network_of_the_settings_of_training_gives_each_channel_at_the_size_of_the_input(name, isotropic):
    settings = settings_of(parameters(name), 3, isotropic=isotropic)
    net = build(name, json.loads(json.dumps(settings))).eval()
    size = [step + surplus_of(net) for step in stride_of(net)]
    assert fits(net, size)
    with torch.inference_mode():
        logits = net(torch.randn(1, 1, *size))
    assert logits.shape == (1, 3, *size)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_network_learns_in_bfloat16(name):
    net = build(name, settings_of(parameters(name, norm="group", filters=(8,) * 5), 2, isotropic=False))
    size = [2 * step for step in stride_of(net)]
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(torch.randn(1, 1, *size))
    logits.float().square().mean().backward()
    gradients = [tensor.grad for tensor in net.parameters()]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("padding", ["zero", "replicate"])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_a_convolution_has_the_same_gradients_in_both_precisions_however_flat_its_input(depth, padding):
    torch.manual_seed(0)
    net = convolution(8, 16, (3, 3, 3), padding)
    image, slope = torch.randn(2, 8, depth, 12, 12), torch.randn(2, 16, depth, 12, 12)
    found = []
    for precision in (torch.float32, torch.bfloat16):
        unused = [torch.full((2**18,), 1e30) for _ in range(40)]
        del unused  # a gradient that is not computed is what lay there
        leaf = image.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            result = net(leaf)
        (result * slope).sum().backward()
        found.append((result.detach().float(), leaf.grad, net.weight.grad.clone()))
        net.weight.grad = None
    for exact, rounded in zip(*found, strict=True):
        assert (rounded - exact).norm() < 0.02 * exact.norm()


def test_settings_that_a_network_takes_reach_it():
    chosen = parameters("residual-unet", fold=(1, 2, 2), flat_levels=2, padding="replicate", squeeze=True)
    assert settings_of(chosen, 2, isotropic=True) == {
        "in_channels": 1, "out_channels": 2, "filters": [4, 4, 4, 8, 8], "norm": "batch", "isotropic": True,
        "fold": [1, 2, 2], "flat_levels": 2, "padding": "replicate", "squeeze": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("pytc-unet", {"fold": (2, 2, 2)}, "fold: the network pytc-unet has no such setting."),
        ("pytc-unet-plus", {"padding": "replicate"}, "padding: the network pytc-unet-plus has no such"),
        ("two-decoder-unet", {"flat_levels": 1}, "flat_levels: the network two-decoder-unet has no such"),
        ("resnet", {}, "resnet: no such network; there are residual-unet, two-decoder-unet, pytc-unet, pyt"),
    ],
)
def test_a_setting_that_a_network_does_not_take_is_refused(name, change, words):
    with pytest.raises(ModelError) as error:
        settings_of(parameters(name, **change), 2, isotropic=False)
    assert str(error.value).startswith(words)


@pytest.mark.parametrize(
    ("pooling", "size", "fitting"),
    [
        (True, (8, 32, 32), True), (True, (8, 32, 33), False), (True, (0, 32, 32), False),
        (False, (9, 33, 33), True), (False, (8, 32, 32), False), (False, (1, 33, 33), False),
    ],
)  # fmt: skip
def test_a_size_fits_where_it_is_a_multiple_of_the_stride_with_its_surplus(pooling, size, fitting):
    net = build("pytc-unet", {"filters": [4] * 5, "pooling": pooling})
    assert fits(net, size) is fitting
