import math

import numpy as np
import pytest
import torch

from mitotools.errors import UsageError
from mitotools.learn.losses import (
    LOSSES,
    class_weights,
    dice_loss,
    plain_cross_entropy,
    squared_loss,
    total_loss,
    weighted_cross_entropy,
)
from mitotools.learn.targets import TargetShape, channel_names, make_targets, targets_named

SINGLE = [weighted_cross_entropy, plain_cross_entropy, dice_loss, squared_loss]
ALL = ["mask", "contour", "contact", "affinity", "distance"]


def patch(ones, voxels):
    """A patch of which the first voxels are 1, (1, 1, 1, X)."""
    return (torch.arange(voxels) < ones).float().reshape(1, 1, 1, voxels)


def logits_of(*probabilities):
    return torch.logit(torch.tensor(probabilities)).reshape(1, 1, 1, -1)


@pytest.mark.parametrize(
    ("ones", "voxels", "of_ones", "of_zeros"),
    [
        (2, 8, 3, 1),  # .75 / .25
        (6, 8, 1, 3),
        (4, 8, 1, 1),
        (1, 100, 19, 1),  # a share of .01 counts as .05: .95 / .05
        (99, 100, 1, 19),
    ],
)
def test_the_rarer_class_weighs_as_much_more_as_it_is_rarer(ones, voxels, of_ones, of_zeros):
    weights = class_weights(patch(ones, voxels)).ravel()
    expected = [of_ones] * ones + [of_zeros] * (voxels - ones)
    assert weights.tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("ones", [0, 8])
def test_a_patch_of_one_class_weighs_1(ones):
    assert class_weights(patch(ones, 8)).unique().tolist() == [1]


def test_each_patch_is_weighted_by_itself():
    weights = class_weights(torch.cat([patch(2, 8), patch(0, 8)]))
    assert weights[0].ravel().tolist() == pytest.approx([3, 3, 1, 1, 1, 1, 1, 1])
    assert weights[1].ravel().tolist() == [1] * 8


def test_the_cross_entropy_is_a_plain_mean_of_weighted_voxels():
    # One voxel of four is 1 and weighs 3; the mean divides by 4, not by the sum of the weights, 6.
    loss = weighted_cross_entropy(logits_of(0.25, 0.25, 0.5, 0.5), patch(1, 4))
    assert loss.item() == pytest.approx((3 * math.log(4) + math.log(4 / 3) + 2 * math.log(2)) / 4)


def test_the_dice_loss_counts_100_voxels_more_on_both_sides():
    # P = 4 (eight times .5), T = 4, I = 2: 1 - (4 + 100) / (8 + 100).
    assert dice_loss(torch.zeros(1, 1, 1, 8), patch(4, 8)).item() == pytest.approx(4 / 108)


def test_the_dice_loss_is_the_mean_over_patches():
    # The second patch is empty: I = 0, P = 4, 1 - 100 / 104.
    target = torch.cat([patch(4, 8), patch(0, 8)])
    loss = dice_loss(torch.zeros(2, 1, 1, 8), target)
    assert loss.item() == pytest.approx((4 / 108 + 4 / 104) / 2)


def test_a_perfect_prediction_has_no_loss():
    target = patch(3, 8)
    logits = (target - 0.5) * 200
    assert weighted_cross_entropy(logits, target).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(logits, target).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("ones", [0, 8])
def test_a_patch_of_one_class_has_a_finite_slope(ones):
    logits = torch.zeros(1, 1, 1, 8, requires_grad=True)
    (weighted_cross_entropy(logits, patch(ones, 8)) + dice_loss(logits, patch(ones, 8))).backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad.sign() == (-1 if ones else 1)).all()


def test_the_plain_cross_entropy_weighs_every_voxel_alike():
    loss = plain_cross_entropy(logits_of(0.25, 0.25, 0.5, 0.5), patch(1, 4))
    assert loss.item() == pytest.approx((math.log(4) + math.log(4 / 3) + 2 * math.log(2)) / 4)


def test_the_squared_loss_is_that_of_the_signed_distance_of_a_logit():
    # tanh(log(3) / 2) is (3 - 1) / (3 + 1) = .5; the squares are .25 and 2.25.
    logits = torch.tensor([math.log(3) / 2, math.log(3) / 2]).reshape(1, 1, 1, 2)
    loss = squared_loss(logits, torch.tensor([1.0, -1.0]).reshape(1, 1, 1, 2))
    assert loss.item() == pytest.approx((0.25 + 2.25) / 2)


def test_shares_are_counted_where_voxels_are_valid():
    # Of the four valid voxels one is 1: it weighs .75 / .25, whatever the others are.
    weights = class_weights(patch(5, 8), torch.tensor([0, 0, 0, 0, 1, 1, 1, 1.0]).reshape(1, 1, 1, 8))
    assert weights.ravel()[4:].tolist() == pytest.approx([3, 1, 1, 1])


@pytest.mark.parametrize("loss", SINGLE)
def test_what_is_not_valid_counts_as_if_it_were_not_there(loss):
    logits, target = torch.linspace(-3, 3, 12).reshape(1, 1, 1, 12), patch(5, 12)
    valid = (torch.arange(12) % 3 > 0).float().reshape(1, 1, 1, 12)
    kept = valid.bool().ravel()
    expected = loss(logits[..., kept], target[..., kept])
    assert loss(logits, target, valid).item() == pytest.approx(expected.item(), rel=1e-5)
    assert loss(logits, target).item() != pytest.approx(expected.item(), rel=1e-3)


def test_every_valid_voxel_counts_alike_in_whichever_patch_it_is():
    # Logits of 0 cost log 2 in the first patch, and of log 3 cost log 4 in the second, of one valid voxel.
    logits = torch.tensor([[0.0, 0, 0], [math.log(3)] * 3]).reshape(2, 1, 1, 3)
    valid = torch.tensor([[1.0, 1, 1], [0, 1, 0]]).reshape(2, 1, 1, 3)
    loss = plain_cross_entropy(logits, torch.zeros(2, 1, 1, 3), valid)
    assert loss.item() == pytest.approx((3 * math.log(2) + math.log(4)) / 4)


@pytest.mark.parametrize("loss", SINGLE)
def test_where_all_is_valid_nothing_changes(loss):
    logits, target = torch.linspace(-3, 3, 12).reshape(1, 1, 1, 12), patch(5, 12)
    all_valid = loss(logits, target, torch.ones_like(target))
    assert all_valid.item() == pytest.approx(loss(logits, target).item(), rel=1e-6)


def test_the_total_adds_the_dice_of_the_mask_and_half_that_of_the_contour():
    truths = torch.stack([patch(4, 8), patch(4, 8)], dim=1)
    total = total_loss(torch.zeros(1, 2, 1, 1, 8), truths, None, targets_named(["mask", "contour"]))
    # Both classes weigh 1, and a logit of 0 costs log 2.
    assert total.item() == pytest.approx(2 * math.log(2) + 1.5 * 4 / 108)


@pytest.mark.parametrize(("kind", "of_ones"), [("weighted", 3), ("plain", 1)])
def test_the_kind_says_whether_classes_are_weighted(kind, of_ones):
    total = total_loss(torch.zeros(1, 1, 1, 1, 8), patch(2, 8)[:, None], None, targets_named(["mask"]), kind)
    # P = 4, T = 2, I = 1.
    assert total.item() == pytest.approx((2 * of_ones + 6) * math.log(2) / 8 + 1 - 102 / 106)


def test_a_kind_that_there_is_not_is_refused():
    truths = torch.zeros(1, 1, 1, 1, 8)
    with pytest.raises(UsageError, match=r"^loss focal: there is no such loss; there are weighted, plain\.$"):
        total_loss(truths, truths, None, targets_named(["mask"]), "focal")


def test_the_loss_of_several_channels_is_their_mean():
    # Affinities of log 4, log 2 and log 2 a voxel, and no Dice; a distance of 0 that should be .5.
    logits = torch.zeros(1, 4, 1, 1, 8)
    logits[:, 0] = math.log(3)
    truths = torch.zeros(1, 4, 1, 1, 8)
    truths[:, 3] = 0.5
    total = total_loss(logits, truths, None, targets_named(["affinity", "distance"]))
    assert total.item() == pytest.approx(math.log(4 * 2 * 2) / 3 + 0.25)


def test_each_channel_is_weighted_by_its_own_share():
    # One of four weighs 3, all four of one class weigh 1.
    truths = torch.cat([patch(1, 4), patch(4, 4), patch(0, 4)]).reshape(1, 3, 1, 1, 4)
    total = total_loss(torch.zeros(1, 3, 1, 1, 4), truths, None, targets_named(["affinity"]))
    assert total.item() == pytest.approx((6 / 4 + 1 + 1) / 3 * math.log(2))


def some_truths(labels, names=ALL):
    """Targets of two patches, and logits that have nothing to do with them."""
    targets = targets_named(names)
    truths = make_targets(labels, targets, TargetShape(radius=0, in_plane=True))
    logits = torch.randn(2, len(truths), *labels.shape, generator=torch.Generator().manual_seed(0))
    return targets, torch.from_numpy(np.stack([truths, truths])), logits


@pytest.mark.parametrize("kind", LOSSES)
def test_what_is_not_valid_changes_neither_the_total_nor_its_slope(kind):
    labels = np.random.default_rng(0).integers(0, 3, (3, 4, 5)).astype(np.uint16)
    targets, truths, logits = some_truths(labels)
    valid = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(1)) > 0.4
    outside = ~valid[:, None].expand_as(logits)
    other = (torch.where(outside, 1 - truths, truths), torch.where(outside, -5 * logits, logits))
    results = []
    for truth, logit in ((truths, logits), other):
        logit = logit.clone().requires_grad_()
        total = total_loss(logit, truth, valid, targets, kind)
        total.backward()
        results.append((total.item(), logit.grad))
    assert results[0][0] == results[1][0]
    assert torch.equal(results[0][1], results[1][1])
    assert not results[0][1][outside].any()
    assert results[0][1][~outside].all()


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4)])
@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("share", [0, 1])
def test_a_patch_of_one_class_or_without_a_valid_voxel_has_a_finite_loss_and_slope(kind, shape, label, share):
    targets, truths, logits = some_truths(np.full(shape, label, np.uint8))
    logits = (50 * logits).requires_grad_()
    valid = torch.full((2, *shape), bool(share))
    total = total_loss(logits, truths, valid, targets, kind)
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(logits.grad).all()
    assert (total.item() > 0) == bool(share)


@pytest.mark.parametrize("kind", LOSSES)
def test_logits_of_half_the_precision_have_a_loss_of_the_whole(kind):
    labels = np.random.default_rng(0).integers(0, 3, (8, 32, 32)).astype(np.uint16)
    targets, truths, logits = some_truths(labels)
    half = logits.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        total = total_loss(half, truths, None, targets, kind)
    assert total.dtype == torch.float32
    assert total.item() == total_loss(half.float(), truths, None, targets, kind).item()


def test_the_slope_of_the_loss_leads_to_the_truth():
    labels = np.zeros((1, 8, 8), np.uint8)
    labels[:, 2:6, 1:4] = 1
    labels[:, 2:6, 4:7] = 2
    targets, truths, logits = some_truths(labels)
    logits.requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        total_loss(logits, truths, None, targets).backward()
        optimizer.step()
    distance = channel_names(targets).index("distance")
    predicted = logits.sigmoid().round()
    predicted[:, distance] = 2 * torch.sigmoid(2 * logits[:, distance]) - 1
    assert torch.allclose(predicted, truths, atol=0.05)
