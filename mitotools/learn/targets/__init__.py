"""The target table: what a channel of the maps means. To add a target: one module, one line here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mitotools.errors import ModelError
from mitotools.learn.targets.contour import contour_target
from mitotools.learn.targets.mask import mask_target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from mitotools.conventions import Labels


@dataclass(frozen=True)
class ContourShape:
    """How wide a contour is, and whether it is drawn slice by slice (sections) or in 3D."""

    radius: int
    in_plane: bool


@dataclass(frozen=True)
class Target:
    """One thing that a network learns.

    Parameters
    ----------
    name : str
    make : callable
        (Z, Y, X) labels and a `ContourShape` to a (Z, Y, X) boolean array.
    dice_weight : float
        Weight of the Dice loss beside the cross entropy.
    """

    name: str
    make: Callable[[Labels, ContourShape], npt.NDArray[np.bool_]]
    dice_weight: float


TARGETS = (
    Target("mask", lambda labels, _: mask_target(labels), 1.0),
    Target(
        "contour", lambda labels, shape: contour_target(labels, shape.radius, in_plane=shape.in_plane), 0.5
    ),
)


def targets_named(names: Sequence[str]) -> list[Target]:
    """Return targets by name.

    Raises
    ------
    ModelError
        Where there is no target of a name.
    """
    table = {target.name: target for target in TARGETS}
    unknown = [name for name in names if name not in table]
    if unknown:
        raise ModelError(unknown[0], f"no such target; there are {', '.join(table)}")
    return [table[name] for name in names]
