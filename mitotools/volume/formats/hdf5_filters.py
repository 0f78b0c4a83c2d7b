"""HDF5's filters outside of HDF5: what was done to the bytes of a chunk, done and undone on any thread.

HDF5 runs its filters under one lock, one thread at a time. Of 0.5 MB chunks of EM, a core inflates 180 MB/s
with zlib, 320 with ISA-L and 340 to 400 with libdeflate. At level 1 it deflates 58 MB/s with zlib, 140 with
libdeflate and 470 with ISA-L, to 83, 87 and 87 % of their size. All of them let other threads run meanwhile.
"""

from __future__ import annotations

import importlib
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import deflate
import h5py
from isal import isal_zlib
from numcodecs.fletcher32 import Fletcher32
from numcodecs.shuffle import Shuffle

from mitotools.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitotools.conventions import Array

DEFLATE, SHUFFLE, FLETCHER32 = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32
CHECKSUM_BYTES = 4

LARGEST_RATIO = 1032
"""Deflate shrinks nothing further: longest match over two bits, zlib's technical notes."""

PLUGIN = "hdf5plugin"
PLUGIN_FILTERS = {
    307: "bzip2", 32001: "Blosc", 32004: "LZ4", 32008: "Bitshuffle", 32013: "ZFP", 32015: "Zstandard",
    32017: "SZ", 32018: "FCIDECOMP", 32024: "SZ3", 32026: "Blosc2", 32028: "SPERR",
}  # fmt: skip
"""Registered filters that the package hdf5plugin brings."""

COMPRESSORS: dict[int, Callable[[Array], bytes | bytearray]] = {
    # Level 1 is for speed, and ISA-L is the fastest; who asks for level 4 wants files to be small.
    1: lambda voxels: isal_zlib.compress(voxels, 1),
    4: lambda voxels: deflate.zlib_compress(voxels, 4),
}
"""How to deflate a chunk, by the level that its file declares."""


def available_filters() -> list[str]:
    """Return the names of the filters that HDF5 files may use here, hdf5plugin's among them."""
    with suppress(ImportError):
        importlib.import_module(PLUGIN)
    known = {DEFLATE: "gzip", h5py.h5z.FILTER_LZF: "LZF", h5py.h5z.FILTER_SZIP: "SZIP", **PLUGIN_FILTERS}
    return [name for code, name in known.items() if h5py.h5z.filter_avail(code)]


class DamagedChunkError(Exception):
    """Bytes that are no chunk; the text says why."""


@dataclass(frozen=True)
class Filter:
    """One step of a dataset's filter pipeline."""

    code: int
    name: str
    parameters: tuple[int, ...] = ()


@dataclass(frozen=True)
class Pipeline:
    """The filters of a dataset, in the order in which they were applied.

    Parameters
    ----------
    filters : tuple of Filter
    chunk_bytes : int
        Bytes of a chunk before any filter.
    """

    filters: tuple[Filter, ...]
    chunk_bytes: int

    @property
    def is_ours(self) -> bool:
        """Whether `decode` knows all filters; HDF5 itself may know more."""
        codes = [step.code for step in self.filters]
        # What an outer deflate should inflate to is known only where there is no inner one.
        return set(codes) <= {DEFLATE, SHUFFLE, FLETCHER32} and codes.count(DEFLATE) <= 1

    def decode(self, raw: bytes, mask: int) -> bytes | bytearray:
        """Return the bytes of the voxels of a chunk.

        Parameters
        ----------
        raw : bytes
            The chunk as it lies in the file.
        mask : int
            Bit i is set where filter i was not applied to this chunk.

        Raises
        ------
        DamagedChunkError
            Where a checksum or a length is wrong.
        """
        applied = [step for i, step in enumerate(self.filters) if not mask >> i & 1]
        data: bytes | bytearray = raw
        for i in reversed(range(len(applied))):
            step = applied[i]
            if step.code == DEFLATE:
                checksums = sum(inner.code == FLETCHER32 for inner in applied[:i])
                data = inflated(data, self.chunk_bytes + CHECKSUM_BYTES * checksums)
            elif step.code == SHUFFLE:
                data = _unshuffled(data, step.parameters[0] if step.parameters else 1)
            else:
                data = _checked(data)
        if len(data) != self.chunk_bytes:
            raise DamagedChunkError(f"it holds {len(data)} bytes instead of {self.chunk_bytes}")
        return data


def pipeline_of(dataset: h5py.Dataset, chunk_bytes: int) -> Pipeline:
    """Return the filters of a dataset."""
    properties = dataset.id.get_create_plist()
    found = [properties.get_filter(i) for i in range(properties.get_nfilters())]
    filters = (Filter(code, name.decode(errors="replace"), values) for code, _, values, name in found)
    return Pipeline(tuple(filters), chunk_bytes)


def check_filters(name: str, pipeline: Pipeline) -> None:
    """Raise InputError where HDF5 lacks a filter, having looked for the package that brings it."""
    for step in pipeline.filters:
        if h5py.h5z.filter_avail(step.code):
            continue
        with suppress(ImportError):
            importlib.import_module(PLUGIN)
        if not h5py.h5z.filter_avail(step.code):
            codec = PLUGIN_FILTERS.get(step.code) or step.name or "a filter"
            package = PLUGIN if step.code in PLUGIN_FILTERS else ""
            raise InputError(
                name,
                f"is compressed with {codec} (HDF5 filter {step.code}), which HDF5 lacks here",
                f"Install the Python package {package}" if package else "Compress it again with gzip",
            )


def inflated(data: bytes | bytearray, size: int) -> bytes | bytearray:
    """Return the `size` bytes of a zlib stream.

    Raises
    ------
    DamagedChunkError
        Where it is no zlib stream, or one of other bytes; only what it may hold is allocated.
    """
    if size > LARGEST_RATIO * len(data):
        raise DamagedChunkError(f"its {len(data)} bytes cannot inflate to {size}")
    found: bytes | bytearray
    try:
        found = deflate.zlib_decompress(data, size)
    except deflate.DeflateError:
        found = _inflated_by_zlib(data, size)
    if len(found) != size:
        raise DamagedChunkError(f"it inflates to {len(found)} bytes instead of {size}")
    return found


def _inflated_by_zlib(data: bytes | bytearray, size: int) -> bytes:
    """Inflate as HDF5 does, which bytes behind the stream do not disturb."""
    stream = zlib.decompressobj()
    try:
        found = stream.decompress(data, size + 1)
    except zlib.error as error:
        raise DamagedChunkError(f"it does not inflate: {error}") from error
    if not stream.eof:
        raise DamagedChunkError(f"it does not inflate to {size} bytes")
    return found


def _unshuffled(data: bytes | bytearray, itemsize: int) -> bytes | bytearray:
    whole = len(data) - len(data) % max(itemsize, 1)
    if itemsize <= 1 or not whole:
        return data
    # HDF5 leaves the bytes behind the last whole element where they are.
    return bytes(Shuffle(itemsize).decode(data[:whole])) + data[whole:]


def _checked(data: bytes | bytearray) -> bytes:
    if len(data) <= CHECKSUM_BYTES:
        raise DamagedChunkError("it is shorter than its checksum")
    try:
        return bytes(Fletcher32().decode(data))
    except RuntimeError as error:
        raise DamagedChunkError("its checksum (Fletcher-32) is wrong") from error
