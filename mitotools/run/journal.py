"""Which blocks of an unfinished output are done: a file of JSON lines, one a block.

The first line says what is made, so that a run that continues can tell whether it makes the same. A checksum
ends each line: a block that is taken for done by mistake would be a hole.
"""

from __future__ import annotations

import json
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mitotools.locking import locked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

Entry = tuple[int, ...]


class Journal:
    """The journal of a run that holds it open, and locked.

    Parameters
    ----------
    file : open binary file, at its end
    done : list of tuple of int
        The entries of the runs before.
    """

    def __init__(self, file: BinaryIO, done: list[Entry]) -> None:
        self._file = file
        self.done = done

    def add(self, entry: Sequence[int]) -> None:
        """Note that a block is done; its voxels are with the operating system."""
        self._file.write(_line(list(entry)))
        self._file.flush()


@contextmanager
def new_journal(path: Path, made: dict[str, Any]) -> Iterator[Journal]:
    """Begin a journal of what is `made`, in place of one that nobody writes.

    Raises
    ------
    TargetError
        Where another run has it open.
    """
    with locked(path) as file:
        try:
            file.truncate(0)
            file.write(_line(made))
            file.flush()
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        yield Journal(file, [])


@contextmanager
def continued_journal(path: Path) -> Iterator[Journal]:
    """Open a journal to add to it.

    Raises
    ------
    TargetError
        Where another run has it open.
    """
    with locked(path, is_new=False) as file:
        done, length = _whole_entries(file)
        file.seek(length)
        file.truncate()
        yield Journal(file, done)


def made(path: Path) -> dict[str, Any] | None:
    """Return what an unfinished output is to become, or None where its journal does not say."""
    try:
        with path.open("rb") as file:
            found = _read(file.readline())
    except OSError:
        return None
    return found if isinstance(found, dict) else None


def entries(path: Path) -> list[Entry]:
    """Return the blocks that a journal says are done."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        return _whole_entries(file)[0]


def _line(value: object) -> bytes:
    words = json.dumps(value).encode()
    return b"%b\t%08x\n" % (words, zlib.crc32(words))


def _read(line: bytes) -> object:
    """Return the value of a line, None for one that is not as it was written."""
    words, _, _ = line.rpartition(b"\t")
    return json.loads(words) if line == b"%b\t%08x\n" % (words, zlib.crc32(words)) else None


def _whole_entries(file: BinaryIO) -> tuple[list[Entry], int]:
    """Return the entries, and where the last one ends: a crash may leave half a line, or worse, behind it."""
    done: list[Entry] = []
    length = len(file.readline())
    for line in file:
        entry = _read(line)
        if not isinstance(entry, list):
            break
        done.append(tuple(entry))
        length += len(line)
    return done, length
