"""Slices of a volume with outlined instances: a picture, or a page to look through."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mitotools import history
from mitotools.errors import InputError, UsageError
from mitotools.segment.scores.verdicts import MISSED
from mitotools.stages.blocks.blockwise import map_blocks
from mitotools.stages.blocks.pieces import warn_of_grey_values
from mitotools.stages.blocks.planning import demand_of
from mitotools.stages.blocks.steps import check_steps
from mitotools.stages.scoring.judging import LEGEND, judge
from mitotools.stages.viewing.page import Shown, page_bytes, shown_name, write_view_page
from mitotools.view.montage import DOTTED, draw_slices, picture_bytes
from mitotools.view.slices import Layer, Palette, Slice
from mitotools.volume.atomic import check_file, create_file
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.outputs import check_apart
from mitotools.volume.same_size import require_same_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.conventions import Array
    from mitotools.history import History
    from mitotools.parameters import ViewParameters
    from mitotools.run.running import Running
    from mitotools.stages.scoring.judging import Judged
    from mitotools.volume.base import Volume
    from mitotools.volume.path import VolumePath

AXES = "zyx"
MOST_SLICES = {".png": 6, ".html": 500}
"""Where the user names none."""


@dataclass(frozen=True, eq=False)
class View:
    """What a picture or a page shows.

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
        The new file: ``.png``, or ``.html`` for a page.
    parameters : ViewParameters
    running : Running
    truth : VolumePath, optional
        (Z, Y, X) instances of the same size: colours tell what became of instances, and the truth is drawn
        above them, dotted. On a page it is compared with the only label volume.

    Returns
    -------
    View

    Raises
    ------
    InputError, TargetError, UsageError
    """
    suffix = target.suffix.lower()
    if suffix not in MOST_SLICES:
        raise UsageError(str(target), f"a view is one of {', '.join(MOST_SLICES)}")
    if truth is not None and not labels:
        raise UsageError("--truth", "judges predictions, and there are none", "Name LABELS too")
    if truth is not None and len(labels) > 1 and suffix == ".html":
        raise UsageError("--truth", f"judges one prediction on a page, and there are {len(labels)}")
    paths = [raw, *labels, *([truth] if truth is not None else [])]
    check_apart([target], paths)
    check_file(target, force=running.force)
    warn_of_grey_values(*paths[1:])
    with ExitStack() as stack:
        volumes = [
            stack.enter_context(open_volume(path, "labels" if i else "image")) for i, path in enumerate(paths)
        ]
        for volume in volumes[1:]:
            require_same_size(volume, volumes[0])
        of_labels = volumes[1 : 1 + len(labels)]
        positions = _positions(volumes[0], of_labels, parameters, MOST_SLICES[suffix], running)
        _check_memory(volumes, parameters, positions, suffix, running)
        judged = [] if truth is None else [judge(path, truth, parameters.hit_iou, running) for path in labels]
        counts = [_counts(*both) for both in judged]
        inputs = [volume.source() for volume in volumes]
        records = history.extended(inputs, running.command_line, asdict(parameters))
        if suffix == ".png":
            names = [shown_name(path) for path in labels or [raw]]
            _draw(target, volumes, names, judged, _legend(counts), parameters, positions, records, running)
    if suffix == ".html":
        positions = sorted(set(positions))
        shown = [Shown(path, parameters.ids, judged[0][0] if judged else None) for path in labels]
        if truth is not None:
            shown.append(Shown(truth, None, judged[0][1], is_truth=True))
        legend, found = (LEGEND, counts[0]) if judged else ({}, {})
        write_view_page(raw, shown, target, parameters, positions, legend, found, records, running)
    return View(positions, counts)


def _check_memory(
    volumes: Sequence[Volume],
    parameters: ViewParameters,
    positions: Sequence[int],
    suffix: str,
    running: Running,
) -> None:
    """Refuse a budget that is too little for a picture, or for a slice of a page."""
    image, *labels = volumes
    axis = AXES.index(parameters.axis)
    height, width = (length for i, length in enumerate(image.spec.size) if i != axis)
    if suffix == ".html":
        amount = page_bytes((height, width))
    else:
        itemsizes = 2 * image.spec.dtype.itemsize + sum(volume.spec.dtype.itemsize for volume in labels)
        amount = height * width * itemsizes * len(positions)
        count = len(positions) * max(len(labels), 1)
        amount += picture_bytes((height, width), _pixel_nm(image, axis), count, parameters.longest)
    demand = replace(demand_of(image.spec, volumes, amount), size=(1, 1, 1), unit=(1, 1, 1), sources=())
    check_steps([(demand, 0)], running)


def _pixel_nm(image: Volume, axis: int) -> tuple[float, float] | None:
    """Return the (vertical, horizontal) size of a slice's pixels, if it is known."""
    if image.spec.voxel_size_nm is None:
        return None
    vertical, horizontal = (length for i, length in enumerate(image.spec.voxel_size_nm) if i != axis)
    return vertical, horizontal


def _counts(predictions: Judged, truths: Judged) -> dict[str, int]:
    found = {side: list(judged.kinds.values()) for side, judged in (("p", predictions), ("t", truths))}
    return {kind: found["t" if kind == MISSED else "p"].count(kind) for kind in LEGEND}


def _legend(counts: Sequence[dict[str, int]]) -> dict[str, str]:
    """Return the colours of the kinds that there are, with how many instances are of each in all labels."""
    sums = {kind: sum(found[kind] for found in counts) for kind in (LEGEND if counts else ())}
    legend = {f"{kind} {count}": LEGEND[kind] for kind, count in sums.items() if count}
    return {**legend, DOTTED: "#FFFFFF"} if counts else {}


def _positions(
    image: Volume, volumes: Sequence[Volume], parameters: ViewParameters, most: int, running: Running
) -> list[int]:
    """Return the slices asked for, or some between the first and the last that could be of interest."""
    axis = AXES.index(parameters.axis)
    length = image.spec.size[axis]
    if parameters.slices is not None:
        outside = [position for position in parameters.slices if not 0 <= position < length]
        if outside:
            raise InputError(image.name, f"has slices 0 to {length - 1} along {AXES[axis]}, not {outside[0]}")
    first, last = 0, length
    if parameters.ids is not None and volumes:
        first, last = _extent(volumes, axis, parameters.ids, running)
    if parameters.slices is not None:
        return list(parameters.slices)
    count = min(most, last - first)
    return [first + int(p) for p in (np.arange(count) + 0.5) / count * (last - first)]


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


def _draw(
    target: Path,
    volumes: Sequence[Volume],
    names: Sequence[str],
    judged: Sequence[tuple[Judged, Judged]],
    legend: dict[str, str],
    parameters: ViewParameters,
    positions: Sequence[int],
    records: History,
    running: Running,
) -> None:
    """Write a picture of an image and its labels, the truth among them where they are judged."""
    axis = AXES.index(parameters.axis)
    image, *labels = volumes
    truth = labels.pop() if judged else None
    boxes = [Box.slab(image.spec.size, axis, position, position) for position in positions]
    greys = [image.read(box).squeeze(axis) for box in boxes]
    captions = [f"{AXES[axis]} {position}" for position in positions]
    rows = [] if labels else [[Slice(grey, (), words) for grey, words in zip(greys, captions, strict=True)]]
    for number, volume in enumerate(labels):
        own, true = [Palette.of(one.kinds, LEGEND) for one in judged[number]] if judged else (None, None)
        true_ids = _partners(judged[number], parameters.ids) if judged and parameters.ids else None
        row = []
        for box, grey, words in zip(boxes, greys, captions, strict=True):
            layers = [Layer(_chosen(volume.read(box).squeeze(axis), parameters.ids), own)]
            if truth is not None:
                layers.append(Layer(_chosen(truth.read(box).squeeze(axis), true_ids), true, dotted=True))
            row.append(Slice(grey, layers, words))
        rows.append(row)
    with create_file(target, force=running.force) as picture:
        named = list(zip(names, rows, strict=True))
        draw_slices(picture, named, _pixel_nm(image, axis), parameters.columns, parameters.longest, legend)
        history.write_sidecar(picture, records)


def _partners(judged: tuple[Judged, Judged], ids: Sequence[int]) -> list[int]:
    """Return the truths that some predictions fit best, or that fit best to them."""
    predictions, truths = judged
    fitting = [number for number, (partner, _) in truths.partners.items() if partner in ids]
    fitted = (predictions.partners[number][0] for number in ids if number in predictions.partners)
    return fitting + [number for number in fitted if number is not None]


def _chosen(labels: Array, ids: Sequence[int] | None) -> Array:
    return labels if ids is None else np.where(np.isin(labels, np.array(ids, np.uint64)), labels, 0)
