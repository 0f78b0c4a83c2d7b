"""Affinities (A): which voxels a step apart belong to one instance (Lee et al., arXiv 1706.00120)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from mitotools.errors import UsageError
from mitotools.learn.targets.neighbours import neighbours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.conventions import Labels, Mask, Size

AXES = "zyx"

_STEP = re.compile(r"([zyx])([+-]\d+)?")
_NAME = re.compile(rf"(?:{_STEP.pattern})+")


def affinity_target(labels: Labels, offsets: Sequence[Size]) -> Mask:
    """Return where a voxel v and v + offset have the same id above 0; stored at v, as the decoders read it.

    Beyond the border the labels go on as at the border, so that there the nearest affinities are the mask.

    Parameters
    ----------
    labels : (Z, Y, X) unsigned integer
    offsets : sequence of C (z, y, x) voxels
        (-1, 0, 0) is the neighbour before in z.

    Returns
    -------
    (C, Z, Y, X) bool
    """
    affinities = np.empty((len(offsets), *labels.shape), dtype=bool)
    for affinity, there in zip(affinities, neighbours(labels, offsets), strict=True):
        np.equal(labels, there, out=affinity)
    affinities &= labels > 0
    return affinities


def affinity_channels(offsets: Sequence[Size]) -> tuple[str, ...]:
    """Return a name for each offset: z, y, x for the neighbours before, as the decoders call them.

    The others are named by their steps: (0, -9, 0) is y-9, and (0, 9, -9) y+9x-9.

    Raises
    ------
    UsageError
        Where there is no offset, one is 0, or one stands twice.
    """
    names = tuple(map(_channel, offsets))
    if not names or "" in names or len(set(names)) < len(names):
        given = " ".join(",".join(map(str, offset)) for offset in offsets)
        raise UsageError(f"affinity offsets {given}".strip(), "expected different steps, none of them 0,0,0")
    return names


def affinity_offset(channel: str) -> Size | None:
    """Return the offset that a channel of this name has; None where it has no affinities."""
    if not _NAME.fullmatch(channel):
        return None
    steps = {axis: int(step or -1) for axis, step in _STEP.findall(channel)}
    return steps.get("z", 0), steps.get("y", 0), steps.get("x", 0)


def _channel(offset: Size) -> str:
    steps = [(axis, step) for axis, step in zip(AXES, offset, strict=True) if step]
    if len(steps) == 1 and steps[0][1] == -1:
        return steps[0][0]
    return "".join(f"{axis}{step:+d}" for axis, step in steps)
