"""Lists of ids in files: one a line, or the first column of a table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mitotools.conventions import LARGEST_ID
from mitotools.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable


def read_ids(file: str) -> tuple[int, ...]:
    """Return the ids in a file.

    Parameters
    ----------
    file : str
        Its path, or ``-`` for standard input.

    Returns
    -------
    tuple of int
        Ascending, each once.

    Raises
    ------
    InputError
        Where the file cannot be read, or a line holds no id.
    """
    ids = {
        id_of(line.split("\t")[0], file, number)
        for number, line in enumerate(lines_of(file), start=1)
        if line.strip() and not (number == 1 and _is_header(line))
    }
    return tuple(sorted(ids))


def lines_of(file: str) -> list[str]:
    """Return the lines of a text file, or of standard input for ``-``.

    Raises
    ------
    InputError
        Where it cannot be read.
    """
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(file, "is no text", "Give one id a line") from error
    except OSError as error:
        raise InputError(file, f"cannot be read ({error.strerror})") from error
    return text.splitlines()


def id_of(word: str, file: str, line: int) -> int:
    """Return the id that a word says; InputError where it says none."""
    word = word.strip()
    if not (word.isascii() and word.isdecimal() and len(word) <= 20 and 0 < int(word) <= LARGEST_ID):
        raise InputError(file, f"line {line}: {word[:40]!r} is no id", "Ids are whole numbers above 0")
    return int(word)


def recorded(ids: Iterable[int] | None) -> object:
    """Return ids as a history holds them: as ranges, which a million of them may well be."""
    if ids is None:
        return None
    ranges: list[list[int]] = []
    for number in sorted(ids):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def _is_header(line: str) -> bool:
    """Whether the first line names columns."""
    return line.split("\t")[0].strip().isidentifier()
