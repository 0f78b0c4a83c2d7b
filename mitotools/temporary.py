"""Where temporaries lie: private folders, removed when a command ends, and after a kill by the next one."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mitotools.errors import TargetError
from mitotools.interruption import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "mitotools-"
"""Of the names of all folders of ours."""

PIPE = "pipe-"
"""Then, where a command leaves a volume in it for the next one, which removes it."""

LOCK = ".in-use"
"""A file that is locked while its folder is in use."""

SETTLED_S = 60
"""Seconds after which a lock that nobody holds is no longer one that is about to be taken."""


def room_for_temporaries() -> Path:
    """Return the folder that temporaries are made in: $MITOTOOLS_TMPDIR, or the system's."""
    return Path(os.environ.get("MITOTOOLS_TMPDIR") or tempfile.gettempdir())


def new_folder(kind: str = "") -> Path:
    """Make a folder that only its user may enter, and that the caller removes.

    Raises
    ------
    TargetError
        Where there is no place for it.
    """
    room = room_for_temporaries()
    try:
        return Path(tempfile.mkdtemp(prefix=PREFIX + kind, dir=room))
    except OSError as error:
        raise TargetError(str(room), f"cannot hold temporaries ({error.strerror})") from error


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder that only its user may enter, and remove it when the block ends.

    Folders of runs that were killed are removed first.

    Raises
    ------
    TargetError
        Where there is no place for it.
    """
    for left in left_behind():
        if not left.name.startswith(PREFIX + PIPE):
            shutil.rmtree(left, ignore_errors=True)
    with uninterrupted() as interruptible:
        folder = new_folder()
        try:
            with interruptible(), in_use(folder):
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Keep a folder of ours from being taken for one that was left behind, until the block ends."""
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def left_behind() -> list[Path]:
    """Return the folders of this user that no run has used for a minute: those of runs that were killed.

    A volume in a pipe is among them while it waits for a command that reads it late.
    """
    try:
        found = sorted(room_for_temporaries().glob(f"{PREFIX}*"))
    except OSError:
        return []
    return [folder for folder in found if _is_left(folder)]


def _is_left(folder: Path) -> bool:
    try:
        seen = folder.lstat()
        # Another user's, or a link to who knows where, is not ours to touch.
        if seen.st_uid != os.geteuid() or not folder.is_dir() or folder.is_symlink():
            return False
        return seen.st_mtime < time.time() - SETTLED_S and not _is_locked(folder / LOCK)
    except OSError:  # gone in this moment
        return False


def _is_locked(path: Path) -> bool:
    try:
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
