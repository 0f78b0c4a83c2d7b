"""Losses, of single channels and of all that a network puts out.

Voxels that are not valid count for nothing, as if they were not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from mitotools.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from mitotools.learn.targets import Target

LEAST_SHARE = 0.05
"""A class counts as at least this part of a patch: it weighs 19 times the other at most."""

SMOOTHING = 100.0
"""Voxels added to both sides of the Dice ratio, so that an empty patch has a finite slope."""

LOSSES = ("weighted", "plain")
"""Kinds of cross entropy: weighted by class, or not."""


def class_weights(target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Return a weight a voxel, which makes up for how rare its class is in its patch.

    With w the share of the target clipped to [.05, .95], the minority class weighs
    max(w, 1 - w) / min(w, 1 - w) and the other 1; a patch of one class weighs 1 (PyTorch Connectomics).

    Parameters
    ----------
    target : (N, Z, Y, X) of 0 and 1
    valid : (N, Z, Y, X) of 0 and 1, optional
        The share is that of the voxels that are 1.

    Returns
    -------
    (N, Z, Y, X)
    """
    share = _mean(target, valid, (1, 2, 3))
    clipped = share.clamp(LEAST_SHARE, 1 - LEAST_SHARE)
    ratio = torch.maximum(clipped, 1 - clipped) / torch.minimum(clipped, 1 - clipped)
    is_minority = (target == 1) == (share <= 0.5)
    return torch.where(is_minority, ratio, torch.ones_like(ratio))


def weighted_cross_entropy(logits: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Return the mean binary cross entropy, each voxel weighted by its class.

    Parameters
    ----------
    logits, target : (N, Z, Y, X)
    valid : (N, Z, Y, X) of 0 and 1, optional
    """
    weights = class_weights(target, valid)
    losses = functional.binary_cross_entropy_with_logits(logits, target, weights, reduction="none")
    return _mean(losses, valid).squeeze()


def plain_cross_entropy(logits: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Return the mean binary cross entropy.

    Parameters
    ----------
    logits, target : (N, Z, Y, X)
    valid : (N, Z, Y, X) of 0 and 1, optional
    """
    losses = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return _mean(losses, valid).squeeze()


def dice_loss(logits: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Return 1 - (2 I + 100) / (P + T + 100), the mean over samples.

    Parameters
    ----------
    logits, target : (N, Z, Y, X)
    valid : (N, Z, Y, X) of 0 and 1, optional
        I, P and T are sums over the voxels that are 1.
    """
    probability = logits.sigmoid()
    if valid is not None:
        probability, target = probability * valid, target * valid
    dims = (1, 2, 3)
    intersection = (probability * target).sum(dims)
    total = probability.sum(dims) + target.sum(dims)
    return (1 - (2 * intersection + SMOOTHING) / (total + SMOOTHING)).mean()


def squared_loss(logits: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Return the mean square of tanh(logit) - target.

    Parameters
    ----------
    logits : (N, Z, Y, X)
    target : (N, Z, Y, X) in -1..1
    valid : (N, Z, Y, X) of 0 and 1, optional
    """
    return _mean((logits.tanh() - target).square(), valid).squeeze()


def total_loss(
    logits: Tensor,
    truths: Tensor,
    valid: Tensor | None,
    targets: Sequence[Target],
    kind: str = LOSSES[0],
    share: float = 1.0,
) -> Tensor:
    """Return the sum over targets of their losses; that of several channels is their mean.

    The mean of this over the batches of a step is what all of them would have as one batch.

    Parameters
    ----------
    logits, truths : (N, C, Z, Y, X)
        All channels of the first target, of the second and so on. Of any float type: the loss is computed
        in float32.
    valid : (N, Z, Y, X) bool, or None
        Voxels that count; None: all.
    targets : sequence of Target
    kind : str
        One of `LOSSES`.
    share : float
        How many times as many valid voxels this batch has as the mean batch of its step.

    Returns
    -------
    () float32

    Raises
    ------
    UsageError
        Where there is no loss of this kind.
    """
    if kind not in LOSSES:
        raise UsageError(f"loss {kind}", f"there is no such loss; there are {', '.join(LOSSES)}")
    weights = None if valid is None else valid.float()
    counts = [len(target.channels) for target in targets]
    outputs = torch.split(logits.float(), counts, 1)
    expected = torch.split(truths.float(), counts, 1)
    parts = zip(targets, outputs, expected, strict=True)
    return torch.stack([_target_loss(*part, weights, kind, share) for part in parts]).sum()


def _target_loss(
    target: Target, logits: Tensor, truths: Tensor, valid: Tensor | None, kind: str, share: float
) -> Tensor:
    channels = zip(logits.unbind(1), truths.unbind(1), strict=True)
    return torch.stack([_channel_loss(target, *channel, valid, kind, share) for channel in channels]).mean()


def _channel_loss(
    target: Target, logits: Tensor, truth: Tensor, valid: Tensor | None, kind: str, share: float
) -> Tensor:
    if target.loss == "squared":
        return share * squared_loss(logits, truth, valid)
    cross_entropy = weighted_cross_entropy if kind == "weighted" else plain_cross_entropy
    loss = share * cross_entropy(logits, truth, valid)
    if target.dice_weight:  # a mean over patches, of which all batches have as many
        loss = loss + target.dice_weight * dice_loss(logits, truth, valid)
    return loss


def _mean(values: Tensor, valid: Tensor | None, dims: tuple[int, ...] = (0, 1, 2, 3)) -> Tensor:
    """Return the mean of what is valid, the axes kept; 0 where nothing is."""
    if valid is None:
        return values.mean(dims, keepdim=True)
    return (values * valid).sum(dims, keepdim=True) / valid.sum(dims, keepdim=True).clamp(min=1)
