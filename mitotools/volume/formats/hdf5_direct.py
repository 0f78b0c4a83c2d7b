"""The voxels of an HDF5 dataset, read from its file on as many threads as ask.

HDF5 serves one thread at a time, decompression included. Here it only says where the chunks lie; their bytes
are read and inflated without a lock. What HDF5 alone understands stays with it: `direct` then returns None.
"""

from __future__ import annotations

import itertools
import math
import os
from array import array as packed
from typing import TYPE_CHECKING

import h5py
import numpy as np

from mitotools.errors import InputError
from mitotools.volume.blocks import Box, size3
from mitotools.volume.formats.hdf5_filters import DamagedChunkError, Pipeline
from mitotools.volume.formats.stored import Stored

if TYPE_CHECKING:
    from threading import Lock

    from mitotools.conventions import Array


def direct(dataset: h5py.Dataset, pipeline: Pipeline, name: str, lock: Lock) -> _Chunked | _Contiguous | None:
    """Return a way around HDF5, or None where there is none.

    Parameters
    ----------
    dataset : h5py.Dataset
    pipeline : Pipeline
    name : str
        What to call the dataset in messages.
    lock : threading.Lock
        Held wherever HDF5 is asked.
    """
    if not _is_plain(dataset):
        return None
    layout = dataset.id.get_create_plist().get_layout()
    if layout == h5py.h5d.CHUNKED and pipeline.is_ours and _lists_its_chunks(dataset):
        return _Chunked(dataset, pipeline, name, lock)
    if layout == h5py.h5d.CONTIGUOUS and dataset.id.get_offset() is not None:
        return _Contiguous(dataset, name)
    return None


def _is_plain(dataset: h5py.Dataset) -> bool:
    """Whether voxels lie in this very file as numpy would write them."""
    if len(dataset.shape) not in (3, 4) or 0 in dataset.shape or dataset.dtype.kind not in "uifb":
        return False
    file = dataset.file
    return (
        hasattr(os, "pread")
        and file.driver == "sec2"
        and file.userblock_size == 0
        # Integers of 12 bits in 16, say, are for HDF5 to convert.
        and bool(h5py.h5t.py_create(dataset.dtype, logical=True).equal(dataset.id.get_type()))
    )


def _lists_its_chunks(dataset: h5py.Dataset) -> bool:
    """Whether HDF5 tells, and tells rightly, where the chunks lie."""
    unlimited = [axis for axis, longest in enumerate(dataset.maxshape) if longest is None]
    return (
        hasattr(dataset.id, "chunk_iter")
        # Where one axis grows, not the first, HDF5 2.0 confuses the axes of a chunk's place.
        and (len(unlimited) != 1 or unlimited == [0])
        # Chunks are found by their number, which has to fit into 64 bits.
        and math.prod(_grid(dataset)) < 2**63
    )


def _grid(dataset: h5py.Dataset) -> tuple[int, ...]:
    """Return the number of chunks along each axis."""
    return tuple(-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True))


class _File:
    """The bytes of a file that HDF5 has open."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        # A duplicate, so that it is the same file even where another has taken its name since.
        self.descriptor = os.dup(dataset.file.id.get_vfd_handle())
        self._size = os.fstat(self.descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        # Nothing is allocated for what cannot be there.
        if offset + length > self._size:
            raise DamagedChunkError("it lies behind the end of the file")
        parts = []
        while length:
            parts.append(os.pread(self.descriptor, length, offset))
            if not parts[-1]:
                raise DamagedChunkError("the file has become shorter")
            offset, length = offset + len(parts[-1]), length - len(parts[-1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        os.close(self.descriptor)


class _Contiguous:
    """A dataset without chunks."""

    def __init__(self, dataset: h5py.Dataset, name: str) -> None:
        self._file = _File(dataset)
        offset, dtype = dataset.id.get_offset(), _raw_dtype(dataset)
        self._stored = Stored(name, self._file.descriptor, offset, dataset.shape, dtype)

    def read(self, box: Box) -> Array:
        if self._stored.stop > os.fstat(self._file.descriptor).st_size:
            raise InputError(
                self._stored.name, "is damaged: it lies behind the end of the file", "Copy it again"
            )
        channels = tuple(slice(0, n) for n in self._stored.shape[:-3])
        found = np.empty((*self._stored.shape[:-3], *box.shape), self._stored.dtype)
        self._stored.fill(found, channels + box.slices)
        return found

    def close(self) -> None:
        self._file.close()


class _Chunked:
    """A dataset in chunks, compressed or not."""

    def __init__(self, dataset: h5py.Dataset, pipeline: Pipeline, name: str, lock: Lock) -> None:
        self._file = _File(dataset)
        self._dataset = dataset
        self._pipeline = pipeline
        self._name = name
        self._lock = lock
        self._shape, self._chunks, self._grid = dataset.shape, dataset.chunks, _grid(dataset)
        self._dtype = _raw_dtype(dataset)
        self._index: _Index | None = None
        self._fill: Array | None = None

    def read(self, box: Box) -> Array:
        leading = self._shape[:-3]
        start = (0,) * len(leading) + box.start
        stop = leading + box.stop
        found = np.empty([b - a for a, b in zip(start, stop, strict=True)], self._dtype)
        ranges = (range(a // c, -(-b // c)) for a, b, c in zip(start, stop, self._chunks, strict=True))
        for place in itertools.product(*ranges):
            corner = [i * c for i, c in zip(place, self._chunks, strict=True)]
            inside = [
                slice(max(a - k, 0), min(b - k, c))
                for a, b, k, c in zip(start, stop, corner, self._chunks, strict=True)
            ]
            into = [
                slice(k + s.start - a, k + s.stop - a) for a, k, s in zip(start, corner, inside, strict=True)
            ]
            self._read_chunk(place, tuple(inside), found[tuple(into)])
        return found

    def _read_chunk(self, place: tuple[int, ...], inside: tuple[slice, ...], into: Array) -> None:
        entry = self._stored().find(int(np.ravel_multi_index(place, self._grid)))
        if entry is None:
            into[...] = self._fill_value(place)
            return
        offset, length, mask = entry
        try:
            if self._is_perhaps_unfiltered(place, length):
                into[...] = self._by_hdf5(place, inside)
                return
            data = self._pipeline.decode(self._file.read(offset, length), mask)
        except (DamagedChunkError, OSError, RuntimeError) as error:
            why = f"the chunk {self._box(place)} is damaged ({error})"
            raise InputError(self._name, why) from error
        into[...] = np.frombuffer(data, self._dtype).reshape(self._chunks)[inside]

    def _is_perhaps_unfiltered(self, place: tuple[int, ...], length: int) -> bool:
        """Whether a chunk over the volume's end may be stored without filters, which only HDF5 is told."""
        if not self._pipeline.filters or length != self._pipeline.chunk_bytes:
            return False
        return any((i + 1) * c > n for i, c, n in zip(place, self._chunks, self._shape, strict=True))

    def _by_hdf5(self, place: tuple[int, ...], inside: tuple[slice, ...]) -> Array:
        corner = [i * c for i, c in zip(place, self._chunks, strict=True)]
        index = tuple(slice(k + s.start, k + s.stop) for k, s in zip(corner, inside, strict=True))
        with self._lock:
            return np.asarray(self._dataset[index])

    def _fill_value(self, place: tuple[int, ...]) -> Array:
        """Return what HDF5 shows where there is no chunk, by its many rules."""
        if self._fill is None:
            self._fill = self._by_hdf5(place, (slice(0, 1),) * len(place))
        return self._fill

    def _stored(self) -> _Index:
        if self._index is None:
            with self._lock:
                self._index = self._index or _Index(self._dataset, self._grid, self._name)
        return self._index

    def _box(self, place: tuple[int, ...]) -> Box:
        """Return the extent of a chunk, as far as it lies in the volume."""
        corner = size3([i * c for i, c in zip(place, self._chunks, strict=True)][-3:])
        end = size3([k + c for k, c in zip(corner, self._chunks[-3:], strict=True)])
        return Box(corner, end).intersection(Box.whole(size3(self._shape[-3:])))

    def close(self) -> None:
        self._file.close()


class _Index:
    """Where the chunks of a dataset lie in its file: 32 bytes a stored chunk.

    HDF5 walks through all chunks to find one (1.14, 2.0: 10 ms among 160 000), and through all of them once
    in the time of 20 such searches.
    """

    def __init__(self, dataset: h5py.Dataset, grid: tuple[int, ...], name: str) -> None:
        facts = packed("Q")

        def note(chunk: h5py.h5d.StoreInfo) -> None:
            if chunk.byte_offset is not None:
                facts.extend((*chunk.chunk_offset, chunk.byte_offset, chunk.size, chunk.filter_mask))

        try:
            dataset.id.chunk_iter(note)
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                name, f"its list of chunks cannot be read ({error})", "Check that the file is complete"
            ) from error
        axes = len(grid)
        rows = np.frombuffer(facts, np.uint64).reshape(-1, axes + 3)
        places = rows[:, :axes] // np.array(dataset.chunks, np.uint64)
        if (places >= np.array(grid, np.uint64)).any():
            raise InputError(name, "its list of chunks is damaged")
        numbers = np.ravel_multi_index(tuple(places.T.astype(np.int64)), grid)
        order = np.argsort(numbers, kind="stable")
        self._numbers = numbers[order]
        self._entries = rows[order, axes:]

    def find(self, number: int) -> tuple[int, int, int] | None:
        """Return offset, bytes and filter mask of a chunk, or None where it is not stored."""
        row = int(np.searchsorted(self._numbers, number))
        if row == len(self._numbers) or self._numbers[row] != number:
            return None
        offset, length, mask = self._entries[row].tolist()
        return offset, length, mask


def _raw_dtype(dataset: h5py.Dataset) -> np.dtype[np.generic]:
    """Return the type of the bytes; HDF5 calls 0 and 1 of a byte FALSE and TRUE."""
    dtype: np.dtype[np.generic] = np.dtype(dataset.dtype.str)  # without the names of an enumeration
    return dtype
