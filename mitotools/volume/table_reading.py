"""Reading tables back, in every form in which `mitotools.volume.table` writes them."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mitotools import history
from mitotools.conventions import LARGEST_ID
from mitotools.errors import InputError, UsageError
from mitotools.volume.parquet import ID_COLUMNS, LARGEST_INT64, read_parquet
from mitotools.volume.table import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mitotools.conventions import Array
    from mitotools.history import History

_WHAT_NEXT = "It is a table as 'mitotools stats -o FILE' writes it"
_INTEGER = re.compile(r"-?\d{1,19}|1\d{19}")
_TRUTH = {"true": True, "false": False}


def read_table(file: Path) -> tuple[dict[str, Array | None], History]:
    """Read a table.

    Parameters
    ----------
    file : Path
        Its suffix says how: .tsv, .csv, .json (a list with an object a row) or .parquet.

    Returns
    -------
    columns : dict of str to (N,) array or None
        uint64 for `mitotools.volume.parquet.ID_COLUMNS`, else bool, int64 (uint64 where a number is too large
        for it), float64 or str. Where some values are missing numbers and truth values are float64, those
        missing NaN; where all are, the column is None. Without rows columns are empty, ids or float64; a
        JSON list without rows has no columns.
    history : History
        Of the file itself, or beside it.

    Raises
    ------
    InputError
        Where the file is missing or no such table; it names the line, in JSON the row.
    UsageError
        For a suffix that is none of these.
    MachineError
        For Parquet without pyarrow.
    """
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(str(file), f"a table is one of {', '.join(SUFFIXES)}")
    if not file.is_file():
        raise InputError(str(file), "is no file" if file.exists() else "does not exist")
    if suffix == ".parquet":
        values, records = read_parquet(file)
        return _columns(file, values, None), records
    text = _text(file)
    if suffix == ".json":
        return _columns(file, _values_of_json(file, text), None), history.read_sidecar(file)
    words, lines = _words(file, text, "\t" if suffix == ".tsv" else ",")
    parsed = {name: _parsed(column) for name, column in words.items()}
    return _columns(file, parsed, lines), history.read_sidecar(file)


def _text(file: Path) -> str:
    try:
        contents = file.read_bytes()
        return contents.decode("utf-8-sig")
    except OSError as error:
        raise InputError(str(file), f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        line = contents.count(b"\n", 0, error.start) + 1
        raise InputError(f"{file}, line {line}", "is no UTF-8 text", _WHAT_NEXT) from error


def _words(file: Path, text: str, delimiter: str) -> tuple[dict[str, Sequence[str]], list[int]]:
    """Return the fields of each column, and the line of each row."""
    # Quotes mean nothing where nothing is quoted.
    quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
    lines: list[int] = []
    found: list[list[str]] = []
    try:
        names = _checked_names(f"{file}, line 1", next(rows, []))
        for row in rows:
            fields = row or ([""] if len(names) == 1 else row)  # one empty field makes an empty line
            if len(fields) != len(names):
                why = f"has {len(fields)} fields, the header {len(names)}"
                raise InputError(f"{file}, line {rows.line_num}", why, _WHAT_NEXT)
            lines.append(rows.line_num)
            found.append(fields)
    except csv.Error as error:
        raise InputError(f"{file}, line {rows.line_num}", f"is malformed ({error})", _WHAT_NEXT) from error
    columns: list[Sequence[str]] = list(zip(*found, strict=True)) or [[] for _ in names]
    return dict(zip(names, columns, strict=True)), lines


def _checked_names(where: str, names: Sequence[str]) -> Sequence[str]:
    if not any(names):
        raise InputError(where, "has no header", _WHAT_NEXT)
    for position, name in enumerate(names):
        if not name or _number(name) is not None:
            raise InputError(where, f"expected the names of columns, found {name[:40]!r}", _WHAT_NEXT)
        if name in names[:position]:
            raise InputError(where, f"has two columns {name!r}", _WHAT_NEXT)
    return names


def _values_of_json(file: Path, text: str) -> dict[str, list[Any]]:
    """Return the values of each column of a list with an object a row."""
    try:
        rows = json.loads(text, object_pairs_hook=list, parse_int=_whole_number)
    except json.JSONDecodeError as error:
        raise InputError(f"{file}, line {error.lineno}", f"is no JSON ({error.msg})", _WHAT_NEXT) from error
    except (ValueError, RecursionError) as error:
        raise InputError(str(file), f"cannot be read as JSON ({error})", _WHAT_NEXT) from error
    if not isinstance(rows, list):
        raise InputError(str(file), "is no list of rows", _WHAT_NEXT)
    columns: dict[str, list[Any]] = {}
    for number, row in enumerate(rows, start=1):
        where = f"{file}, row {number}"
        if not _is_object(row):
            raise InputError(where, "is no object with columns", _WHAT_NEXT)
        names = _checked_names(where, [name for name, _ in row])
        if number == 1:
            columns = {name: [] for name in names}
        if list(names) != list(columns):
            raise InputError(where, "has other columns than the first", _WHAT_NEXT)
        for name, value in row:
            columns[name].append(_scalar(where, name, value))
    return columns


def _whole_number(word: str) -> int:
    """Return a number that a column can hold."""
    if math.isinf(float(word)):
        raise ValueError(f"a number of {len(word)} digits")
    return int(word)


def _is_object(row: object) -> bool:
    """Whether a value that was read with pairs for objects is an object that is not empty."""
    return isinstance(row, list) and bool(row) and all(isinstance(pair, tuple) for pair in row)


def _scalar(where: str, name: str, value: Any) -> Any:
    if isinstance(value, list):
        raise InputError(where, f"{name} is no number and no text", _WHAT_NEXT)
    return value


def _parsed(words: Sequence[str]) -> Sequence[Any]:
    """Return what a column's fields stand for: text where one is neither a number nor a truth value."""
    given = {word for word in words if word}
    if given <= set(_TRUTH):
        return [_TRUTH.get(word) for word in words]
    meanings = {word: _number(word) for word in given}
    if any(meaning is None for meaning in meanings.values()):
        return words
    return [meanings.get(word) for word in words]


def _number(word: str) -> int | float | None:
    if _INTEGER.fullmatch(word):
        return int(word)
    try:
        return None if "_" in word else float(word)
    except ValueError:
        return None


def _columns(
    file: Path, values: Mapping[str, Sequence[Any]], lines: Sequence[int] | None
) -> dict[str, Array | None]:
    """Return columns of numbers; `lines` says where each row stands, if in lines."""
    columns: dict[str, Array | None] = {}
    for name, column in values.items():
        if name in ID_COLUMNS:
            wrong = next((row for row, value in enumerate(column) if not _is_id(value)), None)
            if wrong is not None:
                where = f"row {wrong + 1}" if lines is None else f"line {lines[wrong]}"
                raise InputError(
                    f"{file}, {where}", f"{name} is {column[wrong]!r}, which is no id", _WHAT_NEXT
                )
            columns[name] = np.array(column, np.uint64)
        else:
            columns[name] = _array(column)
    return columns


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_ID


def _array(column: Sequence[Any]) -> Array | None:
    given = [value for value in column if value is not None]
    if column and not given:
        return None
    if any(isinstance(value, str) for value in given):
        return np.array(["" if value is None else str(value) for value in column])
    if len(given) < len(column) or not column:
        return np.array([np.nan if value is None else float(value) for value in column], np.float64)
    kinds = {type(value) for value in given}
    if kinds == {bool}:
        return np.array(column, np.bool_)
    if kinds == {int}:
        return _whole_numbers(column)
    return np.array([float(value) for value in column], np.float64)


def _whole_numbers(column: Sequence[int]) -> Array:
    low, high = min(column), max(column)
    if low >= -LARGEST_INT64 - 1 and high <= LARGEST_INT64:
        return np.array(column, np.int64)
    return np.array(column, np.uint64 if low >= 0 and high <= LARGEST_ID else np.float64)
