"""Voxels that lie uncompressed in one piece of a file, read by parts.

They are read, not mapped: where another program cuts a file, what is mapped kills the process by SIGBUS.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools.errors import InputError

if TYPE_CHECKING:
    from mitotools.conventions import Array

SHORT_BYTES = 2**14
"""Lines up to it are read whole, whatever part of them is asked for: a call of the system takes as long as
to copy so much. Measured over boxes of many shapes, reading takes 0.6 to 1.4 times as long as mapping did."""

BUFFER_BYTES = 2**23
"""Of whole lines that are held at once, where there is more than one."""


@dataclass(frozen=True)
class Stored:
    """An array in a file, in C order.

    Parameters
    ----------
    name : str
        What to call it in messages.
    file : int
        The descriptor of the file.
    offset : int
        Bytes before the first voxel.
    shape : tuple of int
        Of two axes or more.
    dtype : numpy.dtype
        Its byte order is that of the file.
    """

    name: str
    file: int
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def stop(self) -> int:
        """Where in the file it ends."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize

    def fill(self, out: Array, part: tuple[slice, ...]) -> None:
        """Fill `out` with a part of the array: a slice an axis.

        Raises
        ------
        InputError
            Where the file cannot be read, or ends before it.
        """
        lengths, shape = out.shape, self.shape
        steps = [math.prod(shape[axis + 1 :]) * self.dtype.itemsize for axis in range(len(shape))]
        inner = max((axis for axis, length in enumerate(lengths) if length < shape[axis]), default=0)
        depth = max(inner - (shape[inner] * steps[inner] <= SHORT_BYTES), 1)
        # Axes before `depth` are counted through; from there on voxels lie in a row.
        first = sum(cut.start * step for cut, step in zip(part[: depth + 1], steps, strict=False))
        rows = np.full(1, self.offset + first)
        for axis in range(1, depth):
            rows = np.add.outer(rows, np.arange(lengths[axis]) * steps[axis]).reshape(-1)
        held = lengths[1 : depth + 1] + shape[depth + 1 :]
        cut = (*(slice(None),) * (inner - 1), part[inner]) if inner > depth else ()
        if cut and math.prod(held) * self.dtype.itemsize > BUFFER_BYTES and lengths[depth] > 1:
            self._fill_halves(out, part, depth)
            return
        is_direct = not cut and out.dtype == self.dtype and out[0].flags.c_contiguous
        buffer = None if is_direct else np.empty(held, self.dtype)
        for index, slab in enumerate(out):
            self._read_rows(slab if buffer is None else buffer, rows + index * steps[0])
            if buffer is not None:
                slab[...] = buffer[cut]

    def _fill_halves(self, out: Array, part: tuple[slice, ...], axis: int) -> None:
        start, stop = part[axis].start, part[axis].stop
        middle = (start + stop) // 2
        for half in (slice(start, middle), slice(middle, stop)):
            inside = slice(half.start - start, half.stop - start)
            self.fill(out[(*(slice(None),) * axis, inside)], (*part[:axis], half, *part[axis + 1 :]))

    def _read_rows(self, out: Array, starts: Array) -> None:
        content = out.reshape(-1).view(np.uint8).data
        size = len(content) // len(starts)
        for index, start in enumerate(starts.tolist()):
            left = content[index * size : (index + 1) * size]
            while left:  # Linux reads 2 GiB at once and no more
                try:
                    count = os.preadv(self.file, [left], start)
                except OSError as error:
                    raise InputError(self.name, f"cannot be read ({error.strerror})") from error
                if not count:
                    raise InputError(self.name, "has become shorter while it was read", "Copy it again")
                left, start = left[count:], start + count
