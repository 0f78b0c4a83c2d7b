"""One row an instance: its size, extent and place."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mitotools.segment.measure import Measurements, measure_block, measurement_columns, merge_measurements
from mitotools.stages.blockwise import map_blocks
from mitotools.stages.pieces import read_pieces
from mitotools.volume.files import open_volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.run.running import Running
    from mitotools.volume.base import Volume
    from mitotools.volume.blocks import Box
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

    def measure(box: Box, threads: int) -> Measurements:
        return measure_block(read_pieces(volume, box, threads), box.start)

    # Besides the labels, the table of their runs: five numbers a run, half as many as voxels at worst.
    voxel_bytes = volume.spec.dtype.itemsize + 20
    return merge_measurements(map_blocks([volume], measure, label, running, voxel_bytes))
