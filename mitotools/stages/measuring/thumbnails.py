"""Pictures of single instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mitotools.view.montage import scale_words
from mitotools.view.slices import Layer, Slice, grey_limits, outlined, scale_nm
from mitotools.volume.blocks import Box, boxes_within, size3
from mitotools.volume.picture import encoded_colours

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from mitotools.conventions import Array, Size
    from mitotools.view.slices import Palette
    from mitotools.volume.base import Volume

AROUND = 0.3
"""Part of an instance's length that a picture shows on either side of it."""

SIDE_VOXELS = (64, 512)
"""The least and the most that a picture shows; of a longer instance, the middle."""

PIXELS = 320
"""Smaller pictures are enlarged by a whole factor."""

BAR_PART = 60
"""This part of a picture's height is that of its scale bar."""

VOXELS_AT_A_TIME = 2**22
"""Of an instance in which the slice to be shown is searched for; one slice at least."""

UNSEEN = 60
"""The grey behind instances where there is no image."""


def best_view(labels: Volume, number: int, start: Array, stop: Array, others: Volume | None = None) -> Box:
    """Return a square of the slice in which an instance is largest, with something around it.

    Parameters
    ----------
    labels : Volume
    number : int
        The instance.
    start, stop : (3,) integer
        Its bounding box, half-open.
    others : Volume, optional
        Labels that the instance joins, or that split it: rather the slice where the second one is largest.
    """
    size, box = labels.spec.size, Box(size3(start.tolist()), size3(stop.tolist()))
    depth = max(VOXELS_AT_A_TIME // (box.shape[1] * box.shape[2]), 1)
    seen = []
    for slab in boxes_within(box, (depth, size[1], size[2])):
        held = labels.read(slab) == number
        parts = held if others is None else np.where(held, others.read(slab), 0)
        seen += [(_second(part), np.count_nonzero(plane)) for part, plane in zip(parts, held, strict=True)]
    best = max(range(len(seen)), key=lambda place: (*seen[place], -abs(place - len(seen) // 2)))
    z = box.start[0] + best
    plane = labels.read(Box(size3([z, *box.start[1:]]), size3([z + 1, *box.stop[1:]])))[0] == number
    places = [np.flatnonzero(plane.any(axis=1 - axis)) + box.start[1 + axis] for axis in (0, 1)]
    return _square(z, places, size)


def _second(plane: Array) -> int:
    """Return the pixels of the instance that is the second largest in a slice; 0 where there is but one."""
    counts = np.unique(plane[plane > 0], return_counts=True)[1]
    return int(np.sort(counts)[-2]) if len(counts) > 1 else 0


def _square(z: int, places: Sequence[Array], size: Size) -> Box:
    """Return a square around the rows and columns of a slice that hold something."""
    side = int(max(np.ptp(one) + 1 for one in places) * (1 + 2 * AROUND))
    side = min(max(side, SIDE_VOXELS[0]), SIDE_VOXELS[1])
    low, high = [z], [z + 1]
    for axis, one in enumerate(places, start=1):
        first = int(one[0] + one[-1] + 1 - side) // 2
        low.append(max(min(first, size[axis] - side), 0))
        high.append(min(low[-1] + side, size[axis]))
    return Box(size3(low), size3(high))


def picture_of(
    box: Box,
    labels: Sequence[Volume],
    palettes: Sequence[Palette | None],
    meant: Sequence[int | None],
    image: Volume | None = None,
) -> bytes:
    """Return a slice with outlined instances as a PNG.

    Parameters
    ----------
    box : Box
    labels : sequence of Volume
        Of those after the first, outlines are dotted.
    palettes : sequence of Palette or None
        One for each.
    meant : sequence of int or None
        The instance of each that is outlined thicker.
    image : Volume, optional
        The grey values behind.
    """
    planes = [volume.read(box).squeeze(0) for volume in labels]
    grey = np.full(planes[0].shape, UNSEEN, np.uint8) if image is None else image.read(box).squeeze(0)
    limits = (0.0, 255.0) if image is None else grey_limits([grey])
    layers = [
        Layer(plane, palette, dotted=place > 0, meant=number)
        for place, (plane, palette, number) in enumerate(zip(planes, palettes, meant, strict=True))
    ]
    enlarge = max(PIXELS // max(grey.shape), 1)
    picture = outlined(Slice(grey, layers, ""), limits, (grey.shape[0] * enlarge, grey.shape[1] * enlarge))
    _draw_bar(picture, box, labels[0])
    return encoded_colours(picture)


def bar_words(box: Box, labels: Volume) -> str:
    """Return what a caption says of the scale bar; nothing where the voxel size is unknown."""
    length_nm = _bar_nm(box, labels)
    return "" if length_nm is None else f", bar {scale_words(length_nm)}"


def _bar_nm(box: Box, labels: Volume) -> int | None:
    voxel_nm = labels.spec.voxel_size_nm
    return None if voxel_nm is None else scale_nm(box.shape[2] * voxel_nm[2])


def _draw_bar(picture: npt.NDArray[np.uint8], box: Box, labels: Volume) -> None:
    """Draw a white bar with a black rim at the lower left."""
    length_nm = _bar_nm(box, labels)
    if length_nm is None or labels.spec.voxel_size_nm is None:
        return
    height, width = picture.shape[:2]
    thick = max(height // BAR_PART, 3)
    length = round(length_nm / (box.shape[2] * labels.spec.voxel_size_nm[2]) * width)
    top, left = height - 3 * thick, 2 * thick
    picture[top - 1 : top + thick + 1, left - 1 : left + length + 1] = 0
    picture[top : top + thick, left : left + length] = 255
