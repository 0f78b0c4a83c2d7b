"""Files and folders that appear under their names only when they are complete."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mitotools import history
from mitotools.errors import TargetError
from mitotools.interruption import uninterrupted
from mitotools.locking import lock_file, locked
from mitotools.volume.plan import PLAN_NAME, extent_in_name
from mitotools.volume.unchanged import note_made

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SETTLING_S = 0.3
"""After which no thread writes any more into what has failed."""

UNFINISHED = ".unfinished"
"""Suffix under which an output is written."""

JOURNAL = ".journal"
"""Suffix of the list of blocks that are done, behind that of the unfinished output."""

PARTS = ".parts"
"""Suffix of the folder of an output that several runs write, a part each, behind that as well."""

REPLACED = ".replaced"
"""Suffix under which the folder that an output replaces is kept until it is replaced."""

_ZARR_METADATA = ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata")
_ZARR_CHUNK = re.compile(r"c|(c\.)?\d+(\.\d+)*")
_SAME_KIND = ((".png", ".tif", ".tiff"), (".ply", ".obj"))
"""Suffixes of the files in folders of slices, and of meshes."""
_LITTER = (".DS_Store", "Thumbs.db")

_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What comes without the name of a file, of one that is open."""


@contextmanager
def create_file(final: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a path to write a file or folder to, renamed to `final` when the block ends without an error.

    Raises
    ------
    TargetError
        Where it cannot be written, exists and `force` is not given, or is being written by another run.
    """
    check_file(final, force=force)
    with lock_file(journal_of(final)), appearing(final, force=force) as path:
        yield path


def check_file(final: Path, *, force: bool = False, resume: bool = False) -> None:
    """Raise TargetError where a file or folder exists already or has no folder to lie in.

    With `resume` it may be there, unfinished or finished.
    """
    if not final.absolute().parent.is_dir():
        raise TargetError(str(final), f"the folder {final.parent} does not exist")
    if final.exists() and not (force or resume):
        raise TargetError(str(final), "exists already", "Use --force to replace it")
    unfinished, replaced = (final.with_name(final.name + suffix) for suffix in (UNFINISHED, REPLACED))
    if unfinished.is_symlink() and not force:  # what it leads to is not ours to write
        raise TargetError(str(unfinished), "is a link", "Delete it")
    if unfinished.exists() and not (force or resume):
        why = "another run is writing this output, or was killed"
        # Where no block is done there is nothing to continue.
        what_next = "Use --force to start over"
        if _has_entries(journal_of(final)):
            what_next = "Use --resume to continue, or --force to start over"
        raise TargetError(str(unfinished), why, what_next)
    # Where the new one is in place, the old one is litter, and goes with the next one.
    if replaced.exists() and not final.exists() and not force:
        why = "is what a run that was killed had begun to replace"
        raise TargetError(str(replaced), why, "Use --force to start over")
    if final.is_dir() and not is_output(final):
        raise TargetError(str(final), "is a folder with other things in it, which --force would delete")
    if force:
        refuse_to_lose(final, sorted(entry.name for entry in final.glob("labels/*/") if _is_zarr(entry)))


def refuse_to_lose(image: object, labels: list[str]) -> None:
    """Raise TargetError where an OME-Zarr that is to be replaced holds label images, each made on its own."""
    if labels:
        why = f"holds label images ({', '.join(labels)}), which --force would delete"
        raise TargetError(str(image), why, f"Move {image}/labels away, or write to another name")


def _has_entries(journal: Path) -> bool:
    """Whether a block is done: a journal's first line says what is made."""
    return journal.is_file() and journal.read_bytes().count(b"\n") > 1


def unfinished_of(final: Path) -> Path:
    """Return what a file or folder is called until it is complete."""
    return final.with_name(final.name + UNFINISHED)


def journal_of(final: Path) -> Path:
    """Return the list of the blocks of an unfinished output that are done."""
    return final.with_name(final.name + UNFINISHED + JOURNAL)


def parts_of(final: Path) -> Path:
    """Return the folder of an output that several runs write, a part each."""
    return final.with_name(final.name + UNFINISHED + PARTS)


def check_parts(final: Path, *, force: bool = False) -> None:
    """Raise TargetError where several runs write an output, which one alone is to write.

    With `force` it may be what runs left that were killed.
    """
    folder = parts_of(final)
    if folder.exists() and not force:
        why = "parts of this output are being written, or were when they were killed"
        raise TargetError(str(folder), why, "Run the other parts, or use --force to start over")
    for journal in folder.glob(f"*{JOURNAL}"):
        with locked(journal, is_new=False):  # refused where a run has it
            pass


@contextmanager
def appearing(
    final: Path,
    *,
    force: bool,
    is_continued: bool = False,
    is_kept: Callable[[], bool] = lambda: False,
) -> Iterator[Path]:
    """Yield what a file or folder is called until it is complete; rename it when the block ends.

    Parameters
    ----------
    final : Path
        Locked by the caller, by its journal.
    force : bool
        Replace what is there.
    is_continued : bool
        Write on into what an earlier run left.
    is_kept : callable
        Asked after a failure whether what there is stays, so that another run can continue it.
    """
    check_file(final, force=force, resume=is_continued)  # again, now that no other run can be at it
    check_parts(final, force=force)
    remove(parts_of(final))
    path = unfinished_of(final)
    sidecar = history.sidecar(path)
    if not is_continued:
        remove(path)
        remove(sidecar)
    with uninterrupted() as interruptible:  # a second Ctrl-C, while we tidy up
        try:
            with interruptible():
                yield path
                _put_in_place(path, final)
        except BaseException as error:
            if not is_kept():
                remove(path)
                remove(sidecar)
                if isinstance(error, MemoryError | RuntimeError):
                    # Where a pool can start no thread, what it was given is still done by those it has.
                    time.sleep(SETTLING_S)
                    remove(path)
            if isinstance(error, OSError) and error.errno in _OF_DISKS:
                raise TargetError(str(final), f"cannot be written ({os.strerror(error.errno)})") from error
            raise


def _put_in_place(path: Path, final: Path) -> None:
    """Rename an output and its history, and delete what was there.

    A kill leaves the new one with its history; a file that takes another's place may be left with none.
    """
    old = final.with_name(final.name + REPLACED)
    is_folder = path.is_dir() or final.is_dir()
    if is_folder:
        remove(old)
    try:
        with uninterrupted():
            _rename(path, final, old if is_folder and final.exists() else None)
            note_made(final)
        if is_folder:
            remove(old)
    except BaseException:
        if is_folder and old.exists():
            why = "%s is complete; %s is what is left of the one that it replaced, and may be deleted"
            logging.getLogger(__name__).warning(why, final, old)
        raise


def _rename(path: Path, final: Path, old: Path | None) -> None:
    written, sidecar = history.sidecar(path), history.sidecar(final)
    # No history at all for a moment is better than that of the volume which is replaced.
    remove(sidecar)
    # A folder cannot be replaced in one step: the old one makes room first, and comes back on failure.
    if old:
        final.rename(old)
    try:
        if written.exists() and not final.exists():
            written.rename(sidecar)
        path.replace(final)
        if written.exists():
            written.rename(sidecar)
    except BaseException:
        if old and not final.exists():
            old.rename(final)
        if path.exists():
            remove(sidecar)
        raise


def remove(path: Path) -> None:
    """Delete a file or folder, if it is there."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    for wait_s in (0.05, 0.2, 1.0, None):
        try:
            shutil.rmtree(path)
        except OSError as error:  # a thread that does not know of an interruption may still be writing
            if wait_s is None or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            time.sleep(wait_s)
        else:
            return


def is_output(folder: Path) -> bool:
    """Whether the folder is a zarr, slices, tiles or meshes, with nothing else in it."""
    names = [entry.name for entry in folder.iterdir() if entry.name not in _LITTER]
    if _is_zarr(folder):
        return all(_is_part_of_zarr(folder / name) for name in names)
    if (folder / "info").is_file():
        return set(names) <= {"info", *_scales(folder / "info")}
    if PLAN_NAME in names:
        return all(name == PLAN_NAME or extent_in_name(name) for name in names)
    return any(all(name.lower().endswith(kind) for name in names) for kind in _SAME_KIND)


def _scales(info: Path) -> set[str]:
    """Return the folders that the description of a precomputed volume speaks of."""
    try:
        return {str(scale["key"]).split("/")[0] for scale in json.loads(info.read_bytes())["scales"]}
    except (ValueError, TypeError, LookupError, AttributeError):
        return set()


def _is_zarr(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _ZARR_METADATA)


def _is_part_of_zarr(entry: Path) -> bool:
    is_chunk = _ZARR_CHUNK.fullmatch(entry.name) is not None
    return is_chunk or entry.name in (*_ZARR_METADATA, "OME") or (entry.is_dir() and _is_zarr(entry))
