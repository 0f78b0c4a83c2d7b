"""The target table: what a network learns, and so what its maps mean.

To add a target: one module, one line here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools.errors import ModelError, UsageError
from mitotools.learn.targets.affinity import affinity_channels, affinity_target
from mitotools.learn.targets.contact import contact_target, without_contacts
from mitotools.learn.targets.contour import contour_target
from mitotools.learn.targets.distance import distance_target
from mitotools.learn.targets.mask import mask_target
from mitotools.learn.targets.shape import TargetShape
from mitotools.parameters import TrainParameters

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from mitotools.conventions import Labels, Mask, Size

NEAREST_OFFSETS = TrainParameters.affinity_offsets

Make = Callable[["Labels", TargetShape], "npt.NDArray[Any]"]


@dataclass(frozen=True)
class Target:
    """One thing that a network learns.

    Parameters
    ----------
    name : str
    channels : tuple of str
        What the maps hold, in the words of the decoders.
    make : callable
        (Z, Y, X) labels and a `TargetShape` to (Z, Y, X), or (C, Z, Y, X) where there are several channels.
    loss : str
        cross-entropy, of a truth that is 0 or 1; squared, of a truth in -1..1, which tanh(logit) should be.
    dice_weight : float
        Weight of the Dice loss beside the cross entropy.
    slope : float
        The map is sigmoid(slope logit). 2 makes it (tanh(logit) + 1) / 2.
    before_erosion : bool
        Made of the labels as they are: eroded ones do not touch any more.
    """

    name: str
    channels: tuple[str, ...]
    make: Make
    loss: str = "cross-entropy"
    dice_weight: float = 0.0
    slope: float = 1.0
    before_erosion: bool = False


def _mask(labels: Labels, _: TargetShape) -> Mask:
    return mask_target(labels)


def _contour(labels: Labels, shape: TargetShape) -> Mask:
    return contour_target(labels, shape.radius, in_plane=shape.in_plane)


def _contact(labels: Labels, shape: TargetShape) -> Mask:
    return contact_target(labels, shape.radius, in_plane=shape.in_plane)


def _affinity(labels: Labels, _: TargetShape, offsets: Sequence[Size] = NEAREST_OFFSETS) -> Mask:
    return affinity_target(labels, offsets)


def _distance(labels: Labels, shape: TargetShape) -> npt.NDArray[np.float32]:
    return distance_target(labels, in_plane=shape.in_plane, z_pixels=shape.z_pixels)


TARGETS = (
    Target("mask", ("mask",), _mask, dice_weight=1.0),
    Target("contour", ("contour",), _contour, dice_weight=0.5),
    Target("contact", ("contact",), _contact, dice_weight=0.5, before_erosion=True),
    Target("affinity", ("z", "y", "x"), _affinity),
    Target("distance", ("distance",), _distance, loss="squared", slope=2.0),
)


def targets_named(names: Sequence[str], offsets: Sequence[Size] = NEAREST_OFFSETS) -> list[Target]:
    """Return targets by name, affinities with a channel for each offset.

    Raises
    ------
    ModelError
        Where there is no target of a name.
    UsageError
        Where a name stands twice, or the offsets are not those of different voxels.
    """
    if len(set(names)) < len(names):
        raise UsageError(f"targets {','.join(names)}", "one stands twice", "Name each once")
    affinity = replace(
        _named("affinity"), channels=affinity_channels(offsets), make=partial(_affinity, offsets=offsets)
    )
    return [affinity if name == "affinity" else _named(name) for name in names]


def _named(name: str) -> Target:
    for target in TARGETS:
        if target.name == name:
            return target
    names = ", ".join(target.name for target in TARGETS)
    raise ModelError(name, f"no such target; there are {names}")


def channel_names(targets: Sequence[Target]) -> tuple[str, ...]:
    """Return what each output channel of a network is."""
    return tuple(channel for target in targets for channel in target.channels)


def map_slopes(channels: Sequence[str]) -> tuple[float, ...]:
    """Return, for each channel of this name, the s of its map sigmoid(s logit); see `Target`."""
    slopes = {channel: target.slope for target in TARGETS for channel in target.channels}
    return tuple(slopes.get(channel, 1.0) for channel in channels)


def make_targets(labels: Labels, targets: Sequence[Target], shape: TargetShape) -> npt.NDArray[np.float32]:
    """Return what a network should put out for a patch.

    Parameters
    ----------
    labels : (Z, Y, X) unsigned integer
    targets : sequence of Target
    shape : TargetShape

    Returns
    -------
    (C, Z, Y, X) float32
        All channels of the first target, of the second and so on: 0 or 1, and -1 to 1 for the distance.
    """
    apart = without_contacts(labels, shape.erode_voxels, in_plane=shape.in_plane)
    truths = np.empty((len(channel_names(targets)), *labels.shape), np.float32)
    first = 0
    for target in targets:
        stop = first + len(target.channels)
        truths[first:stop] = target.make(labels if target.before_erosion else apart, shape)
        first = stop
    return truths
