"""Writing HDF5: chunks are compressed on any thread, and only put into the file under a lock."""

from __future__ import annotations

import itertools
import os
import re
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from mitotools import history
from mitotools.errors import TargetError
from mitotools.volume.blocks import Box, boxes_within
from mitotools.volume.formats.hdf5_filters import COMPRESSORS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mitotools.conventions import Array, Size
    from mitotools.volume.base import VolumeSpec

DATASET = "main"
"""Name of the dataset in files that mitotools writes."""

VOXEL_SIZE, HISTORY = "voxel_size_nm", "history"

IS_LABELS = "is_labels"
"""Attribute of a dataset whose voxels are ids: 1."""

COMPRESSIONS: dict[str, dict[str, Any]] = {
    "default": {"compression": "gzip", "compression_opts": 1},
    "gzip": {"compression": "gzip", "compression_opts": 4},
    "lzf": {"compression": "lzf"},
    "none": {},
}


class Hdf5Writer:
    """A new HDF5 file with one dataset, `main`, written by several threads at once."""

    def __init__(self, path: Path, spec: VolumeSpec, target: Path) -> None:
        self.spec = spec
        self._target = target
        self._lock = threading.Lock()
        with self._errors_in_words():
            # The 1.8 file format keeps large attributes outside the object header: a history may pass 64 KiB.
            self._file = h5py.File(path, "w", libver=("v108", "latest"))
            compression = COMPRESSIONS[spec.compression]
            self._dataset = self._file.create_dataset(
                DATASET,
                shape=spec.shape,
                dtype=spec.dtype,
                chunks=(1,) * (len(spec.shape) - 3) + spec.chunks,
                **compression,
            )
            if spec.voxel_size_nm is not None:
                self._dataset.attrs[VOXEL_SIZE] = spec.voxel_size_nm
            if spec.is_labels:
                self._dataset.attrs[IS_LABELS] = 1
            self._dataset.attrs[HISTORY] = history.to_json(spec.history)
            self._dataset.attrs.update(spec.attributes)
        self._is_ours = compression.get("compression") in (None, "gzip")
        self._compressor = COMPRESSORS.get(compression.get("compression_opts", 0))

    def write(self, box: Box, array: Array) -> None:
        """Store the voxels of `box`."""
        with self._errors_in_words():
            for part in boxes_within(box, self.spec.chunks):
                voxels = array[(..., *part.relative_to(box.start).slices)]
                if self._is_ours and self._is_whole_chunk(part):
                    for channel in itertools.product(*map(range, self.spec.shape[:-3])):
                        self._write_chunk((*channel, *part.start), voxels[channel])
                else:
                    with self._lock:
                        self._dataset[(..., *part.slices)] = voxels

    def _is_whole_chunk(self, part: Box) -> bool:
        aligned = all(a % c == 0 for a, c in zip(part.start, self.spec.chunks, strict=True))
        full = (b - a == c for a, b, c in zip(part.start, part.stop, self.spec.chunks, strict=True))
        at_end = (b == n for b, n in zip(part.stop, self.spec.size, strict=True))
        return aligned and all(f or e for f, e in zip(full, at_end, strict=True))

    def _write_chunk(self, corner: tuple[int, ...], voxels: Array) -> None:
        filled = _padded(voxels.astype(self.spec.dtype, copy=False), self.spec.chunks)
        content = filled.reshape(-1).view(np.uint8)
        # What was never written reads as 0: a chunk of background needs neither time nor room. Its bytes
        # are compared, for -0.0 is 0 too.
        if not content.any():
            return
        data = content if self._compressor is None else self._compressor(content)
        with self._lock:
            self._dataset.id.write_direct_chunk(corner, data)

    def close(self) -> None:
        """Close the file."""
        with self._errors_in_words():
            try:
                self._file.flush()
            except (OSError, RuntimeError):
                self._abandon()
                raise
            self._file.close()

    def _abandon(self) -> None:
        """Close the file without what could not be written."""
        # On a full disk HDF5 cannot close a file, and crashes the process when it is freed (h5py 3.16:
        # segmentation fault). What is left to write goes nowhere instead.
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, self._file.id.get_vfd_handle())
        os.close(nowhere)
        with suppress(OSError, RuntimeError):
            self._file.close()

    @contextmanager
    def _errors_in_words(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, ValueError) as error:  # ValueError: where memory is short
            number = re.search(r"errno = (\d+)", str(error))  # amid file descriptors and times
            why = os.strerror(int(number[1])) if number else str(error)
            raise TargetError(str(self._target), f"cannot be written ({why})") from error


def _padded(voxels: Array, chunks: Size) -> Array:
    """Return a whole chunk, contiguous: at the end of the volume, with zeros behind it."""
    if voxels.shape == chunks:
        return np.ascontiguousarray(voxels)
    padded = np.zeros(chunks, voxels.dtype)
    padded[tuple(slice(n) for n in voxels.shape)] = voxels
    return padded
