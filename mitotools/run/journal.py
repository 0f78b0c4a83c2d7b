"""Which blocks of an unfinished output are done: a file of JSON lines, one a block.

The first line says what is made, so that a run that continues can tell whether it makes the same.
"""

from __future__ import annotations

import fcntl
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mitotools.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import TextIO

Entry = tuple[int, ...]


class Journal:
    """The journal of a run that holds it open, and locked.

    Parameters
    ----------
    file : open text file, at its end
    done : list of tuple of int
        The entries of the runs before.
    """

    def __init__(self, file: TextIO, done: list[Entry]) -> None:
        self._file = file
        self.done = done

    def add(self, entry: Sequence[int]) -> None:
        """Note that a block is done; its voxels are with the operating system."""
        self._file.write(json.dumps(list(entry)) + "\n")
        self._file.flush()


@contextmanager
def new_journal(path: Path, made: dict[str, Any]) -> Iterator[Journal]:
    """Begin a journal of what is `made`, in place of one that nobody writes.

    Raises
    ------
    TargetError
        Where another run has it open.
    """
    with path.open("a") as file:  # opened without losing what stands there: it may be another run's
        _lock(file, path)
        file.truncate(0)
        file.write(json.dumps(made) + "\n")
        file.flush()
        yield Journal(file, [])


@contextmanager
def continued_journal(path: Path) -> Iterator[Journal]:
    """Open a journal to add to it.

    Raises
    ------
    TargetError
        Where another run has it open.
    """
    with path.open("r+") as file:
        _lock(file, path)
        lines = file.read().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]  # the last may be half written
        file.seek(0)
        file.truncate(sum(map(len, whole)))
        file.seek(0, 2)
        yield Journal(file, [tuple(json.loads(line)) for line in whole[1:]])


def made(path: Path) -> dict[str, Any] | None:
    """Return what an unfinished output is to become, or None where its journal does not say."""
    try:
        with path.open() as file:
            found = json.loads(file.readline())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def entries(path: Path) -> int:
    """Return the number of blocks that a journal says are done."""
    if not path.is_file():
        return 0
    with path.open() as file:
        return max(sum(1 for _ in file) - 1, 0)


def _lock(file: TextIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise TargetError(str(path), "another run is writing this output", "Wait for it") from error
    except OSError:
        return  # a file system without locks
