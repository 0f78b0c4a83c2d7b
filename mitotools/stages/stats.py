"""One row an instance: its size, extent and place, its shape and surface, what it touches, its skeleton."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools import history
from mitotools.errors import InputError, UsageError
from mitotools.segment.measures.hosts import host_columns, per_host_columns
from mitotools.segment.measures.instance_tables import table_columns
from mitotools.segment.measures.summary import summary
from mitotools.stages.blocks.pieces import warn_of_grey_values
from mitotools.stages.measuring.one_pass import all_tables
from mitotools.stages.measuring.shapes import required_voxel_size, skeleton_columns, write_meshes
from mitotools.volume.atomic import check_file
from mitotools.volume.files import open_volume
from mitotools.volume.plan import is_tile_set
from mitotools.volume.same_size import require_same_size
from mitotools.volume.table import SUFFIXES, rows_of
from mitotools.volume.table_reading import read_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mitotools.conventions import Array
    from mitotools.history import History
    from mitotools.parameters import StatsParameters
    from mitotools.run.running import Running
    from mitotools.segment.measures.instance_tables import Tables
    from mitotools.stages.measuring.one_pass import Columns
    from mitotools.volume.base import Volume
    from mitotools.volume.files import FileVolume
    from mitotools.volume.path import VolumePath


@dataclass(frozen=True, eq=False)
class Table:
    """What `stats` prints.

    Parameters
    ----------
    names : list of str
        Of the columns.
    rows : list of sequences
        A value that needs the voxel size is None where that is unknown, and so is one that is not defined.
    history : History
        How the table came to be.
    columns : dict of str to (N,) array or None
        One row an instance, whatever the rows are.
    """

    names: list[str]
    rows: list[Sequence[Any]]
    history: History = ()
    columns: Columns = field(default_factory=dict, repr=False)


def tabulate(
    sources: Sequence[VolumePath],
    parameters: StatsParameters,
    running: Running,
    *,
    is_drawn: bool = False,
    **others: Any,
) -> dict[str, Table]:
    """Measure the instances of label volumes; what is a table already, as `stats` writes it, is read.

    Parameters
    ----------
    sources : sequence of VolumePath
    parameters : StatsParameters
    running : Running
    is_drawn : bool
        Whether sizes will be drawn: voxel sizes that are unknown are an error before anything is measured.
    others : VolumePath or Path, optional
        What `measure_instances` takes beside a single source.

    Returns
    -------
    dict of str to Table
        By the sources' names, with their crops.

    Raises
    ------
    InputError
    UsageError
        Where an option does not go with a source.
    """
    given = [f"--{name}" for name, value in others.items() if value is not None]
    if len(sources) > 1 and given:
        raise UsageError(given[0], "belongs to one volume", f"There are {len(sources)}")
    if is_drawn or others.get("mesh") is not None:
        _check_voxel_sizes(sources)
    tables = {}
    for source in sources:
        name = f"{source}{source.crop}"
        if name in tables:
            raise UsageError(name, "is given twice")
        if is_table(source):
            tables[name] = _table_of_file(source, parameters, given)
        else:
            warn_of_grey_values(source)
            tables[name] = measure_instances(source, parameters, running, **others)
    return tables


def _check_voxel_sizes(sources: Sequence[VolumePath]) -> None:
    for source in sources:
        if not is_table(source):
            with open_volume(source, "labels") as volume:
                required_voxel_size(volume)


def united(tables: Mapping[str, Table]) -> Table:
    """Return one table of several, in which the first column says whose row it is; one stays as it is."""
    if len(tables) == 1:
        return next(iter(tables.values()))
    names = list(dict.fromkeys(name for table in tables.values() for name in table.names))
    rows: list[Sequence[Any]] = []
    for source, table in tables.items():
        for row in table.rows:
            known = dict(zip(table.names, row, strict=True))
            rows.append([source, *(known.get(name) for name in names)])
    return Table(["source", *names], rows, history.united(table.history for table in tables.values()))


def is_table(source: VolumePath) -> bool:
    """Return whether a source is a table that `stats` wrote."""
    file = Path(source.file)
    return not source.is_pipe and file.suffix.lower() in SUFFIXES and not is_tile_set(file)


def _table_of_file(source: VolumePath, parameters: StatsParameters, given: list[str]) -> Table:
    options = {"--skeleton": parameters.skeleton, "--summary": parameters.summary}
    given = given + [option for option, is_set in options.items() if is_set]
    if given:
        raise UsageError(given[0], f"{source} is a table already, not a label volume")
    columns, records = read_table(Path(source.file))
    return _of_columns(columns, records)


def measure_instances(
    source: VolumePath,
    parameters: StatsParameters,
    running: Running,
    raw: VolumePath | None = None,
    within: VolumePath | None = None,
    mesh: Path | None = None,
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
    mesh : Path, optional
        A new folder for the surface of each instance.

    Returns
    -------
    Table
        One row an instance, by ascending id: see `segment.measures.instance_tables.table_columns`,
        `segment.measures.skeleton.skeleton_columns` and `segment.measures.hosts.host_columns` for the
        columns. A summary has the columns name and value
        (`segment.measures.summary.summary`), or with hosts one row a host
        (`segment.measures.hosts.per_host_columns`).

    Raises
    ------
    InputError
        Where a volume is of another kind or shape.
    """
    if mesh is not None:
        check_file(mesh, force=running.force)
    with ExitStack() as stack:
        opened = {"labels": stack.enter_context(open_volume(source, "labels"))}
        if raw is not None:
            opened["raw"] = _required_grey(stack.enter_context(open_volume(raw, "image")))
        if within is not None:
            opened["within"] = stack.enter_context(open_volume(within, "labels"))
        for volume in opened.values():
            require_same_size(opened["labels"], volume)
        inputs = [volume.source() for volume in opened.values()]
        labels = opened["labels"]
        records = history.extended(inputs, running.command_line, asdict(parameters))
        with running.with_engine() as (running, _):
            tables = all_tables(labels, running, "stats", opened.get("raw"), opened.get("within"))
            measured = tables.measurements
            shapes = skeleton_columns(labels, measured, running) if parameters.skeleton else {}
            if mesh is not None:
                write_meshes(labels, measured, mesh, f".{parameters.mesh_format}", records, running)
    if labels.spec.voxel_size_nm is None:
        logging.getLogger(__name__).warning(
            "%s: the voxel size is unknown: columns in nm and um stay empty. "
            "Give it with 'mitotools convert --voxel-size'.",
            source,
        )
    return replace(_table(tables, shapes, labels, parameters), history=records)


def _table(tables: Tables, shapes: Columns, labels: Volume, parameters: StatsParameters) -> Table:
    voxel_size = labels.spec.voxel_size_nm
    columns = table_columns(tables, voxel_size) | shapes
    if tables.hosts is not None:
        columns |= host_columns(tables.hosts)
    if not parameters.summary:
        return _of_columns(columns)
    if tables.hosts is not None:
        return replace(_of_columns(per_host_columns(tables.hosts, voxel_size)), columns=columns)
    found = summary(columns, labels.spec.size, voxel_size, parameters.quantiles)
    return Table(["name", "value"], list(found.items()), columns=columns)


def _of_columns(columns: Columns, records: History = ()) -> Table:
    """Return a table, in which a value that is not defined is None."""
    rows = rows_of({name: _defined(column) for name, column in columns.items()})
    return Table(list(columns), rows, records, columns)


def _defined(column: Array | None) -> Array | None:
    if column is None or column.dtype.kind != "f" or not np.isnan(column).any():
        return column
    defined = column.astype(object)
    defined[np.isnan(column)] = None
    return defined


def _required_grey(volume: FileVolume) -> FileVolume:
    """Return a volume of which sums are exact, in whatever order they are added up."""
    dtype = volume.spec.dtype
    if dtype.kind not in "ui" or dtype.itemsize > 2:
        why = f"expected grey values in integers of 8 or 16 bits, found {dtype}"
        raise InputError(volume.name, why, "Run 'mitotools convert --clip 0,100' first")
    return volume
