"""Connected components of maps of any size: exactly those of `segment.decoders.connected_components`."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mitotools.segment.blockwise.joining import Numbers, group_firsts, group_voxels, joined, joined_markers
from mitotools.segment.blockwise.painting import paint, runs_of_labels
from mitotools.segment.components import grey_level
from mitotools.segment.decoders.connected_components import (
    BYTES_PER_VOXEL,
    REACH_VOXELS,
    block_part,
    grown,
    least_voxels,
)
from mitotools.stages.blocks.pieces import read_pieces
from mitotools.stages.blocks.planning import memory_of
from mitotools.stages.decoding.block_step import BlockWork
from mitotools.stages.decoding.instances import Everywhere, Instances, Layer, runs_between
from mitotools.stages.decoding.maps import as_uint8
from mitotools.stages.decoding.parts import file_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mitotools.conventions import Array
    from mitotools.parameters import DecodeParameters
    from mitotools.run.engine import Engine
    from mitotools.run.running import Running
    from mitotools.segment.blockwise.joining import Markers
    from mitotools.segment.blockwise.places import Integers
    from mitotools.stages.decoding.parts import Parts
    from mitotools.volume.base import Volume
    from mitotools.volume.blocks import Box


def work(parameters: DecodeParameters) -> BlockWork:
    """Return what is done with a block."""
    return BlockWork(block_part, parameters, BYTES_PER_VOXEL)


def instances(
    maps: Volume, parts: Parts, parameters: DecodeParameters, running: Running, engine: Engine
) -> Instances:
    """Join components across blocks, let the other voxels join them, and number the instances."""
    least = least_voxels(parameters, maps.spec.channels or 1)
    shared = parts.shared("shared", memory_of(running, engine), lambda _, table: table.voxels >= least)
    groups = joined(shared)
    sizes, firsts = group_voxels(shared, groups), group_firsts(shared, groups)
    everywhere = np.ones(groups.count, np.bool_)
    markers = joined_markers(list(parts.tables("known")), groups, firsts, sizes, everywhere)
    if (maps.spec.channels or 1) == 1:
        numbers = markers.final(0, parameters.min_size_voxels)
        layer = Layer(parts.files("runs"), markers.numbers.through(numbers))
    else:
        open_names = Numbers(groups.names, firsts[groups.group_of] + 1)
        voxels, files = _joined_voxels(maps, parts, markers, open_names, parameters, running, engine)
        numbers = markers.final(voxels - markers.voxels, parameters.min_size_voxels)
        layer = Layer(files, Everywhere(numbers))
    count = int(numbers.max(initial=0))
    return Instances(maps.spec.size, parts.blocks, (layer,), count, _why_none(maps, parts, parameters))


def _why_none(maps: Volume, parts: Parts, parameters: DecodeParameters) -> str:
    """Return why there is no instance, if there is none: which threshold leaves nothing."""
    if any(found.any() for found in parts.tables("found")):
        return f"no instance has --min-size {parameters.min_size_voxels} voxels"
    contour = f" and --seed-contour {parameters.seed_contour:g}" if (maps.spec.channels or 1) > 1 else ""
    return f"no voxel is left by --foreground {parameters.foreground:g}{contour}"


@dataclass(frozen=True, eq=False)
class _Growth:
    """The second step, of one block, wherever it is sent: the voxels that join components.

    Components go by their first voxel in the volume, plus 1: by these names they are known in all blocks, and
    lower names are lower numbers.
    """

    maps: Volume
    folder: Path
    blocks: Sequence[Box]
    open_names: Numbers
    by_name: Numbers
    parameters: DecodeParameters

    def __call__(self, item: tuple[int, Box]) -> tuple[Integers, Integers]:
        number, box = item
        size = self.maps.spec.size
        around = box.grown((0, REACH_VOXELS, REACH_VOXELS), size)
        names, labels = self._labels(around)
        inside = box.relative_to(around.start).slices
        maps = as_uint8(read_pieces(self.maps, box, 1), self.maps.name)
        foreground = np.zeros(around.shape, np.bool_)
        foreground[inside] = maps[0] > grey_level(self.parameters.foreground)
        labels = grown(labels, foreground, self.parameters.as_program)[inside]
        runs = runs_of_labels(labels, box.start, size)
        runs["id"] = self.by_name.of(0, names)[runs["id"] - 1]
        runs = runs[runs["id"] != 0]
        runs.tofile(file_of(self.folder, "grown", number))
        markers, of_run = np.unique(runs["id"], return_inverse=True)
        voxels = np.zeros(markers.size, np.int64)
        np.add.at(voxels, of_run, runs["length"])
        return markers, voxels

    def _labels(self, around: Box) -> tuple[Integers, Array]:
        """Return the components of a box: their names, ascending, and labels 1..n that stand for them."""
        found = []
        for block, whole in enumerate(self.blocks):
            shared = whole.intersection(around)
            if shared.is_empty:
                continue
            runs = runs_between(
                file_of(self.folder, "runs", block), shared.start[0], shared.stop[0], self.maps.spec.size
            )
            firsts = np.fromfile(file_of(self.folder, "firsts", block), np.int64)
            names = self.open_names.of(block, runs["id"])
            found.append((runs, np.where(names > 0, names, firsts[runs["id"]] + 1)))
        names, of_run = np.unique(np.concatenate([names for _, names in found]), return_inverse=True)
        labels = np.zeros(around.shape, np.uint32)
        runs = np.concatenate([runs for runs, _ in found])
        paint(labels, runs, of_run + 1, around.start, self.maps.spec.size)
        return names, labels


def _joined_voxels(
    maps: Volume,
    parts: Parts,
    markers: Markers,
    open_names: Numbers,
    parameters: DecodeParameters,
    running: Running,
    engine: Engine,
) -> tuple[Integers, dict[int, list[Path]]]:
    """Let voxels join components; return the voxels of each marker, and where they are."""
    voxels = np.zeros(markers.voxels.size, np.int64)
    order = np.argsort(markers.firsts[1:])
    by_name = Numbers(markers.firsts[1:][order] + 1, order + 1)
    growth = _Growth(maps, parts.folder, parts.blocks, open_names, by_name, parameters)
    with closing(engine.map(growth, enumerate(parts.blocks), parts.slots)) as grown_blocks:
        tracked = running.track(grown_blocks, len(parts.blocks), "join", "blocks")
        for _, (reached, counts) in tracked:
            np.add.at(voxels, reached, counts)
    return voxels, parts.files("grown")
