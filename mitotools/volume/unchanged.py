"""Files that nobody else is to change while they are read."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from mitotools.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_State = tuple[int, int, int] | None
"""Of a file: its number, size and time; None where there is none."""

_clock = itertools.count()
_made: dict[Path, tuple[int, int]] = {}
"""The files and folders that this process has put in place: when, and their numbers."""


class Watched:
    """Files that are to stay as they are now."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._since = next(_clock)
        self._states = {file: _state_of(file) for file in files}

    def check(self, name: str = "") -> None:
        """Raise InputError where one is not what it was, unless this process replaced it by what it made.

        Parameters
        ----------
        name : str
            What to call them; by default the first that changed.
        """
        for file, state in self._states.items():
            if _state_of(file) != state and not _is_made_here(file, self._since):
                what_next = "What was made of it may be of both: make it again with --force"
                raise InputError(name or str(file), "was changed while it was read", what_next)


def note_made(place: Path) -> None:
    """Note that this process has put a file or folder in its place."""
    _made[place.resolve()] = next(_clock), place.stat().st_ino


def _state_of(file: Path) -> _State:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _is_made_here(file: Path, since: int) -> bool:
    file = file.resolve()
    for place in (file, *file.parents):
        when, number = _made.get(place, (-1, 0))
        if when > since and place.exists() and place.stat().st_ino == number:
            return True
    return False
