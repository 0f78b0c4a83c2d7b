"""``-``: a temporary volume whose path goes from one command to the next through a pipe."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mitotools.errors import InputError, TargetError, UsageError
from mitotools.interruption import uninterrupted
from mitotools.temporary import LOCK, PIPE, PREFIX, in_use, new_folder, room_for_temporaries
from mitotools.volume.atomic import remove
from mitotools.volume.path import VolumePath, parse_volume_path

if TYPE_CHECKING:
    from collections.abc import Iterator

VOLUME = "volume.zarr"
"""Name of the volume in its folder."""

LONGEST_LINE = 2**16
"""Characters; what is longer is no path but somebody's data."""


@contextmanager
def received(source: VolumePath) -> Iterator[VolumePath]:
    """Yield the volume behind ``-``, named on standard input, and remove it afterwards.

    Any other path is yielded as it is. A volume that no command of ours made for a pipe is not removed.

    Raises
    ------
    InputError
        Where nothing comes through the pipe: the command before it failed.
    """
    if not source.is_pipe:
        yield source
        return
    found = _read_path()
    volume = Path(found.file)
    with ExitStack() as stack:
        if _is_temporary(volume):
            stack.callback(_remove_temporary, volume)
            stack.enter_context(in_use(volume.parent))
        yield _cropped(found, source)


@contextmanager
def sent(target: VolumePath) -> Iterator[VolumePath]:
    """Yield a temporary volume for ``-``, and print its path on standard output once it is written.

    Any other path is yielded as it is.

    Raises
    ------
    TargetError
        Where temporaries lie in a folder whose name cannot be one line.
    BrokenPipeError
        Where the command behind the pipe has ended; the temporary is gone then.
    """
    if not target.is_pipe:
        yield target
        return
    if sys.stdout.isatty():
        raise UsageError("-", "writes a volume's path to a pipe, but standard output is a terminal")
    room = str(room_for_temporaries())
    if not room.isprintable():
        raise TargetError(room, "cannot go through a pipe: its name is not printable", "Set MITOTOOLS_TMPDIR")
    with uninterrupted() as interruptible:
        folder = new_folder(PIPE)
        try:
            volume = folder / VOLUME
            with interruptible(), in_use(folder):
                yield VolumePath(str(volume))
            sys.stdout.write(f"{volume}\n")
            sys.stdout.flush()
        except BaseException:
            remove(folder)
            raise


def _read_path() -> VolumePath:
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("-", "reads a volume's path from a pipe, but there is none on standard input")
    try:
        line = sys.stdin.readline(LONGEST_LINE).strip()
    except UnicodeDecodeError:
        line = "\0"
    if not line.isprintable() or len(line) == LONGEST_LINE:
        raise InputError("-", "expected the path of a volume, found other data", "Pipe a path")
    if not line:
        raise InputError("-", "nothing came through the pipe", "The command before it failed")
    return parse_volume_path(line)


def _cropped(found: VolumePath, source: VolumePath) -> VolumePath:
    """Return the volume that came through the pipe with the crop that follows ``-``."""
    if found.crop and source.crop:
        raise UsageError(f"{found}{found.crop}", "has a crop already", f"Leave out that of -{source.crop}")
    if not source.crop:
        return found
    return replace(found, ranges=source.ranges, channels=source.channels)


def _is_temporary(volume: Path) -> bool:
    """Whether a command of ours made a volume for a pipe: any other is left alone."""
    folder = volume.parent
    return volume.name == VOLUME and folder.name.startswith(PREFIX + PIPE) and folder.is_dir()


def _remove_temporary(volume: Path) -> None:
    """Remove such a volume, with its folder."""
    remove(volume)
    remove(volume.parent / LOCK)
    with suppress(OSError):  # not empty: somebody else's things
        volume.parent.rmdir()
