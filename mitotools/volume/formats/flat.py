"""Voxels that lie uncompressed in one piece of a file, read and written by boxes."""

from __future__ import annotations

import errno
import math
import os
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mitotools.errors import InputError
from mitotools.volume.formats.stored import Stored

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

    from mitotools.conventions import Array
    from mitotools.volume.base import VolumeSpec
    from mitotools.volume.blocks import Box

_NO_PREALLOCATION = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class FlatArray:
    """A (Z, Y, X) or (C, Z, Y, X) array in a file; with channels last, a (Z, Y, X, C) one.

    Parameters
    ----------
    file : binary file
        Without a buffer; it is closed with the array.
    shape : tuple of int
    dtype : numpy.dtype
        Its byte order is that of the file.
    offset : int
        Bytes before the first voxel.
    order : {"C", "F"}
        Which axis runs fastest: the last or the first.
    channels_last : bool
    """

    def __init__(
        self,
        file: IO[bytes],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        offset: int,
        order: Literal["C", "F"] = "C",
        *,
        channels_last: bool = False,
    ) -> None:
        self._file = file
        self._shape = shape
        self._dtype = dtype
        self._offset = offset
        self._order: Literal["C", "F"] = order
        self._channels_last = channels_last

    def read(self, box: Box) -> Array:
        """Return a copy of the voxels of `box`, all channels, in native byte order."""
        leading = self._shape[3:] if self._channels_last else self._shape[:-3]
        found: Array = np.empty(leading + box.shape, self._dtype.newbyteorder("="))
        channels = tuple(slice(0, count) for count in leading)
        shape, out, part = self._shape, found, channels + box.slices
        if self._channels_last:
            out, part = np.moveaxis(found, 0, -1), box.slices + channels
        if self._order == "F":
            shape, out, part = shape[::-1], out.T, part[::-1]
        file = self._file
        Stored(str(file.name), file.fileno(), self._offset, shape, self._dtype).fill(out, part)
        return found

    def write(self, box: Box, array: Array) -> None:
        """Store the voxels of `box`, all channels, in C order.

        They are written, not mapped: on a full disk a map would kill the process by SIGBUS.
        """
        shape = (math.prod(self._shape[:-3]), *self._shape[-3:])
        source = np.ascontiguousarray(array, dtype=self._dtype).reshape(-1, *box.shape)
        depth = next(axis for axis in (3, 2, 1) if axis == 1 or box.shape[axis - 1] != shape[axis])
        corner = (0, *box.start)
        for index in np.ndindex(source.shape[:depth]):
            first = [a + b for a, b in zip(corner, (*index, 0, 0, 0), strict=False)]
            position = int(np.ravel_multi_index(first, shape))
            self._write(source[index], self._offset + position * self._dtype.itemsize)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, run: Array, offset: int) -> None:
        left = run.reshape(-1).view(np.uint8).data
        while left:  # Linux writes 2 GiB at once and no more
            written = os.pwrite(self._file.fileno(), left, offset)
            left, offset = left[written:], offset + written


class FlatWriter(FlatArray):
    """A new file, laid out in advance so that blocks may come in any order, and from several processes."""

    def __init__(self, path: Path, spec: VolumeSpec, offset: int) -> None:
        super().__init__(path.open("r+b", buffering=0), spec.shape, spec.dtype, offset)
        self.spec = spec


def create(path: Path, header: bytes, nbytes: int) -> None:
    """Create a file of a header and room for `nbytes` bytes of voxels."""
    path.write_bytes(header)
    claim(path, len(header) + nbytes)


def claim(path: Path, nbytes: int) -> None:
    """Give a file its length, and the room for it, so that a full disk is known before work starts."""
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, nbytes)
        except (AttributeError, OSError) as error:  # macOS has no such function, some file systems neither
            if isinstance(error, OSError) and error.errno not in _NO_PREALLOCATION:
                raise
            file.truncate(nbytes)


def check_size(path: Path, stored: int, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise InputError where a file of `stored` bytes cannot hold the voxels that its header promises."""
    if 0 in shape:
        raise InputError(str(path), f"is empty: its shape is {shape}")
    promised = offset + math.prod(shape) * dtype.itemsize
    if promised > stored:
        why = f"is truncated: its header promises {promised} bytes, it has {stored}"
        raise InputError(str(path), why, "Copy it again")
