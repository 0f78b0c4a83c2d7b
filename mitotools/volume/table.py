"""The one dialect of tables: tab-separated, a header, an empty field where there is no value."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

from mitotools import history
from mitotools.errors import UsageError
from mitotools.printable import printable
from mitotools.volume.atomic import check_file, create_file
from mitotools.volume.parquet import required_pyarrow, write_parquet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from mitotools.conventions import Array
    from mitotools.history import History

SUFFIXES = (".tsv", ".csv", ".json", ".parquet")
"""Of the files that tables are written to."""


def tsv_lines(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Return the lines of a table, header first, without line ends."""
    yield "\t".join(columns)
    for row in rows:
        yield "\t".join(printable(field(value)) for value in row)


def field(value: Any) -> str:
    """Return a value as its field: floats in the shortest form that reads back as the same number."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(float(value)) if isinstance(value, float) else str(value)


def rows_of(columns: Mapping[str, Array | None]) -> list[Sequence[Any]]:
    """Return the rows of columns of one length; a column that is None has no values."""
    count = max((len(column) for column in columns.values() if column is not None), default=0)
    values = [[None] * count if column is None else column.tolist() for column in columns.values()]
    return list(zip(*values, strict=True))


def write_tsv(
    file: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]], records: History, *, force: bool
) -> None:
    """Write a tab-separated table, whatever its file is called, with its history beside it."""
    with create_file(file, force=force) as path:
        path.write_text("".join(f"{line}\n" for line in tsv_lines(columns, rows)), "utf-8")
        history.write_sidecar(path, records)


def check_table(file: Path, *, force: bool) -> None:
    """Raise an error where a table cannot be written, so that no work is done in vain.

    Raises
    ------
    UsageError
        Where the suffix is none of `SUFFIXES`.
    MachineError
        For Parquet without pyarrow.
    TargetError
        Where the file exists and `force` is not given, or has no folder to lie in.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise UsageError(str(file), f"a table is one of {', '.join(SUFFIXES)}")
    if file.suffix.lower() == ".parquet":
        required_pyarrow(file)
    check_file(file, force=force)


def write_table(
    file: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]], records: History, *, force: bool
) -> None:
    """Write a table, complete or not at all, with its history: in Parquet inside it, else beside it.

    Parameters
    ----------
    file : Path
        Its suffix says how: tab-separated, comma-separated (RFC 4180), a JSON list with an object a row, or
        Parquet.
    columns : sequence of str
    rows : iterable of sequences
    records : History
    force : bool
        Replace what is there.

    Raises
    ------
    UsageError, MachineError, TargetError
        As from `check_table`.
    """
    check_table(file, force=force)
    with create_file(file, force=force) as path:
        if file.suffix.lower() == ".parquet":
            write_parquet(path, columns, rows, records)
        else:
            _write_text(path, file.suffix.lower(), columns, rows)
            history.write_sidecar(path, records)


def _write_text(path: Path, suffix: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as opened:
        if suffix == ".json":
            opened.writelines(_json_lines(columns, rows))
        elif suffix == ".csv":
            writer = csv.writer(opened)
            writer.writerow(columns)
            writer.writerows([field(value) for value in row] for row in rows)
        else:
            opened.writelines(f"{line}\n" for line in tsv_lines(columns, rows))


def _json_lines(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    before = "[\n"
    for row in rows:
        # JSON has no word for what is no number.
        values = [None if value != value else value for value in row]
        yield before + json.dumps(dict(zip(columns, values, strict=True)))
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"
