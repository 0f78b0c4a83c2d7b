"""One row an instance: its size, extent and place, its shape and surface, and what it touches."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from mitotools import history
from mitotools.errors import InputError
from mitotools.segment.hosts import host_columns, per_host_columns
from mitotools.segment.instance_tables import Tables, merge_tables, table_columns, tables_of_block
from mitotools.segment.measure import Core, Measurements, measure_block, merge_measurements
from mitotools.segment.summary import summary
from mitotools.segment.surface import reach, steps
from mitotools.stages.blockwise import map_blocks
from mitotools.stages.pieces import read_pieces
from mitotools.volume.blocks import Box, size3
from mitotools.volume.files import open_volume, source_of
from mitotools.volume.table import rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.conventions import Array
    from mitotools.history import History
    from mitotools.parameters import StatsParameters
    from mitotools.run.running import Running
    from mitotools.volume.base import Volume
    from mitotools.volume.path import VolumePath

Columns = dict[str, "Array | None"]

BYTES_PER_VOXEL = 8
"""Of a block, beside its voxels twice: runs and touches, of `PIECE_VOXELS` at a time. Fewer and larger blocks
read less of their neighbours: with three times as much, `stats` took 1.3 times as long."""


@dataclass(frozen=True, eq=False)
class Table:
    """What `stats` prints.

    Parameters
    ----------
    names : list of str
        Of the columns.
    rows : list of sequences
        A value that needs the voxel size is None where that is unknown.
    history : History
        How the table came to be.
    """

    names: list[str]
    rows: list[Sequence[Any]]
    history: History = ()


def measure_instances(
    source: VolumePath,
    parameters: StatsParameters,
    running: Running,
    raw: VolumePath | None = None,
    within: VolumePath | None = None,
) -> Table:
    """Measure every instance of a label volume.

    Parameters
    ----------
    source : VolumePath
        (Z, Y, X) labels.
    parameters : StatsParameters
    running : Running
    raw : VolumePath, optional
        Grey values of the same shape, in 8 or 16 bits.
    within : VolumePath, optional
        Labels of the same shape: cells, or neurites.

    Returns
    -------
    Table
        One row an instance, by ascending id: see `mitotools.segment.instance_tables.table_columns` and
        `mitotools.segment.hosts.host_columns` for the columns. A summary has the columns name and value
        (`mitotools.segment.summary.summary`), or with hosts one row a host
        (`mitotools.segment.hosts.per_host_columns`).

    Raises
    ------
    InputError
        Where a volume is of another kind or shape.
    """
    with ExitStack() as stack:
        opened = {"labels": stack.enter_context(open_volume(source, "labels"))}
        if raw is not None:
            opened["raw"] = _required_grey(stack.enter_context(open_volume(raw, "image")))
        if within is not None:
            opened["within"] = stack.enter_context(open_volume(within, "labels"))
        paths = [path for path in (source, raw, within) if path is not None]
        _require_same_size(list(opened.values()))
        inputs = [source_of(path, volume) for path, volume in zip(paths, opened.values(), strict=True)]
        made_with = {**asdict(parameters), "crops": [path.crop for path in paths]}
        tables = _tables(opened, running)
        labels = opened["labels"]
    if labels.spec.voxel_size_nm is None:
        logging.getLogger(__name__).warning(
            "%s: the voxel size is unknown: columns in nm and um stay empty. "
            "Give it with 'mitotools convert --voxel-size'.",
            source,
        )
    table = _table(tables, labels, parameters)
    return replace(table, history=history.extended(inputs, running.command_line, made_with))


def measure_volume(volume: Volume, running: Running, label: str, more_bytes: float = 0) -> Measurements:
    """Measure size, extent and moments of the instances of an open label volume, block by block.

    `more_bytes` is what reading a voxel takes beside the labels themselves.
    """

    def measure(box: Box, threads: int) -> Measurements:
        return measure_block(read_pieces(volume, box, threads), box.start)

    voxel_bytes = 2 * volume.spec.dtype.itemsize + BYTES_PER_VOXEL + more_bytes
    found = merge_measurements(map_blocks([volume], measure, label, running, voxel_bytes))
    return replace(found, size=volume.spec.size)


def _tables(opened: dict[str, Volume], running: Running) -> Tables:
    """Measure everything in one pass."""
    labels, raw, within = opened["labels"], opened.get("raw"), opened.get("within")
    size, voxel_size = labels.spec.size, labels.spec.voxel_size_nm
    pairs, far = steps(voxel_size), reach(voxel_size)

    def measure(box: Box, threads: int) -> Tables:
        stop = size3([min(b + m, n) for b, m, n in zip(box.stop, far, size, strict=True)])
        around = read_pieces(labels, Box(box.start, stop), threads)
        greys = None if raw is None else read_pieces(raw, box, threads)
        hosts = None if within is None else read_pieces(within, box, threads)
        return tables_of_block(around, Core(box.start, box.shape), pairs, greys, hosts)

    voxel_bytes = sum(2 * volume.spec.dtype.itemsize for volume in opened.values()) + BYTES_PER_VOXEL
    blocks = map_blocks(list(opened.values()), measure, "stats", running, voxel_bytes)
    return merge_tables(blocks).within(size)


def _table(tables: Tables, labels: Volume, parameters: StatsParameters) -> Table:
    voxel_size = labels.spec.voxel_size_nm
    if parameters.summary and tables.hosts is not None:
        return _of_columns(per_host_columns(tables.hosts, voxel_size))
    columns = table_columns(tables, voxel_size)
    if parameters.summary:
        found = summary(columns, labels.spec.size, voxel_size, parameters.quantiles)
        return Table(["name", "value"], list(found.items()))
    if tables.hosts is not None:
        columns |= host_columns(tables.hosts)
    return _of_columns(columns)


def _of_columns(columns: Columns) -> Table:
    return Table(list(columns), rows_of(columns))


def _required_grey(volume: Volume) -> Volume:
    """Return a volume of which sums are exact, in whatever order they are added up."""
    dtype = volume.spec.dtype
    if dtype.kind not in "ui" or dtype.itemsize > 2:
        why = f"expected grey values in integers of 8 or 16 bits, found {dtype}"
        raise InputError(volume.name, why, "Run 'mitotools convert --clip 0,100' first")
    return volume


def _require_same_size(volumes: list[Volume]) -> None:
    first = volumes[0]
    for other in volumes[1:]:
        if other.spec.size != first.spec.size:
            why = f"have different shapes, {first.spec.size} and {other.spec.size}"
            raise InputError(f"{first.name} and {other.name}", why, "Crop the larger one")
