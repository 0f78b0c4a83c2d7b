"""``-``: a temporary volume whose path goes from one command to the next through a pipe."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mitotools.errors import InputError, UsageError
from mitotools.volume.files import remove
from mitotools.volume.path import VolumePath, parse_volume_path

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "mitotools-pipe-"
"""Temporary volumes lie in private folders of this name, and only those are ever removed."""


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
    if sys.stdin.isatty():
        raise UsageError("-", "reads a volume's path from a pipe, but standard input is a terminal")
    line = sys.stdin.readline().strip()
    if not line:
        raise InputError("-", "nothing came through the pipe", "The command before it failed")
    found = parse_volume_path(line)
    try:
        yield VolumePath(
            found.file, found.dataset, source.ranges or found.ranges, source.channels or found.channels
        )
    finally:
        folder = Path(found.file).parent
        if folder.name.startswith(PREFIX):
            remove(folder)


@contextmanager
def sent(target: VolumePath) -> Iterator[VolumePath]:
    """Yield a temporary volume for ``-``, and print its path on standard output once it is written.

    Any other path is yielded as it is.

    Raises
    ------
    BrokenPipeError
        Where the command behind the pipe has ended; the temporary is gone then.
    """
    if not target.is_pipe:
        yield target
        return
    if sys.stdout.isatty():
        raise UsageError("-", "writes a volume's path to a pipe, but standard output is a terminal")
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=os.environ.get("MITOTOOLS_TMPDIR")))
    try:
        volume = folder / "volume.zarr"
        yield VolumePath(str(volume))
        sys.stdout.write(f"{volume}\n")
        sys.stdout.flush()
    except BaseException:
        remove(folder)
        raise
