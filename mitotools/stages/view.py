"""A picture of slices with outlined instances."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mitotools.errors import InputError
from mitotools.view.slices import Slice, draw_slices
from mitotools.volume.atomic import create_file
from mitotools.volume.blocks import Box, size3
from mitotools.volume.files import open_volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.parameters import ViewParameters
    from mitotools.run.running import Running
    from mitotools.volume.base import Volume
    from mitotools.volume.path import VolumePath

AXES = "zyx"
SLICES_SHOWN = 6
"""Where the user names none."""


def view_volume(
    raw: VolumePath,
    labels: Sequence[VolumePath],
    target: Path,
    parameters: ViewParameters,
    running: Running,
) -> list[int]:
    """Draw slices of a volume, the instances of each label volume outlined.

    Parameters
    ----------
    raw : VolumePath
        (Z, Y, X) grey values.
    labels : sequence of VolumePath
        (Z, Y, X) instances of the same size; one row of pictures each.
    target : Path
        The new PNG.
    parameters : ViewParameters
    running : Running

    Returns
    -------
    list of int
        The positions of the slices along the axis.

    Raises
    ------
    InputError, TargetError
    """
    axis = AXES.index(parameters.axis)
    with open_volume(raw, "image") as image:
        positions = _positions(image, axis, parameters.slices)
        rows = [_row(image, None, axis, positions)] if not labels else []
        for path in labels:
            with open_volume(path, "labels") as volume:
                if volume.spec.size != image.spec.size:
                    raise InputError(
                        volume.name, f"has size {volume.spec.size}, but {image.name} has {image.spec.size}"
                    )
                rows.append(_row(image, volume, axis, positions))
        voxel_size = image.spec.voxel_size_nm
    in_plane = None
    if voxel_size is not None:
        vertical, horizontal = (length for i, length in enumerate(voxel_size) if i != axis)
        in_plane = (vertical, horizontal)
    with create_file(target, force=running.force) as picture:
        draw_slices(picture, rows, in_plane, parameters.columns)
    return positions


def _positions(image: Volume, axis: int, wanted: Sequence[int] | None) -> list[int]:
    length = image.spec.size[axis]
    if wanted is None:
        count = min(SLICES_SHOWN, length)
        return [int(p) for p in (np.arange(count) + 0.5) / count * length]
    outside = [position for position in wanted if not 0 <= position < length]
    if outside:
        raise InputError(image.name, f"has slices 0 to {length - 1} along {AXES[axis]}, not {outside[0]}")
    return list(wanted)


def _row(image: Volume, labels: Volume | None, axis: int, positions: Sequence[int]) -> list[Slice]:
    row = []
    for position in positions:
        box = _plane(image.spec.size, axis, position)
        instances = labels.read(box).squeeze(axis) if labels else None
        caption = f"{AXES[axis]} {position}" + (f"   {Path(labels.name).name}" if labels else "")
        row.append(Slice(image.read(box).squeeze(axis), instances, caption))
    return row


def _plane(size: tuple[int, int, int], axis: int, position: int) -> Box:
    start = [position if i == axis else 0 for i in range(3)]
    stop = [position + 1 if i == axis else n for i, n in enumerate(size)]
    return Box(size3(start), size3(stop))
