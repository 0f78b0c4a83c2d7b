"""The mask (B): inside any instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mitotools.conventions import Labels, Mask


def mask_target(labels: Labels) -> Mask:
    """Return where there is an instance.

    Parameters
    ----------
    labels : (Z, Y, X) unsigned integer

    Returns
    -------
    (Z, Y, X) bool
    """
    mask: Mask = labels > 0
    return mask
