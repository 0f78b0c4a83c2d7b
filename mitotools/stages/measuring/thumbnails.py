"""Pictures of single instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mitotools.view.slices import Layer, Slice, grey_limits, outlined
from mitotools.volume.blocks import Box, size3
from mitotools.volume.picture import encoded_colours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.conventions import Array, Size
    from mitotools.view.slices import Palette
    from mitotools.volume.base import Volume

AROUND = 0.3
"""Part of an instance's length that a picture shows on either side of it."""

SIDE_VOXELS = (64, 512)
"""The least and the most that a picture shows; of a longer instance, the middle."""

PIXELS = 320
"""Smaller pictures are enlarged by a whole factor."""

UNSEEN = 60
"""The grey behind instances where there is no image."""


def middle_of(start: Array, stop: Array, size: Size) -> Box:
    """Return a square of the middle slice of an instance, with something around it.

    Parameters
    ----------
    start, stop : (3,) integer
        Its bounding box, half-open.
    size : (z, y, x) voxels
        Of the volume.
    """
    z = int(start[0] + stop[0]) // 2
    side = int((stop - start)[1:].max() * (1 + 2 * AROUND))
    side = min(max(side, SIDE_VOXELS[0]), SIDE_VOXELS[1])
    low, high = [z], [z + 1]
    for axis in (1, 2):
        first = int(start[axis] + stop[axis] - side) // 2
        low.append(max(min(first, size[axis] - side), 0))
        high.append(min(low[-1] + side, size[axis]))
    return Box(size3(low), size3(high))


def picture_of(
    box: Box, labels: Sequence[Volume], palettes: Sequence[Palette | None], image: Volume | None = None
) -> bytes:
    """Return a slice with outlined instances as a PNG; of labels after the first, the outlines are dotted."""
    planes = [volume.read(box).squeeze(0) for volume in labels]
    grey = np.full(planes[0].shape, UNSEEN, np.uint8) if image is None else image.read(box).squeeze(0)
    limits = (0.0, 255.0) if image is None else grey_limits([grey])
    layers = [
        Layer(plane, palette, dotted=number > 0)
        for number, (plane, palette) in enumerate(zip(planes, palettes, strict=True))
    ]
    return encoded_colours(outlined(Slice(grey, layers, ""), limits, max(PIXELS // max(grey.shape), 1)))
