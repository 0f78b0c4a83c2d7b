"""The zarr in which a volume is collected whose own format has one writer, and cannot be continued."""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from mitotools import history
from mitotools.errors import InputError, TargetError
from mitotools.interruption import uninterrupted
from mitotools.locking import lock_file
from mitotools.volume.atomic import journal_of, remove, unfinished_of
from mitotools.volume.files import open_volume
from mitotools.volume.formats import format_of
from mitotools.volume.outputs import final_of
from mitotools.volume.path import VolumePath

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mitotools.history import History
    from mitotools.run.running import Running

SUFFIX = ".staged.zarr"
LOCK = ".lock"


def is_staged(target: VolumePath, running: Running) -> bool:
    """Whether a zarr is written before the target is: to be continued, or written by several processes."""
    is_asked = bool(running.resume) or running.is_distributed
    return is_asked and format_of(target.file).writers != "processes"


def staged_of(target: VolumePath) -> Path:
    """Return the zarr that is written first."""
    final = final_of(target)
    return final.with_name(final.name + SUFFIX)


@contextmanager
def staging(target: VolumePath) -> Iterator[None]:
    """Keep other runs from the zarr while it is written, packed and deleted; say where a failure leaves it.

    Raises
    ------
    TargetError
        Where another run is at it.
    """
    staged = staged_of(target)
    with lock_file(_lock_of(staged)):
        try:
            yield
        except (Exception, KeyboardInterrupt):
            if staged.exists():
                logging.getLogger(__name__).info("%s is written, and --resume continues", staged)
            raise


def _lock_of(staged: Path) -> Path:
    return staged.with_name(staged.name + LOCK)


def check_staged(target: VolumePath, running: Running) -> None:
    """Raise TargetError where a run left its zarr, unless that is continued, packed or done without."""
    if target.is_remote or target.is_pipe or running.force or running.resume is not False:
        return
    staged = staged_of(target)
    if staged.exists() or unfinished_of(staged).exists():
        why = "is what a run that was killed had done"
        raise TargetError(str(staged), why, "Use --resume to continue, or --force to start over")


def remove_packed(target: VolumePath, records: History) -> None:
    """Delete the zarr of a run that was killed when its volume, with these records, was complete."""
    if target.is_remote or target.is_pipe:
        return
    staged = staged_of(target)
    if not (staged.exists() or _lock_of(staged).exists()):
        return
    try:
        with open_volume(VolumePath(str(staged))) as volume:
            if history.differences(volume.spec.history, records):
                return  # a run with --force, that makes something else of it, can continue
    except InputError:  # half deleted
        pass
    with suppress(TargetError, OSError), uninterrupted(), lock_file(_lock_of(staged)):  # another may be at it
        remove(staged)


def remove_staged(target: VolumePath, running: Running) -> None:
    """Delete what a run left, unless this run packs it."""
    if running.resume is False:
        staged = staged_of(target)
        for left in (staged, unfinished_of(staged), journal_of(staged), _lock_of(staged)):
            remove(left)
