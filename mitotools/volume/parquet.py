"""Tables as Parquet files, with the package pyarrow, which is an extra."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mitotools import history
from mitotools.errors import InputError, MachineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from types import ModuleType

    from mitotools.history import History

KEY = b"history"
"""Of the history, JSON, in the metadata of the file's schema."""

ID_COLUMNS = ("id", "host")
"""Columns of whole numbers up to 2^64 - 1, whatever the values at hand."""

LARGEST_INT64 = 2**63 - 1

_KIND = re.compile(r"(bool|u?int\d+|halffloat|float|double|(large_)?string|null|dictionary<values=string)")
"""The types of columns that tables may have, by their names in Arrow."""


def required_pyarrow(file: Path) -> ModuleType:
    """Return pyarrow with its module for Parquet.

    Raises
    ------
    MachineError
        Where it is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: PLC0415 (an extra)
    except ImportError as missing:
        advice = "Install it: pip install 'mitotools[parquet]'"
        raise MachineError(str(file), "Parquet needs the package pyarrow", advice) from missing
    library: ModuleType = pyarrow
    return library


def write_parquet(
    file: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]], records: History
) -> None:
    """Write a table with its history; None is null, and a column of nothing else one of float64."""
    pyarrow = required_pyarrow(file)
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    arrays = [
        pyarrow.array(column, _type_of(name, column)) for name, column in zip(columns, values, strict=True)
    ]
    metadata = {KEY: history.to_json(records)}
    table = pyarrow.Table.from_arrays(arrays, names=list(columns)).replace_schema_metadata(metadata)
    pyarrow.parquet.write_table(table, file)


def _type_of(name: str, values: Sequence[Any]) -> str:
    """Return the name of the type of a column: that of its id, or the smallest that holds its values."""
    if name in ID_COLUMNS:
        return "uint64"
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return "bool"
    if kinds == {int}:
        return "uint64" if max(value for value in values if value is not None) > LARGEST_INT64 else "int64"
    return "string" if str in kinds else "float64"


def read_parquet(file: Path) -> tuple[Mapping[str, list[Any]], History]:
    """Return the columns of a table, with None for null, and its history.

    Raises
    ------
    InputError
        Where the file is none.
    MachineError
        Where pyarrow is not installed.
    """
    pyarrow = required_pyarrow(file)
    try:
        # Not read_table, which takes folders named a=1 for columns.
        table = pyarrow.parquet.ParquetFile(file).read()
        metadata = table.schema.metadata or {}
        twice = {name for name in table.column_names if table.column_names.count(name) > 1}
        if twice:
            raise InputError(str(file), f"has two columns {min(twice)!r}")
        for name, kind in zip(table.column_names, table.schema.types, strict=True):
            if not _KIND.match(str(kind)):
                raise InputError(str(file), f"its column {name!r} is of type {kind}, no numbers and no text")
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(str(file), f"cannot be read as Parquet ({error})") from error
    return columns, history.from_json(metadata.get(KEY))
