"""A picture of slices with outlined instances."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mitotools.errors import InputError, UsageError
from mitotools.segment.verdicts import FALSE_POSITIVE, HIT, MERGED, MISSED, SPLIT
from mitotools.stages.blockwise import map_blocks
from mitotools.stages.comparing import require_same_size
from mitotools.stages.judging import judge
from mitotools.view.slices import DOTTED, Layer, Palette, Slice, draw_slices
from mitotools.volume.atomic import check_file, create_file
from mitotools.volume.blocks import Box, size3
from mitotools.volume.files import open_volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.conventions import Array
    from mitotools.parameters import ViewParameters
    from mitotools.run.running import Running
    from mitotools.stages.judging import Judged
    from mitotools.volume.base import Volume
    from mitotools.volume.path import VolumePath

AXES = "zyx"
SLICES_SHOWN = 6
"""Where the user names none."""

LEGEND = {HIT: "#56B4E9", MISSED: "#F0E442", FALSE_POSITIVE: "#D55E00", SPLIT: "#CC79A7", MERGED: "#009E73"}
"""For all kinds of colour vision (Okabe and Ito, 2008)."""


@dataclass(frozen=True, eq=False)
class View:
    """What a picture showed.

    Parameters
    ----------
    positions : list of int
        The slices, along the axis.
    counts : list of dict of str to int
        Of each label volume, how many instances are of each kind; missed ones of the truth, the others of the
        prediction. Empty without a truth.
    """

    positions: list[int]
    counts: list[dict[str, int]]


def view_volume(
    raw: VolumePath,
    labels: Sequence[VolumePath],
    target: Path,
    parameters: ViewParameters,
    running: Running,
    truth: VolumePath | None = None,
) -> View:
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
    truth : VolumePath, optional
        (Z, Y, X) instances of the same size: colours tell what became of instances, and the truth is drawn
        above them, dotted.

    Returns
    -------
    View

    Raises
    ------
    InputError, TargetError, UsageError
    """
    if truth is not None and not labels:
        raise UsageError("--truth", "judges predictions, and there are none", "Name LABELS too")
    check_file(target, force=running.force)
    axis = AXES.index(parameters.axis)
    judged = [] if truth is None else [judge(path, truth, parameters.hit_iou, running) for path in labels]
    with ExitStack() as stack:
        image = stack.enter_context(open_volume(raw, "image"))
        volumes = [stack.enter_context(open_volume(path, "labels")) for path in labels]
        true = None if truth is None else stack.enter_context(open_volume(truth, "labels"))
        for volume in volumes:
            require_same_size(volume, image)
        positions = _positions(image, volumes, axis, parameters, running)
        rows = _rows(image, volumes, true, judged, axis, positions, parameters.ids)
        voxel_size = image.spec.voxel_size_nm
    in_plane = None
    if voxel_size is not None:
        vertical, horizontal = (length for i, length in enumerate(voxel_size) if i != axis)
        in_plane = (vertical, horizontal)
    legend = {**LEGEND, DOTTED: "#FFFFFF"} if judged else None
    with create_file(target, force=running.force) as picture:
        draw_slices(picture, rows, in_plane, parameters.columns, legend)
    return View(positions, [_counts(one) for one in judged])


def _counts(judged: Judged) -> dict[str, int]:
    of_predictions, of_truths = list(judged.predictions.values()), list(judged.truths.values())
    return {kind: (of_truths if kind == MISSED else of_predictions).count(kind) for kind in LEGEND}


def _positions(
    image: Volume, volumes: Sequence[Volume], axis: int, parameters: ViewParameters, running: Running
) -> list[int]:
    """Return the slices asked for, or a few between the first and the last that could be of interest."""
    length = image.spec.size[axis]
    first, last = 0, length
    if parameters.ids is not None and volumes:
        first, last = _extent(volumes, axis, parameters.ids, running)
    if parameters.slices is None:
        count = min(SLICES_SHOWN, last - first)
        return [first + int(p) for p in (np.arange(count) + 0.5) / count * (last - first)]
    outside = [position for position in parameters.slices if not 0 <= position < length]
    if outside:
        raise InputError(image.name, f"has slices 0 to {length - 1} along {AXES[axis]}, not {outside[0]}")
    return list(parameters.slices)


def _extent(volumes: Sequence[Volume], axis: int, ids: Sequence[int], running: Running) -> tuple[int, int]:
    """Return the range along an axis in which instances lie, in any of the volumes."""
    wanted = np.array(ids, np.uint64)

    def look(box: Box, _: int) -> tuple[set[int], list[int]]:
        present: set[int] = set()
        planes: set[int] = set()
        for volume in volumes:
            labels = volume.read(box)
            hits = np.isin(labels, wanted)
            present |= {int(number) for number in np.unique(labels[hits])}
            across = hits.any(axis=tuple(other for other in range(3) if other != axis))
            planes |= {int(place) + box.start[axis] for place in np.flatnonzero(across)}
        return present, [min(planes), max(planes) + 1] if planes else []

    bytes_each = sum(2 * volume.spec.dtype.itemsize for volume in volumes) + 2
    found = list(map_blocks(volumes, look, "view", running, bytes_each))
    present = set().union(*(numbers for numbers, _ in found))
    if missing := sorted(set(ids) - present):
        names = " and ".join(volume.name for volume in volumes)
        raise InputError(names, f"has no instance {', '.join(map(str, missing))}")
    edges = [edge for _, both in found for edge in both]
    return min(edges), max(edges)


def _rows(
    image: Volume,
    volumes: Sequence[Volume],
    truth: Volume | None,
    judged: Sequence[Judged],
    axis: int,
    positions: Sequence[int],
    ids: Sequence[int] | None,
) -> list[list[Slice]]:
    """Return the slices of each label volume, or of none."""
    boxes = [_plane(image.spec.size, axis, position) for position in positions]
    greys = [image.read(box).squeeze(axis) for box in boxes]
    captions = [f"{AXES[axis]} {position}" for position in positions]
    rows = [[Slice(grey, (), words) for grey, words in zip(greys, captions, strict=True)]]
    for number, volume in enumerate(volumes):
        own = Palette.of(judged[number].predictions, LEGEND) if judged else None
        true = Palette.of(judged[number].truths, LEGEND) if judged else None
        row = []
        for box, grey, words in zip(boxes, greys, captions, strict=True):
            layers = [Layer(_chosen(volume.read(box).squeeze(axis), ids), own)]
            if truth is not None:
                layers.append(Layer(truth.read(box).squeeze(axis), true, dotted=True))
            row.append(Slice(grey, layers, f"{words}   {Path(volume.name).name}"))
        rows.append(row)
    return rows[1:] or rows


def _chosen(labels: Array, ids: Sequence[int] | None) -> Array:
    return labels if ids is None else np.where(np.isin(labels, np.array(ids, np.uint64)), labels, 0)


def _plane(size: tuple[int, int, int], axis: int, position: int) -> Box:
    start = [position if i == axis else 0 for i in range(3)]
    stop = [position + 1 if i == axis else n for i, n in enumerate(size)]
    return Box(size3(start), size3(stop))
