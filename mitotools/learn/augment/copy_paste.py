"""Paste an instance once more, elsewhere in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from mitotools.conventions import Array, Mask
    from mitotools.learn.augment.context import Context, Parameters

TRIES = 8

GAP = ndimage.generate_binary_structure(3, 3)
"""Between what is pasted and what was there lies at least a voxel."""


def draw(rng: np.random.Generator, context: Context) -> Parameters:  # noqa: ARG001
    """Draw which instance, and where it may go: parts of the way through the ids and through the patch."""
    return {"instance": float(rng.random()), "places": rng.random((TRIES, 3)).tolist()}


def apply(image: Array, labels: Array, valid: Mask | None, parameters: Parameters) -> None:
    """Paste grey values, id and validity in place, at the first place that has room; there may be none."""
    ids = _whole(labels)
    if not ids.size:
        return
    chosen = ids[int(parameters["instance"] * ids.size)]
    mine = labels == chosen
    (box,) = ndimage.find_objects(mine.view(np.uint8))
    mask = np.pad(mine[box], 1)
    around = ndimage.binary_dilation(mask, GAP)
    for place in parameters["places"]:
        target = _target(place, mask.shape, labels.shape)
        if target is None or labels[target][around].any():
            continue
        inner = tuple(slice(part.start + 1, part.stop - 1) for part in target)
        for array in (image, labels, valid):
            if array is not None:
                array[inner][mine[box]] = array[box][mine[box]]
        return


def _whole(labels: Array) -> Array:
    """Return the ids of instances that the patch does not cut in the plane: a cut has no membrane."""
    rim = np.concatenate([labels[:, [0, -1]].ravel(), labels[:, :, [0, -1]].ravel()])
    return np.setdiff1d(labels, np.append(rim, labels.dtype.type(0)))


def _target(place: list[float], size: tuple[int, ...], patch: tuple[int, ...]) -> tuple[slice, ...] | None:
    """Return the box of this size at a place, or None where the patch is too small."""
    room = [n - m + 1 for n, m in zip(patch, size, strict=True)]
    if min(room) < 1:
        return None
    starts = [int(part * free) for part, free in zip(place, room, strict=True)]
    return tuple(slice(start, start + length) for start, length in zip(starts, size, strict=True))
