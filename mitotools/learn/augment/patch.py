"""One patch: what is drawn for it, what is read for it, and what it becomes.

Draw first, by `draw`; read the patch with as many more voxels as `margin` says on each side, mirrored where
the volume ends; then `apply`.
"""

from __future__ import annotations

import difflib
import math
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from mitotools.errors import UsageError
from mitotools.learn import augment
from mitotools.learn.augment import Exchange, Move, Paint, Shade
from mitotools.learn.augment.recipes import RECIPES
from mitotools.learn.augment.sampling import Sampler, Sampling

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mitotools.conventions import Array, Mask, Size
    from mitotools.learn.augment.context import Context, Extent, Parameters
    from mitotools.learn.augment.recipes import Recipe

Drawn = list[tuple[str, "Parameters"]]
"""Names and parameters, in the order of the table: plain values, which JSON keeps."""

ROUNDING = 1e-3
"""Voxels by which a reach may exceed a whole number and be it."""


def recipe_named(name: str, changes: Sequence[str] = ()) -> Recipe:
    """Return a recipe.

    Parameters
    ----------
    name : str
    changes : sequence of str
        ``AUGMENTATION:P``: used with this probability instead of the recipe's, or though it does not name it.

    Raises
    ------
    UsageError
        Where there is no recipe or augmentation of this name, or a probability is none.
    """
    _require(name, RECIPES, f"--recipe {name}", "recipe")
    recipe = {used: (chance, limits) for used, chance, limits in RECIPES[name]}
    table = [augmentation.name for augmentation in augment.AUGMENTATIONS]
    for change in changes:
        used, _, text = change.partition(":")
        _require(used, table, f"augment {change}", "augmentation")
        try:
            chance = float(text)
        except ValueError:
            chance = math.nan
        if not 0 <= chance <= 1:
            raise UsageError(
                f"augment {change}", "has no probability from 0 to 1", f"For example {used}:0.5, or {used}:0"
            )
        recipe[used] = (chance, recipe[used][1] if used in recipe else {})
    return tuple((used, chance, limits) for used, (chance, limits) in recipe.items())


def _require(name: str, known: Collection[str], what: str, kind: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        advice = f"Did you mean {near[0]}?" if near else f"Choose one of {', '.join(known)}"
        raise UsageError(what, f"there is no such {kind}", advice)


def draw(rng: np.random.Generator, recipe: Recipe, context: Context) -> Drawn:
    """Draw what will be done to a patch; what does not suit its voxels is left out."""
    chosen = {name: (chance, limits) for name, chance, limits in recipe}
    drawn: Drawn = []
    for augmentation in augment.AUGMENTATIONS:
        chance, limits = chosen.get(augmentation.name, (0.0, {}))
        if augmentation.suits(context) and rng.random() < chance:
            drawn.append((augmentation.name, augmentation.draw(rng, context, **limits)))
    return drawn


def margin(drawn: Drawn, patch: Size) -> Size:
    """Return how many voxels (z, y, x) beyond the patch, on either side, are looked up."""
    half: Extent = ((patch[0] - 1) / 2, (patch[1] - 1) / 2, (patch[2] - 1) / 2)
    outer = half
    for augmentation, parameters in _known(drawn):
        if isinstance(augmentation, Move):
            outer = augmentation.reach(outer, parameters)
    z, y, x = (max(math.ceil(o - h - ROUNDING), 0) for o, h in zip(outer, half, strict=True))
    return z, y, x


def apply(
    drawn: Drawn, image: Array, labels: Array, valid: Mask | None, patch: Size
) -> tuple[Array, Array, Mask | None]:
    """Apply what was drawn.

    Parameters
    ----------
    drawn : list of (name, parameters)
    image : (Z, Y, X) float32 in 0..1
        The patch and as much as `margin` says on either side, or more; mirrored where the volume ends.
    labels : (Z, Y, X) unsigned integer
    valid : (Z, Y, X) bool, or None
        Voxels that count in the loss.
    patch : (z, y, x) voxels

    Returns
    -------
    image, labels, valid
        New, C-contiguous arrays of the shape of the patch.
    """
    known = _known(drawn)
    arrays = _moved(known, [image, labels] if valid is None else [image, labels, valid], patch)
    image, labels, *rest = arrays
    for augmentation, parameters in known:
        if isinstance(augmentation, Paint):
            augmentation.apply(image, labels, rest[0] if rest else None, parameters)
        elif isinstance(augmentation, Shade):
            augmentation.apply(image, parameters)
    image, labels, *rest = (_exchanged(known, array) for array in arrays)
    return image, labels, rest[0] if rest else None


Known = list[tuple[augment.Augmentation, "Parameters"]]


def _known(drawn: Drawn) -> Known:
    """Return what was drawn with the augmentations themselves."""
    table = {augmentation.name: augmentation for augmentation in augment.AUGMENTATIONS}
    return [(table[name], parameters) for name, parameters in drawn]


def _moved(known: Known, arrays: list[Array], patch: Size) -> list[Array]:
    """Return the patch from the middle of each array, as a new array."""
    moves = [(move, parameters) for move, parameters in known if isinstance(move, Move)]
    source = arrays[0].shape
    if not moves:
        starts = [(n - p) // 2 for n, p in zip(source, patch, strict=True)]
        middle = tuple(slice(start, start + p) for start, p in zip(starts, patch, strict=True))
        return [np.array(array[middle]) for array in arrays]
    still = Sampling.still(patch)
    sampling = reduce(lambda so_far, move: move[0].apply(so_far, move[1]), moves, still)
    sampler = Sampler(sampling, (source[0], source[1], source[2]))
    return [sampler.of(array) for array in arrays]


def _exchanged(known: Known, array: Array) -> Array:
    for augmentation, parameters in known:
        if isinstance(augmentation, Exchange):
            array = augmentation.apply(array, parameters)
    return np.ascontiguousarray(array)
