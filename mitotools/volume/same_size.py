"""Volumes that have to be of one size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitotools.errors import InputError
from mitotools.volume.blocks import Box

if TYPE_CHECKING:
    from mitotools.volume.base import Volume


def require_same_size(first: Volume, second: Volume) -> None:
    """Raise InputError where two volumes differ in size, with the crop that would help.

    Labels of the first slices alone are what the MitoEM benchmark has: the longer volume is cut at its end.
    """
    a, b = first.spec.size, second.spec.size
    if a == b:
        return
    advice = ""
    if a[1:] == b[1:]:
        longer, shorter = (first, b) if a[0] > b[0] else (second, a)
        advice = f"They differ in z alone: crop {longer.name}{longer.crop_of(Box.whole(shorter))} would fit"
    raise InputError(f"{first.name} and {second.name}", f"have different shapes, {a} and {b}", advice)
