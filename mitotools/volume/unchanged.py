"""Files that nobody else is to change while they are read."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_State = tuple[int, int, int] | None
"""Of a file: its number, size and time; None where there is none."""

_clock = itertools.count()
_made: dict[Path, tuple[int, int]] = {}
"""The files and folders that this process has put in place: when, and their numbers."""


class Watched:
    """Files, from now on."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._since = next(_clock)
        self._states = {file: _state_of(file) for file in files}

    @property
    def are_unchanged(self) -> bool:
        """Whether they are what they were, or this process replaced them: a volume may become its crop."""
        return all(
            _state_of(file) == state or _is_made_here(file, self._since)
            for file, state in self._states.items()
        )


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
