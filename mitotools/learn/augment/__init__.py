"""The augmentation table. To add an augmentation: one module, one line here.

An augmentation draws, then applies: only `draw` is random, so that what was done to a patch can be replayed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mitotools.learn.augment import flip, grayscale, rotate

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from mitotools.conventions import Array
    from mitotools.learn.augment.symmetry import Symmetry

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Augmentation:
    """One way to vary a patch.

    Parameters
    ----------
    name : str
    probability : float
        How often it is applied.
    draw : callable
        A generator and the patch's symmetry to parameters.
    apply : callable
        An array (Z, Y, X) and parameters to an array of the same shape.
    on_labels : bool
        Whether it moves voxels, and so is applied to the labels too.
    """

    name: str
    probability: float
    draw: Callable[[np.random.Generator, Symmetry], Parameters]
    apply: Callable[[Array, Parameters], Array]
    on_labels: bool


AUGMENTATIONS = (
    Augmentation("flip", 1.0, flip.draw, flip.apply, on_labels=True),
    Augmentation("rotate", 1.0, rotate.draw, rotate.apply, on_labels=True),
    Augmentation("grayscale", 0.75, grayscale.draw, grayscale.apply, on_labels=False),
)

Draw = list[tuple[Augmentation, Parameters]]


def draw_all(rng: np.random.Generator, symmetry: Symmetry) -> Draw:
    """Draw what will be done to one patch."""
    return [
        (augmentation, augmentation.draw(rng, symmetry))
        for augmentation in AUGMENTATIONS
        if rng.random() < augmentation.probability
    ]


def apply_all(drawn: Draw, image: Array, labels: Array) -> tuple[Array, Array]:
    """Apply what was drawn to an image in 0..1 and its labels, both (Z, Y, X)."""
    for augmentation, parameters in drawn:
        image = augmentation.apply(image, parameters)
        if augmentation.on_labels:
            labels = augmentation.apply(labels, parameters)
    return image, labels
