import pytest
import torch
from torch import nn

from mitotools.errors import ModelError
from mitotools.learn.device import placed
from mitotools.learn.models import build, stride_of


def network(**settings):
    torch.manual_seed(0)
    return build("residual-unet", {"filters": [4, 8], **settings}).eval()


def output(net, size, seed=0):
    torch.manual_seed(seed)
    with torch.inference_mode():
        return net(torch.randn(2, 1, *size))


def kernels(net):
    """The kernels of the convolutions inside the levels, without stem and head."""
    return {
        name.split(".")[0] + name.split(".")[1]: module.kernel_size
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv3d) and name.startswith(("down", "up"))
    }


@pytest.mark.parametrize(
    ("settings", "stride"),
    [
        # Three levels pool twice: by (1, 2, 2) sections, by 2 isotropic voxels; the fold multiplies.
        ({"filters": [4, 4, 4]}, (1, 4, 4)),
        ({"filters": [4, 4, 4], "isotropic": True}, (4, 4, 4)),
        ({"filters": [4, 4, 4], "isotropic": True, "fold": [2, 2, 2]}, (8, 8, 8)),
        ({"filters": [4, 4, 4], "fold": [1, 2, 2]}, (1, 8, 8)),
        ({"filters": [4]}, (1, 1, 1)),
        ({"filters": [28, 36, 48, 64, 80]}, (1, 16, 16)),
    ],
)
def test_the_output_has_the_size_of_the_input_down_to_one_stride(settings, stride):
    net = network(out_channels=3, **settings)
    assert stride_of(net) == stride
    for times in (1, 2):
        size = tuple(length * times for length in stride)
        assert output(net, size).shape == (2, 3, *size)


@pytest.mark.parametrize("fold", [(1, 1, 1), (2, 2, 2)])
@pytest.mark.parametrize("axis", range(3))
def test_an_input_that_is_no_multiple_of_the_stride_is_refused(fold, axis):
    net = network(isotropic=True, fold=fold)
    size = [16, 16, 16]
    size[axis] += 1
    with pytest.raises(ValueError, match="expected multiples of"):
        output(net, size)


def test_sections_have_flat_kernels_at_the_first_level_only():
    assert kernels(network(filters=[4, 4, 4])) == {
        "down0": (1, 3, 3), "down1": (3, 3, 3), "down2": (3, 3, 3), "up0": (1, 3, 3), "up1": (3, 3, 3),
    }  # fmt: skip


def test_isotropic_voxels_have_cubic_kernels():
    assert set(kernels(network(filters=[4, 4, 4], isotropic=True)).values()) == {(3, 3, 3)}


def test_a_first_level_for_sections_sees_one_slice_at_a_time():
    net = network(filters=[4])
    volume = torch.randn(1, 1, 4, 8, 8)
    changed = volume.clone()
    changed[:, :, 2] += 1
    with torch.inference_mode():
        difference = (net(volume) - net(changed)).abs().amax(dim=(0, 1, 3, 4))
    assert (difference > 0).tolist() == [False, False, True, False]


def test_an_isotropic_network_sees_its_neighbour_slices():
    net = network(filters=[4], isotropic=True)
    volume = torch.randn(1, 1, 9, 8, 8)
    changed = volume.clone()
    changed[:, :, 4] += 1
    with torch.inference_mode():
        difference = (net(volume) - net(changed)).abs().amax(dim=(0, 1, 3, 4))
    # Three convolutions of 3 between a flat stem and a flat head: three slices either way.
    assert (difference > 0).tolist() == [False, True, True, True, True, True, True, True, False]


@pytest.mark.parametrize("settings", [{}, {"norm": "group"}, {"fold": (1, 2, 2)}])
def test_a_patch_in_a_batch_gives_what_it_gives_alone(settings):
    net = network(**settings)
    volume = torch.randn(2, 1, 4, 16, 16)
    with torch.inference_mode():
        together, alone = net(volume), torch.cat([net(volume[:1]), net(volume[1:])])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize(("norm", "kind"), [("batch", nn.BatchNorm3d), ("group", nn.GroupNorm)])
def test_every_convolution_but_the_head_has_the_norm_and_no_bias(norm, kind):
    net = network(norm=norm)
    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv3d)]
    norms = [module for module in net.modules() if isinstance(module, kind)]
    assert len(norms) == len(convolutions) - 1
    assert [module.bias is None for module in convolutions].count(False) == 1


def test_a_group_norm_takes_the_most_groups_up_to_8_that_divide_the_channels():
    net = network(filters=[28, 36, 48, 13], norm="group")
    groups = {m.num_channels: m.num_groups for m in net.modules() if isinstance(m, nn.GroupNorm)}
    assert groups == {28: 7, 36: 6, 48: 8, 13: 1}


@pytest.mark.parametrize("settings", [{}, {"isotropic": True, "fold": (2, 2, 2)}])
def test_channels_last_changes_no_output(settings):
    plain, last = network(**settings), placed(network(**settings), torch.device("cpu"))
    assert last.down[1][0][0].weight.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(output(plain, (8, 16, 16)), output(last, (8, 16, 16)))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"norm": "layer"}, "norm layer: no such norm; there are batch, group."),
        ({"fold": (2, 2)}, "fold: expected three positive numbers, found 2, 2."),
        ({"fold": (2, 2, 0)}, "fold: expected three positive numbers, found 2, 2, 0."),
        ({"filters": []}, "filters: expected 1 to 10 positive numbers, found none."),
        ({"filters": [4, -4]}, "filters: expected 1 to 10 positive numbers, found 4, -4."),
    ],
)
def test_a_setting_that_makes_no_network_is_refused(settings, words):
    with pytest.raises(ModelError) as error:
        network(**settings)
    assert str(error.value) == words


def test_an_unknown_network_is_refused_with_those_there_are():
    with pytest.raises(ModelError, match=r"^resnet: no such network; there are residual-unet\.$"):
        build("resnet", {})
