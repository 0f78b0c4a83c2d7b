"""How sure the maps are of each instance, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mitotools import history
from mitotools.errors import UsageError
from mitotools.segment.decoders import decoder
from mitotools.segment.measures.confidence import confidence_columns, confidence_part, merge_confidence
from mitotools.stages.blocks.blockwise import map_blocks
from mitotools.stages.blocks.pieces import read_pieces
from mitotools.stages.blocks.planning import Stored, demand_to_read
from mitotools.stages.blocks.resuming import is_complete
from mitotools.stages.decoding.maps import as_uint8
from mitotools.volume.atomic import check_file
from mitotools.volume.files import open_volume
from mitotools.volume.path import VolumePath
from mitotools.volume.table import rows_of, write_tsv

if TYPE_CHECKING:
    from pathlib import Path

    from mitotools.conventions import Array
    from mitotools.history import History
    from mitotools.run.running import Running
    from mitotools.segment.measures.confidence import ConfidencePart
    from mitotools.stages.blocks.steps import Step
    from mitotools.volume.base import Volume, VolumeSpec
    from mitotools.volume.blocks import Box

BYTES_PER_VOXEL = 60
"""Of a block, beside the maps: labels, and the table of their runs and planes."""


def check_scores(file: Path, method: str, running: Running) -> None:
    """Raise TargetError where the table cannot be written, and UsageError where a method has no mask."""
    if not any("mask" in names for names in decoder(method).channels):
        raise UsageError("--scores", f"--method {method} reads affinities, and scores need a mask")
    check_file(file, force=running.force, resume=bool(running.resume) and history.is_of_a_run(file))


def is_scored(file: Path, records: History, running: Running) -> bool:
    """Whether a table is there that would only be made again; this is said.

    Raises
    ------
    TargetError
        Where it was made otherwise.
    """
    return is_complete(file, lambda: history.read_sidecar(file), records, running, is_there=file.exists())


def steps_to_score(labels: VolumeSpec, maps: Volume, running: Running) -> list[Step]:
    """Return the steps of `write_scores` on labels like these, and load what they compute with."""
    one = np.ones((1, 1, 1), labels.dtype)
    part = confidence_part(one, one.astype(np.uint8), one.astype(np.uint8), (0, 0, 0), (slice(0, 1),) * 3)
    confidence_columns(merge_confidence([part]))
    return [(demand_to_read([Stored(labels), maps], _bytes_per_voxel(maps)), running.workers)]


def write_scores(labels: VolumePath, maps: Volume, file: Path, records: History, running: Running) -> None:
    """Write a row for each instance: how sure the maps are of it.

    Parameters
    ----------
    labels : VolumePath
        (Z, Y, X) instances.
    maps : Volume
        (C, Z, Y, X): mask, and contour where there is one.
    file : Path
        The table.
    records : History
        Of the instances.
    running : Running
    """
    with open_volume(VolumePath(labels.file, labels.dataset), "labels") as volume:
        size = volume.spec.size

        def part(box: Box, threads: int) -> ConfidencePart:
            around = box.grown((1, 1, 1), size)
            core = box.relative_to(around.start).slices
            values = as_uint8(read_pieces(maps, box, threads), maps.name)
            # What the maps hold in the margin is not looked at.
            mask = _inside(around, core, values[0])
            contour = _inside(around, core, values[1]) if len(values) > 1 else None
            return confidence_part(read_pieces(volume, around, threads), mask, contour, around.start, core)

        parts = map_blocks([volume, maps], part, "score", running, _bytes_per_voxel(maps))
        columns = confidence_columns(merge_confidence(parts))
    write_tsv(file, list(columns), rows_of(columns), records, force=running.force or bool(running.resume))


def _bytes_per_voxel(maps: Volume) -> float:
    return BYTES_PER_VOXEL + 4 * maps.spec.dtype.itemsize * (maps.spec.channels or 1)


def _inside(around: Box, core: tuple[slice, ...], values: Array) -> Array:
    result = np.zeros(around.shape, np.uint8)
    result[core] = values
    return result
