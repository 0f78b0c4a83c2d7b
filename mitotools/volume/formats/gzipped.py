"""Arrays inside gzip files: unpacked once into a temporary file, whose boxes are then read in any order.

An index of points to start decompression from would be the other way. It still decompresses some slices again
for every block that is narrower than a slice, and its windows grow with the file: 32 KiB a point, which is
130 MB of a volume of 16 GB with a point every 4 MB.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
import threading
from typing import TYPE_CHECKING, Any

from isal import igzip

from mitotools.errors import InputError
from mitotools.temporary import room_for_temporaries
from mitotools.volume.formats.flat import FlatArray

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

    import numpy as np

    from mitotools.conventions import Array
    from mitotools.volume.blocks import Box

CHUNK_BYTES = 2**22

MOST_RATIO = 1032
"""Deflate packs 258 bytes in two bits at best."""


class GzippedArray:
    """An array at `offset` of what a gzip file holds."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int) -> None:
        self._path = path
        self._shape = shape
        self._dtype = dtype
        self._offset = offset
        self._nbytes = math.prod(shape) * dtype.itemsize
        self._lock = threading.Lock()
        self._array: FlatArray | None = None

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels; the first call unpacks the file."""
        with self._lock:
            if self._array is None:
                self._array = self._unpack()
            array = self._array
        return array.read(box)

    def close(self) -> None:
        """Remove the temporary file."""
        if self._array is not None:
            self._array.close()

    def _unpack(self) -> FlatArray:
        folder = str(room_for_temporaries())
        self._check_room(folder)
        # The file has no name: however the process ends, nothing is left.
        try:
            file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 (the array closes it)
        except OSError as error:
            raise self._no_room(folder, error.strerror or str(error)) from error
        try:
            self._copy(file, folder)
        except BaseException:
            file.close()
            raise
        return FlatArray(file, self._shape, self._dtype, 0)

    def _copy(self, file: IO[bytes], folder: str) -> None:
        left = self._nbytes
        for content in self._contents():
            kept = memoryview(content)[:left]
            left -= len(kept)
            try:
                while kept:
                    kept = kept[file.write(kept) :]
            except OSError as error:
                raise self._no_room(folder, error.strerror or str(error)) from error
        if left:
            raise self._damaged(f"ends {left} bytes early")

    def _contents(self) -> Any:
        """Yield the bytes of the array, and read one chunk more, so that the checksum is looked at."""
        try:
            with igzip.open(self._path, "rb") as source:
                source.seek(self._offset)
                left = self._nbytes
                while left >= 0 and (content := source.read(CHUNK_BYTES)):
                    left -= len(content)
                    yield content
        except Exception as error:  # a damaged stream raises errors of several kinds
            raise self._damaged(str(error)) from error

    def _check_room(self, folder: str) -> None:
        try:
            free = shutil.disk_usage(folder).free
        except OSError as error:
            raise self._no_room(folder, error.strerror or str(error)) from error
        if free < self._nbytes:
            raise self._no_room(folder, os.strerror(errno.ENOSPC))

    def _no_room(self, folder: str, why: str) -> InputError:
        why = f"needs {self._nbytes / 2**30:.1f} GiB unpacked, which {folder} cannot hold ({why})"
        return InputError(str(self._path), why, "Set MITOTOOLS_TMPDIR to another folder, or gunzip the file")

    def _damaged(self, why: str) -> InputError:
        return InputError(str(self._path), f"is truncated or damaged ({why})", "Copy it again")


def unpacked_limit(stored: int) -> int:
    """Return the most bytes that a gzip file of `stored` bytes can hold."""
    return stored * MOST_RATIO


def is_gzip(path: Path) -> bool:
    """Whether a file is compressed, whatever its name."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def start_of(path: Path, count: int, *, compressed: bool) -> bytes:
    """Return the first `count` bytes of a file, or of what it holds compressed."""
    with igzip.open(path, "rb") if compressed else path.open("rb") as file:
        content: bytes = file.read(count)
        return content
