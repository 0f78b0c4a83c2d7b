"""The augmentation table. To add an augmentation: one module, one line here, one in a recipe.

An augmentation draws, then applies: only `draw` is random, so that what was done to a patch can be replayed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mitotools.learn.augment import (
    blur,
    contrast,
    copy_paste,
    cut_blur,
    cut_noise,
    elastic,
    flip,
    grayscale,
    misalignment,
    missing_parts,
    missing_section,
    motion_blur,
    myelin,
    noise,
    rescale,
    rotate,
    scale,
    turn,
)
from mitotools.learn.augment.context import Context, always

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitotools.conventions import Array
    from mitotools.learn.augment.context import Extent, Parameters
    from mitotools.learn.augment.sampling import Sampling


@dataclass(frozen=True)
class Augmentation:
    """One way to vary a patch.

    Parameters
    ----------
    name : str
    draw : callable
        A generator, the context of the patch, and the recipe's own limits by name, to parameters.
    suits : callable
        Whether it makes sense for patches of this context.
    """

    name: str
    draw: Callable[..., Parameters]
    suits: Callable[[Context], bool]


@dataclass(frozen=True)
class Move(Augmentation):
    """Moves voxels.

    Parameters
    ----------
    apply : callable
        A sampling and parameters to a sampling.
    reach : callable
        Half a patch's size and parameters to the half of what is looked up.
    """

    apply: Callable[[Sampling, Parameters], Sampling]
    reach: Callable[[Extent, Parameters], Extent]


@dataclass(frozen=True)
class Paint(Augmentation):
    """Changes image, labels and validity in place, all of which `apply` takes, and parameters."""

    apply: Callable[..., None]


@dataclass(frozen=True)
class Shade(Augmentation):
    """Changes the grey values in place."""

    apply: Callable[[Array, Parameters], None]


@dataclass(frozen=True)
class Exchange(Augmentation):
    """Mirrors or exchanges axes, without interpolation."""

    apply: Callable[[Array, Parameters], Array]


AUGMENTATIONS: tuple[Augmentation, ...] = (
    # Moves stand in the order of a look-up: from the patch back to the volume, whose sections have faults.
    Move("elastic", elastic.draw, always, elastic.apply, elastic.reach),
    Move("turn", turn.draw, Context.is_square, turn.apply, turn.reach),
    Move("rescale", rescale.draw, always, rescale.apply, rescale.reach),
    Move("scale", scale.draw, always, scale.apply, scale.reach),
    Move(
        "missing-section",
        missing_section.draw,
        Context.is_sectioned,
        missing_section.apply,
        missing_section.reach,
    ),
    Move("misalignment", misalignment.draw, Context.is_sectioned, misalignment.apply, misalignment.reach),
    Paint("copy-paste", copy_paste.draw, always, copy_paste.apply),
    Paint("myelin", myelin.draw, always, myelin.apply),
    Shade("missing-parts", missing_parts.draw, Context.is_sectioned, missing_parts.apply),
    Shade("motion-blur", motion_blur.draw, Context.is_sectioned, motion_blur.apply),
    Shade("blur", blur.draw, always, blur.apply),
    Shade("grayscale", grayscale.draw, always, grayscale.apply),
    Shade("contrast", contrast.draw, always, contrast.apply),
    Shade("noise", noise.draw, always, noise.apply),
    Shade("cut-blur", cut_blur.draw, always, cut_blur.apply),
    Shade("cut-noise", cut_noise.draw, always, cut_noise.apply),
    Exchange("flip", flip.draw, always, flip.apply),
    Exchange("rotate", rotate.draw, always, rotate.apply),
)
"""All there are, in the order in which they are applied."""
