from itertools import product

import pytest
import torch
from torch import nn

from mitotools.errors import ModelError
from mitotools.learn.device import placed
from mitotools.learn.models import build, stride_of
from mitotools.learn.models.blocks import FoldedHead, FoldedStem, SqueezeExcitation


def network(**settings):
    torch.manual_seed(0)
    return build("residual-unet", {"filters": [4, 8], **settings}).eval()


def output(net, size, seed=0):
    torch.manual_seed(seed)
    with torch.inference_mode():
        return net(torch.randn(2, 1, *size))


def kernels(net):
    """The kernels of the convolutions inside the levels, without stem and head."""
    found = {}
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv3d) and ".head" not in name and not name.startswith("stem"):
            level = name.split(".")[1] if name.startswith("down") else name.split(".")[3]
            found.setdefault(name.split(".")[0] + level, set()).add(module.kernel_size)
    return found


FLAT, CUBE = {(1, 3, 3)}, {(3, 3, 3)}


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
        # A flat level does not pool in z: of two steps none, one or both do.
        ({"filters": [4, 4, 4], "isotropic": True, "flat_levels": 1}, (2, 4, 4)),
        ({"filters": [4, 4, 4], "isotropic": True, "flat_levels": 3}, (1, 4, 4)),
        ({"filters": [4, 4, 4], "flat_levels": 0}, (1, 4, 4)),
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
        "down0": FLAT, "down1": CUBE, "down2": CUBE, "up0": FLAT, "up1": CUBE,
    }  # fmt: skip


def test_isotropic_voxels_have_cubic_kernels():
    assert list(kernels(network(filters=[4, 4, 4], isotropic=True)).values()) == [CUBE] * 5


def test_two_flat_levels_are_the_two_finest():
    assert kernels(network(filters=[4, 4, 4], flat_levels=2)) == {
        "down0": FLAT, "down1": FLAT, "down2": CUBE, "up0": FLAT, "up1": FLAT,
    }  # fmt: skip


@pytest.mark.parametrize("isotropic", [False, True])
def test_a_network_of_flat_levels_alone_treats_every_slice_alone(isotropic):
    net = network(filters=[4, 8, 8], isotropic=isotropic, flat_levels=3)
    volume = torch.randn(1, 1, 5, 16, 16)
    with torch.inference_mode():
        together = net(volume)
        alone = torch.cat([net(volume[:, :, z : z + 1]) for z in range(5)], dim=2)
    torch.testing.assert_close(together, alone)


def test_the_network_of_the_paper_has_as_many_parameters_as_by_hand():
    # Stem 28 x 25 + 56, head 2 (28 x 25) + 2. Level i: its first convolution takes f(i-1) f(i) k weights, the
    # two others f(i)^2 k each, with k 9 or 27; each has a norm with 2 f(i).
    down = 21_336 + 97_416 + 171_360 + 304_512 + 484_320
    up = 23_352 + 116_856 + 207_648 + 359_808
    with torch.device("meta"):
        net = build("residual-unet", {})
    assert sum(tensor.numel() for tensor in net.parameters()) == 756 + down + up + 1402 == 1_788_766


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


@pytest.mark.parametrize(
    "settings", [{}, {"norm": "group"}, {"norm": "instance"}, {"fold": (1, 2, 2)}, {"squeeze": True}]
)
def test_a_patch_in_a_batch_gives_what_it_gives_alone(settings):
    net = network(**settings)
    volume = torch.randn(2, 1, 4, 16, 16)
    with torch.inference_mode():
        together, alone = net(volume), torch.cat([net(volume[:1]), net(volume[1:])])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize(
    ("norm", "kind"),
    [("batch", nn.BatchNorm3d), ("group", nn.GroupNorm), ("instance", nn.InstanceNorm3d)],
)
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
        ({"norm": "layer"}, "norm layer: no such norm; there are batch, group, instance."),
        ({"padding": "mirror"}, "padding mirror: no such padding; there are zero, replicate."),
        ({"flat_levels": -1}, "flat_levels: expected 0 or more, found -1."),
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
    with pytest.raises(ModelError, match=r"^resnet: no such network; there are residual-unet, two-dec"):
        build("resnet", {})


def test_replicated_padding_keeps_a_constant_volume_constant():
    volume = torch.full((1, 1, 8, 16, 16), 0.7)
    with torch.inference_mode():
        replicated, zero = (
            network(isotropic=True, out_channels=1, padding=padding)(volume)
            for padding in ("replicate", "zero")
        )
    assert replicated.std() < 1e-6
    assert zero.std() > 1e-3


def test_squeeze_and_excitation_weighs_channels_by_what_the_whole_patch_holds():
    squeeze = SqueezeExcitation(4)
    with torch.no_grad():
        squeeze.fc[0].weight[:] = torch.tensor([[1.0, 0, 0, 0]])
        squeeze.fc[2].weight[:] = torch.tensor([[0.0], [1], [-1], [0]])
        features = torch.zeros(1, 4, 1, 1, 2)
        features[0, 0, 0, 0] = torch.tensor([1.0, 3])  # of mean 2
        features[0, 1:] = 1
        weighed = squeeze(features)[0, :, 0, 0]
    # sigmoid(0) = .5, sigmoid(2) = .8808, sigmoid(-2) = .1192
    expected = torch.tensor([[0.5, 1.5], [0.8808, 0.8808], [0.1192, 0.1192], [0.5, 0.5]])
    torch.testing.assert_close(weighed, expected, atol=1e-4, rtol=0)


def test_a_folded_stem_sees_the_27_cuboids_around_its_own():
    stem = FoldedStem(1, 1, (1, 2, 2), "batch", "zero").eval()
    with torch.no_grad():
        stem.convolution[0].weight[:] = 1
        volume = torch.zeros(1, 1, 5, 12, 12)
        volume[0, 0, 2, 5, 6] = 1  # in the cuboid 2, 2, 3
        seen = stem(volume)[0, 0]
    expected = torch.zeros(5, 6, 6)
    expected[1:4, 1:4, 2:5] = 1
    torch.testing.assert_close(seen, expected, atol=1e-4, rtol=1e-4)


def test_a_folded_stem_is_a_convolution_of_three_times_the_fold_in_steps_of_it():
    stem = FoldedStem(2, 3, (1, 2, 2), "batch", "zero")
    same = nn.Conv3d(2, 3, (3, 6, 6), stride=(1, 2, 2), padding=(1, 2, 2), bias=False)
    torch.manual_seed(0)
    with torch.no_grad():
        # Tap 2 d + s of 6 takes voxel s of the pair d = 0, 1, 2.
        for channel, y, x in product(range(2), range(2), range(2)):
            taps = same.weight[:, channel, :, y::2, x::2]
            stem.convolution[0].weight[:, channel * 4 + y * 2 + x] = taps
        stem.convolution = stem.convolution[0]
        volume = torch.randn(1, 2, 4, 10, 12)
        torch.testing.assert_close(stem(volume), same(volume))


def test_skips_carry_the_features_of_a_level_past_those_below():
    net = network(filters=[4, 8, 8])
    one, other = torch.randn(2, 1, 1, 4, 16, 16)
    with torch.inference_mode():
        for below in net.up[0].narrow:
            below[0].weight.zero_()  # nothing comes up from below
        assert (net(one) - net(other)).abs().max() > 1e-3


def test_a_folded_head_is_a_transposed_convolution_of_three_times_the_fold():
    head = FoldedHead(3, 2, (1, 2, 2), "zero")
    same = nn.ConvTranspose3d(3, 2, (3, 6, 6), stride=(1, 2, 2), padding=(1, 2, 2))
    torch.manual_seed(0)
    with torch.no_grad():
        same.bias[:] = torch.tensor([1.0, -1])
        head.convolution.bias[:] = same.bias.repeat_interleave(4)
        # Tap 2 (1 - d) + s + 2 of 6 takes voxel s of a pair from the neighbour d = -1, 0, 1.
        for channel, y, x in product(range(2), range(2), range(2)):
            taps = same.weight[:, channel].flip(1, 2, 3)[:, :, 1 - y :: 2, 1 - x :: 2]
            head.convolution.weight[channel * 4 + y * 2 + x] = taps
        features = torch.randn(1, 3, 4, 5, 6)
        torch.testing.assert_close(head(features), same(features))
