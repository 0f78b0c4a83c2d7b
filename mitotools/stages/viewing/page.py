"""A page with the slices of a volume, and what is known of its instances."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools import history
from mitotools.errors import InputError
from mitotools.parameters import StatsParameters
from mitotools.printable import printable
from mitotools.run.engine import ordered_map
from mitotools.run.memory import resident_bytes
from mitotools.stages.blocks.planning import memory_of
from mitotools.stages.blocks.views import Scaled
from mitotools.stages.stats import measure_instances
from mitotools.view.slice_page import add_image, begin_page, end_page
from mitotools.view.slices import Palette, as_greys, colours, grey_limits
from mitotools.volume.atomic import create_file
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.picture import (
    GREY_KIND,
    MOST_NUMBERS,
    NUMBERS_KIND,
    encoded_greys,
    encoded_numbers,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mitotools.conventions import Array
    from mitotools.history import History
    from mitotools.parameters import ViewParameters
    from mitotools.run.running import Running
    from mitotools.stages.blocks.pieces import Seen
    from mitotools.stages.scoring.judging import Judged
    from mitotools.volume.base import Volume
    from mitotools.volume.path import VolumePath

SAMPLED = 7
"""Slices whose grey values decide on black and white."""

BYTES_PER_VOXEL = 40
"""Of slices that are read at a time: resampling and encoding take some copies."""

PART_OF_MEMORY = 4
"""This part of the budget that is left is for them."""

EXACT = 2**53
"""A browser's numbers are exact below this; larger ids are texts."""


@dataclass(frozen=True)
class Shown:
    """Labels on a page.

    Parameters
    ----------
    path : VolumePath
    ids : tuple of int, optional
        The instances that are shown; None: all.
    judged : Judged, optional
        What became of them.
    is_truth : bool
    """

    path: VolumePath
    ids: tuple[int, ...] | None = None
    judged: Judged | None = None
    is_truth: bool = False


def shown_name(path: VolumePath) -> str:
    """Return what a volume is called beside its picture: its file, without the folders, dataset and crop."""
    dataset = f":{path.dataset}" if path.dataset else ""
    return printable(f"{Path(path.file).name}{dataset}{path.crop}")


def page_bytes(shape: Sequence[int]) -> int:
    """Return what reading a slice of so many voxels and writing it to a page takes."""
    return math.prod(shape) * BYTES_PER_VOXEL


def write_view_page(
    raw: VolumePath,
    labels: Sequence[Shown],
    target: Path,
    parameters: ViewParameters,
    positions: Sequence[int],
    legend: Mapping[str, str],
    counts: Mapping[str, int],
    records: History,
    running: Running,
) -> None:
    """Write a page; volumes are read some slices at a time.

    Parameters
    ----------
    raw : VolumePath
        (Z, Y, X) grey values.
    labels : sequence of Shown
        Of the same size.
    target : Path
    parameters : ViewParameters
    positions : sequence of int
        The slices, ascending.
    legend, counts : mapping of str to str, to int
        Colours of what may become of instances, and of how many it did; empty where that is not known.
    records : History
        Written beside the page.
    running : Running

    Raises
    ------
    InputError, TargetError
    """
    tables = [_Instances.of(one, parameters.axis, legend, running) for one in labels]
    axis = "zyx".index(parameters.axis)
    with ExitStack() as stack:
        image = stack.enter_context(open_volume(raw, "image"))
        volumes = [stack.enter_context(open_volume(one.path, "labels")) for one in labels]
        factor = min(1.0, parameters.longest / max(_in_plane(image.spec.size, axis)))
        scaled = partial(_scaled, factor=factor, axis=axis)
        seen = [scaled(image, is_labels=False), *(scaled(volume, is_labels=True) for volume in volumes)]
        title = " ".join([shown_name(raw), *(shown_name(one.path) for one in labels)])
        limits = _limits(seen[0], axis, positions)
        facts = {
            "title": title,
            "raw": {"name": shown_name(raw), "path": f"{raw}{raw.crop}", "crop": raw.crop},
            "limits": limits,
            "axis": parameters.axis,
            "positions": list(positions),
            **_proportions(image, seen[0], axis),
            "legend": dict(legend) or None,
            "counts": dict(counts),
        }
        with create_file(target, force=running.force) as file, file.open("w", encoding="utf-8") as page:
            begin_page(page, title)
            for name, kind, content in _images(seen, tables, limits, axis, positions, running):
                add_image(page, name, kind, content)
            end_page(page, {**facts, "layers": [table.told() for table in tables]})
            history.write_sidecar(file, records)


@dataclass(frozen=True, eq=False)
class _Instances:
    """The instances of a layer, where the middle of each lies, and what the page is told of it.

    `slices` are those that show most of each instance; -1 where none does. `scores` are in pixels.
    """

    ids: Array
    middles: Array
    facts: dict[str, Any]
    slices: Array
    scores: Array

    @classmethod
    def of(cls, shown: Shown, axis: str, legend: Mapping[str, str], running: Running) -> _Instances:
        """Measure them."""
        table = measure_instances(shown.path, StatsParameters(), running)
        columns = {name: column for name, column in table.columns.items() if column is not None}
        ids = columns["id"].astype(np.uint64)
        kept = np.isin(ids, np.array(shown.ids or [], np.uint64)) | (shown.ids is None)
        if np.count_nonzero(kept) >= MOST_NUMBERS:
            raise InputError(
                str(shown.path), f"has {len(ids)} instances, more than a page can show", "Use --ids"
            )
        rows = [list(row) for row, keep in zip(table.rows, kept.tolist(), strict=True) if keep]
        middles = (columns[f"{axis}_min"] + columns[f"{axis}_max"] - 1) / 2
        facts = {
            "name": shown_name(shown.path),
            "path": f"{shown.path}{shown.path.crop}",
            "truth": shown.is_truth,
            "names": table.names,
            "rows": [[_number(row[0]), *row[1:]] for row in rows],
        }
        drawn = colours(ids[kept])
        if shown.judged is not None:
            partners = [shown.judged.partners.get(row[0], (None, 0.0)) for row in rows]
            facts["kinds"] = [shown.judged.kinds.get(row[0]) for row in rows]
            facts["partners"] = [[_number(partner), iou] for partner, iou in partners]
            drawn = Palette.of(shown.judged.kinds, legend)[ids[kept]]
        facts["colours"] = [f"#{bytes(colour).hex()}" for colour in drawn]
        count = int(np.count_nonzero(kept))
        return cls(ids[kept], middles[kept], facts, np.full(count, -1), np.zeros(count))

    def look(self, number: int, position: int, pixels: Array) -> None:
        """Take note of the (K,) pixels of each instance on a slice; of equal ones the middlemost counts."""
        distance = abs(self.middles - position)
        score = pixels - distance / (2 * distance.max(initial=0) + 2)
        better = (pixels > 0) & (score > self.scores)
        self.slices[better] = number
        self.scores[better] = score[better]

    def told(self) -> dict[str, Any]:
        """Return what the page is told, after all slices were looked at."""
        return {**self.facts, "slices": [None if number < 0 else number for number in self.slices.tolist()]}

    def rows(self, labels: Array) -> Array:
        """Return the row of each voxel's instance, counted from 1; 0 where it has none."""
        if not len(self.ids):
            return np.zeros(labels.shape, np.uint32)
        labels = labels.astype(np.uint64)
        place = np.minimum(np.searchsorted(self.ids, labels), len(self.ids) - 1)
        return np.where(self.ids[place] == labels, place + 1, 0).astype(np.uint32)


def _number(value: int | None) -> int | str | None:
    return value if value is None or value < EXACT else str(value)


def _in_plane(sizes: Sequence[float], axis: int) -> list[Any]:
    return [size for i, size in enumerate(sizes) if i != axis]


def _scaled(volume: Volume, *, factor: float, axis: int, is_labels: bool) -> Seen:
    """Return a volume whose slices are as large as the page shows them."""
    if factor == 1.0:
        return volume
    z, y, x = (1.0 if i == axis else factor for i in range(3))
    return Scaled.of(volume, (z, y, x), is_labels=is_labels)


def _proportions(image: Volume, seen: Seen, axis: int) -> dict[str, Any]:
    """Return the pixels and voxels of a slice, how many times as high as wide they are, and lengths in nm."""
    size, voxel_nm = _in_plane(seen.spec.size, axis), image.spec.voxel_size_nm
    voxels = _in_plane(image.spec.size, axis)
    if voxel_nm is None:
        return {"size": size, "voxels": voxels, "stretch": 1.0, "width_nm": None, "depth_nm": None}
    lengths = [n * nm for n, nm in zip(voxels, _in_plane(voxel_nm, axis), strict=True)]
    stretch = lengths[0] / size[0] / (lengths[1] / size[1])
    return {
        "size": size,
        "voxels": voxels,
        "stretch": stretch,
        "width_nm": lengths[1],
        "depth_nm": voxel_nm[axis],
    }


def _limits(image: Seen, axis: int, positions: Sequence[int]) -> tuple[float, float]:
    """Return the grey values that are black and white, by some slices."""
    sample = np.unique(np.linspace(0, len(positions) - 1, SAMPLED).round().astype(int))
    boxes = [Box.slab(image.spec.size, axis, positions[i], positions[i]) for i in sample]
    return grey_limits([image.read(box) for box in boxes])


def _images(
    seen: Sequence[Seen],
    tables: Sequence[_Instances],
    limits: tuple[float, float],
    axis: int,
    positions: Sequence[int],
    running: Running,
) -> Iterator[tuple[str, str, bytes]]:
    """Yield name, kind and content of each slice and its labels, slice after slice, which tables see."""

    def encoded(task: tuple[int, int, Array]) -> tuple[Array, tuple[str, str, bytes]]:
        layer, number, plane = task
        if layer < 0:
            return plane, (f"raw-{number}", GREY_KIND, encoded_greys(as_greys(plane, limits)))
        rows = tables[layer].rows(plane)
        pixels = np.bincount(rows.ravel(), minlength=len(tables[layer].ids) + 1)[1:]
        return pixels, (f"labels-{layer}-{number}", NUMBERS_KIND, encoded_numbers(rows))

    room = (memory_of(running) - resident_bytes()) // PART_OF_MEMORY
    groups = list(_groups(seen[0], axis, positions, room))
    for group in running.track(groups, len(groups), "view", "slab"):
        first, last = positions[group[0]], positions[group[-1]]
        for layer, volume in enumerate(seen, start=-1):
            voxels = volume.read(Box.slab(volume.spec.size, axis, first, last))
            tasks = [(layer, number, voxels.take(positions[number] - first, axis)) for number in group]
            for (_, number, _), (pixels, content) in ordered_map(encoded, tasks, running.threads):
                if layer >= 0:
                    tables[layer].look(number, positions[number], pixels)
                yield content


def _groups(image: Seen, axis: int, positions: Sequence[int], room: int) -> Iterator[list[int]]:
    """Yield the numbers of slices that lie in the same chunks, as many as there is room for."""
    most = max(room // page_bytes(_in_plane(image.spec.size, axis)), 1)
    depth = max(min(image.spec.chunks[axis], most), 1)
    for _, group in groupby(range(len(positions)), key=lambda number: positions[number] // depth):
        yield list(group)
