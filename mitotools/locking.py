"""One run at a time: a file beside an output that is locked while the output is written."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from mitotools.errors import TargetError
from mitotools.interruption import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO


@contextmanager
def locked(path: Path, *, is_new: bool = True) -> Iterator[BinaryIO]:
    """Open a file to read and write it from its beginning, locked until the block ends.

    Parameters
    ----------
    path : Path
    is_new : bool
        Make it, where it is not there.

    Raises
    ------
    TargetError
        Where another run has it locked, or it is a link: what that leads to is not ours to write.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | (os.O_CREAT if is_new else 0), 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise TargetError(str(path), "is a link", "Delete it") from error
        raise
    file = os.fdopen(descriptor, "r+b")
    try:
        _lock(file, path)
        yield file
    finally:
        with suppress(OSError):  # what a full disk does not take was said when it was flushed
            file.close()


@contextmanager
def lock_file(path: Path) -> Iterator[None]:
    """Keep other runs from what the block does; the file goes when it ends.

    Raises
    ------
    TargetError
        As of `locked`.
    """
    with uninterrupted() as interruptible, locked(path):
        try:
            with interruptible():
                yield
        finally:
            path.unlink(missing_ok=True)


def _lock(file: BinaryIO, path: Path) -> None:
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise TargetError(str(path), "is no plain file", "Delete it")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise TargetError(str(path), "another run is writing this output", "Wait for it") from error
    except OSError:
        return  # a file system without locks
    if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
        # The run that had it open has just ended, and removed it.
        raise TargetError(str(path), "another run was writing this output", "Try again")
