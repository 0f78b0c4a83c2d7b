"""One row an instance: its size, extent and place."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mitotools.run.engine import ordered_map
from mitotools.segment.measure import Measurements, measure_block, measurement_columns, merge_measurements
from mitotools.stages.convert import blocks_of
from mitotools.volume.blocks import grid
from mitotools.volume.files import open_volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.run.running import Running
    from mitotools.volume.base import Volume
    from mitotools.volume.path import VolumePath


def measure_instances(source: VolumePath, running: Running) -> tuple[list[str], list[Sequence[Any]]]:
    """Measure every instance of a label volume.

    Parameters
    ----------
    source : VolumePath
        (Z, Y, X) labels.
    running : Running

    Returns
    -------
    names : list of str
        Of the columns; see `mitotools.segment.measure.measurement_columns` for what they hold.
    rows : list of sequences
        One an instance, by ascending id. A value that needs the voxel size is None where that is unknown.

    Raises
    ------
    InputError
    """
    with open_volume(source, "labels") as volume:
        measurements = measure_volume(volume, running, "stats")
        voxel_size = volume.spec.voxel_size_nm
    if voxel_size is None:
        logging.getLogger(__name__).warning(
            "%s: the voxel size is unknown: columns in nm and um stay empty. "
            "Give it with 'mitotools convert --voxel-size'.",
            source,
        )
    columns = measurement_columns(measurements, voxel_size)
    count = len(measurements)
    values = [[None] * count if column is None else column.tolist() for column in columns.values()]
    return list(columns), list(zip(*values, strict=True))


def measure_volume(volume: Volume, running: Running, label: str) -> Measurements:
    """Measure the instances of an open label volume, block by block."""
    boxes = grid(volume.spec.size, blocks_of(volume.spec))
    parts = ordered_map(lambda box: measure_block(volume.read(box), box.start), boxes, running.threads)
    return merge_measurements(part for _, part in running.track(parts, len(boxes), label, "blocks"))
