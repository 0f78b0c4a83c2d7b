"""The zarr in which a volume is collected whose own format has one writer, and cannot be continued."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitotools.errors import TargetError
from mitotools.locking import lock_file
from mitotools.volume.atomic import journal_of, remove, unfinished_of
from mitotools.volume.formats import format_of
from mitotools.volume.outputs import final_of

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath

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


def staging(target: VolumePath) -> AbstractContextManager[None]:
    """Keep other runs from the zarr while it is written, packed and deleted.

    Raises
    ------
    TargetError
        Where another run is at it.
    """
    return lock_file(_lock_of(staged_of(target)))


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


def remove_staged(target: VolumePath, running: Running) -> None:
    """Delete what a run left, unless this run packs it."""
    if running.resume is False:
        staged = staged_of(target)
        for left in (staged, unfinished_of(staged), journal_of(staged), _lock_of(staged)):
            remove(left)
