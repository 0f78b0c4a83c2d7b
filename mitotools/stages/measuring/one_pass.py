"""Reading an open volume once, by blocks, into what is known of its instances."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mitotools.errors import MachineError
from mitotools.run.budget import CLUSTER_BYTES, SLACK, check_enough, written
from mitotools.segment.measures.instance_tables import columns_of_none, merged_tables, tables_of_block
from mitotools.segment.measures.measure import Core, measure_block, measurement_columns, merge_measurements
from mitotools.segment.measures.surface import reach, steps
from mitotools.segment.runs import merge_gradually
from mitotools.stages.blocks.blockwise import map_blocks
from mitotools.stages.blocks.computed import reading_bytes
from mitotools.stages.blocks.pieces import read_labels, read_pieces
from mitotools.stages.blocks.planning import demand_to_read, memory_of
from mitotools.volume.blocks import Box, size3

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.conventions import Array
    from mitotools.run.budget import Demand
    from mitotools.run.running import Running
    from mitotools.segment.measures.instance_tables import Tables
    from mitotools.segment.measures.measure import Measurements
    from mitotools.stages.blocks.pieces import Seen

Columns = dict[str, "Array | None"]

BYTES_PER_VOXEL = 8
"""Of a block, beside its voxels twice: runs and touches, some rows at a time. Fewer and larger blocks read
less of their neighbours: with three times as much, `stats` took 1.3 times as long."""

COPIES = 4
"""Of tables while they are merged: one by one, behind each other, sorted, and added up."""


def measure_volume(volume: Seen, running: Running, label: str) -> Measurements:
    """Measure size, extent and moments of the instances of an open label volume, block by block."""

    def measure(box: Box, threads: int) -> Measurements:
        return measure_block(read_labels(volume, box, threads), box.start)

    found = merge_measurements(map_blocks([volume], measure, label, running, _bytes_per_voxel([volume])))
    return replace(found, size=volume.spec.size)


def known_columns(volume: Seen, *, in_full: bool) -> Columns:
    """Return the columns without a row: of `measure_volume`, or in full, of `all_tables`.

    What counts them is loaded, so that its memory is seen when blocks are planned.
    """
    if in_full:
        return columns_of_none(volume.spec.voxel_size_nm, volume.spec.dtype)
    found = measure_block(np.zeros((1, 1, 1), volume.spec.dtype))
    return measurement_columns(replace(found, size=(1, 1, 1)), volume.spec.voxel_size_nm)


def all_tables(
    labels: Seen,
    running: Running,
    label: str,
    raw: Seen | None = None,
    within: Seen | None = None,
) -> Tables:
    """Measure everything in one pass, for `segment.measures.instance_tables.table_columns`.

    Parameters
    ----------
    labels : Seen
        (Z, Y, X) labels, open.
    running : Running
    label : str
        What progress is shown as.
    raw : Seen, optional
        Grey values of the same shape, in 8 or 16 bits.
    within : Seen, optional
        Labels of the same shape: cells, or neurites.

    Raises
    ------
    InputError
        Where an id is negative.
    MachineError
        Where the budget is too small for blocks, or for the tables.
    """
    size, voxel_size = labels.spec.size, labels.spec.voxel_size_nm
    pairs, far = steps(voxel_size), reach(voxel_size)

    def measure(box: Box, threads: int) -> Tables:
        stop = size3([min(b + m, n) for b, m, n in zip(box.stop, far, size, strict=True)])
        around = read_labels(labels, Box(box.start, stop), threads)
        greys = None if raw is None else read_pieces(raw, box, threads)
        hosts = None if within is None else read_labels(within, box, threads)
        return tables_of_block(around, Core(box.start, box.shape), pairs, greys, hosts)

    known_columns(labels, in_full=True)
    volumes = [volume for volume in (labels, raw, within) if volume is not None]
    room = _Room(volumes, running)
    blocks = map_blocks(volumes, measure, label, room.for_blocks, _bytes_per_voxel(volumes))
    return merge_gradually(blocks, room.merged).within(size)


def demand_to_measure(volumes: Sequence[Seen], *, in_full: bool) -> Demand:
    """Return what reading volumes for `measure_volume` needs, or in full, for `all_tables`."""
    demand = demand_to_read(volumes, _bytes_per_voxel(volumes))
    if not in_full:
        return demand
    # As much as blocks take is for tables.
    return replace(demand, bytes_per_voxel=2 * demand.bytes_per_voxel, thread_bytes=2 * demand.thread_bytes)


def _bytes_per_voxel(volumes: Sequence[Seen]) -> float:
    reading = sum(2 * volume.spec.dtype.itemsize + reading_bytes(volume) for volume in volumes)
    return reading + BYTES_PER_VOXEL


class _Room:
    """The memory for blocks, which is half of what is left, and for tables, which grow with pairs that touch.

    Parameters
    ----------
    volumes : sequence of Seen
    running : Running

    Raises
    ------
    MachineError
        Where the budget is too small.
    """

    def __init__(self, volumes: Sequence[Seen], running: Running) -> None:
        self.for_blocks = running
        self._threads = running.threads
        if running.scheduler:  # whose memory is not this machine's
            self._budget, self._others = memory_of(running), 0
            return
        demand = demand_to_measure(volumes, in_full=True)
        self._budget = memory_of(running)
        self._others = demand.base_bytes
        if running.workers:
            self._others += CLUSTER_BYTES + running.workers * demand.worker_bytes
        check_enough([(demand, running.workers)], self._budget)
        half = int(self._budget + self._others / SLACK) // 2 + 1
        self.for_blocks = replace(running, memory_bytes=half)

    def merged(self, parts: list[Tables]) -> Tables:
        """Merge tables; MachineError where there is no room to."""
        sizes = [part.nbytes for part in parts]
        tables = COPIES * (sum(sizes) + self._threads * max(sizes, default=0))
        need = int(self._others / SLACK + 2 * tables / SLACK)
        if need > self._budget:
            why = f"{written(self._budget)} is too little for the table of instances that touch"
            raise MachineError("--memory", why, f"Give more than {written(need)}")
        return merged_tables(parts)
