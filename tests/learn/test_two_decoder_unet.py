import pytest
import torch
from torch import nn

from mitotools.learn.models import build, stride_of

SETTINGS = {"filters": [4, 6, 8], "out_channels": 3}


def network(**settings):
    torch.manual_seed(0)
    return build("two-decoder-unet", {**SETTINGS, **settings}).eval()


def test_every_level_begins_flat_and_goes_on_in_three_dimensions():
    for level in network().down:
        kernels = [m.kernel_size for m in level.modules() if isinstance(m, nn.Conv3d)]
        assert kernels == [(1, 3, 3), (3, 3, 3), (3, 3, 3)]


@pytest.mark.parametrize(("isotropic", "stride"), [(False, (1, 4, 4)), (True, (4, 4, 4))])
def test_its_output_has_the_size_of_its_input(isotropic, stride):
    net = network(isotropic=isotropic)
    assert stride_of(net) == stride
    with torch.inference_mode():
        assert net(torch.randn(2, 1, 8, 16, 16)).shape == (2, 3, 8, 16, 16)


@pytest.mark.parametrize("changed", range(3))
def test_each_output_has_a_decoder_of_its_own(changed):
    net, volume = network(), torch.randn(1, 1, 4, 16, 16)
    with torch.inference_mode():
        before = net(volume)
        for tensor in net.up[changed].parameters():
            tensor += 0.1
        differs = (net(volume) - before).abs().amax(dim=(0, 2, 3, 4)) > 0
    assert differs.tolist() == [channel == changed for channel in range(3)]


def test_all_outputs_depend_on_the_encoder():
    net, volume = network(), torch.randn(1, 1, 4, 16, 16)
    with torch.inference_mode():
        before = net(volume)
        net.down[0][0][0].weight += 0.1
        differs = (net(volume) - before).abs().amax(dim=(0, 2, 3, 4)) > 0
    assert differs.all()
