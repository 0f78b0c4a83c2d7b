import math

import pytest
import torch

from mitotools.learn.fit import total_loss
from mitotools.learn.losses import class_weights, dice_loss, weighted_cross_entropy
from mitotools.learn.targets import targets_named


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


def test_the_total_adds_the_dice_of_the_mask_and_half_that_of_the_contour():
    truths = torch.stack([patch(4, 8), patch(4, 8)], dim=1)
    total = total_loss(torch.zeros(1, 2, 1, 1, 8), truths, targets_named(["mask", "contour"]))
    # Both classes weigh 1, and a logit of 0 costs log 2.
    assert total.item() == pytest.approx(2 * math.log(2) + 1.5 * 4 / 108)
