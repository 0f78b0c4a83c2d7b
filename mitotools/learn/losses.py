"""Losses of single channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

LEAST_SHARE = 0.05
"""A class counts as at least this part of a patch: it weighs 19 times the other at most."""

SMOOTHING = 100.0
"""Voxels added to both sides of the Dice ratio, so that an empty patch has a finite slope."""


def class_weights(target: Tensor) -> Tensor:
    """Return a weight a voxel, which makes up for how rare its class is in its patch.

    With w the share of the target clipped to [.05, .95], the minority class weighs
    max(w, 1 - w) / min(w, 1 - w) and the other 1; a patch of one class weighs 1 (PyTorch Connectomics).

    Parameters
    ----------
    target : (N, Z, Y, X) of 0 and 1

    Returns
    -------
    (N, Z, Y, X)
    """
    share = target.mean(dim=(1, 2, 3), keepdim=True)
    clipped = share.clamp(LEAST_SHARE, 1 - LEAST_SHARE)
    ratio = torch.maximum(clipped, 1 - clipped) / torch.minimum(clipped, 1 - clipped)
    is_minority = (target == 1) == (share <= 0.5)
    return torch.where(is_minority, ratio, torch.ones_like(ratio))


def weighted_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean binary cross entropy, each voxel weighted by its class.

    Parameters
    ----------
    logits, target : (N, Z, Y, X)
    """
    return functional.binary_cross_entropy_with_logits(logits, target, class_weights(target))


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return 1 - (2 I + 100) / (P + T + 100), the mean over samples.

    Parameters
    ----------
    logits, target : (N, Z, Y, X)
    """
    probability = logits.sigmoid()
    dims = (1, 2, 3)
    intersection = (probability * target).sum(dims)
    total = probability.sum(dims) + target.sum(dims)
    return (1 - (2 * intersection + SMOOTHING) / (total + SMOOTHING)).mean()
