"""Arrays of a zarr: made, opened, read and written, with the fastest codecs at hand.

Zarr hands every chunk through an event loop and threads of its own. Two threads that write blocks of four
chunks take 2.3 to 2.7 times as long as their codec alone, and those that read 1.3 to 1.4 times. With zarrs, a
codec pipeline in Rust that zarr accepts in place of its own, both take 1.1 to 1.3 times; blocks of one chunk,
1.4 to 2.4 times (tests/benchmarks/zarr_speed.py). zarrs does folders alone.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numcodecs
import numpy as np
import zarr
from zarr.codecs import GzipCodec, ZstdCodec
from zarr.core import sync as zarr_sync
from zarr.storage import LocalStore, MemoryStore, StorePath

from mitotools.volume.formats import check_stored
from mitotools.volume.formats.ngff import axis_names
from mitotools.volume.formats.zarr_places import store_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zarr.abc.store import Store

    from mitotools.conventions import Array
    from mitotools.volume.base import VolumeSpec
    from mitotools.volume.formats.zarr_places import Place

ZarrArray = zarr.Array[Any]

# A checksum costs 1 ms in 8 million voxels, and tells of every damaged byte. Blosc and zlib's relatives are
# what all readers of zarr v2 know, those in Java included.
COMPRESSIONS: dict[int, dict[str, Any]] = {
    3: {
        "default": ZstdCodec(level=1, checksum=True),
        "zstd": ZstdCodec(level=3, checksum=True),
        "gzip": GzipCodec(level=4),
        "none": None,
    },
    2: {
        "default": numcodecs.Blosc("zstd", clevel=1, shuffle=numcodecs.Blosc.NOSHUFFLE),
        "zstd": numcodecs.Zstd(level=3),
        "gzip": numcodecs.GZip(level=4),
        "none": None,
    },
}

MOST_GROWTH, MOST_OVERHEAD = 2, 2**20
"""How much larger than its voxels a chunk may be stored, in times and bytes."""

_OS_ERROR = re.compile(r"\(os error (\d+)\)")

_configuring = threading.Lock()
_forked = threading.Event()

if hasattr(os, "register_at_fork"):
    # The threads of zarrs do not survive a fork, and a forked process would wait for them for ever.
    os.register_at_fork(after_in_child=_forked.set)


class FastArray:
    """An array behind the fastest codec pipeline that can do it.

    Parameters
    ----------
    array : zarr.Array
    """

    def __init__(self, array: ZarrArray) -> None:
        self.plain = array
        self._fast = _with_zarrs(array) if _is_fit(array) else None
        nbytes = math.prod(array.chunks) * np.dtype(array.dtype).itemsize
        # A shard may keep what is no longer used, and of a large one only parts are read.
        self._most_bytes = math.inf if array.shards else nbytes * MOST_GROWTH + MOST_OVERHEAD

    def read(self, index: tuple[slice | int, ...]) -> Array:
        """Return the voxels at an index.

        Raises
        ------
        InputError
            Where a chunk is no file, or much larger than its voxels.
        """
        for file in self._names(index):
            check_stored(file, self._most_bytes)
        try:
            return np.asarray(self._chosen[index])
        except Exception:
            wait_for_others()
            raise

    def write(self, index: tuple[slice, ...], values: Array) -> None:
        """Store the voxels at an index, which covers whole chunks or shards.

        Raises
        ------
        OSError
            Where the disk refuses.
        """
        try:
            self._store(index, values)
        except Exception as error:
            number = _OS_ERROR.search(str(error))
            if number and not isinstance(error, OSError):
                raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
            raise

    def _store(self, index: tuple[slice, ...], values: Array) -> None:
        try:
            self._chosen[index] = values
        except Exception:
            wait_for_others()
            # Chunks at the volume's edge are read before they are written. What a killed run left of one is
            # unreadable, and of no use: the index covers it.
            for file in self.files(index) if self._is_aligned(index) else ():
                file.unlink(missing_ok=True)
            self._chosen[index] = values

    def _is_aligned(self, index: tuple[slice, ...]) -> bool:
        unit = self.plain.shards or self.plain.chunks
        bounds = (part.indices(n)[:2] for part, n in zip(index, self.plain.shape, strict=True))
        return all(
            start % u == 0 and (stop % u == 0 or stop == n)
            for (start, stop), u, n in zip(bounds, unit, self.plain.shape, strict=True)
        )

    def files(self, index: tuple[slice | int, ...]) -> Iterator[Path]:
        """Yield the files that hold the voxels at an index; nothing where the array is not in a folder."""
        yield from map(Path, self._names(index))

    def _names(self, index: tuple[slice | int, ...]) -> Iterator[str]:
        store = self.plain.store
        if not isinstance(store, LocalStore):
            return
        unit = self.plain.shards or self.plain.chunks
        ranges = [_touched(part, n, u) for part, n, u in zip(index, self.plain.shape, unit, strict=True)]
        folder = str(Path(store.root) / self.plain.path)
        for coordinates in itertools.product(*ranges):
            yield f"{folder}/{self.plain.metadata.encode_chunk_key(coordinates)}"

    @property
    def _chosen(self) -> ZarrArray:
        return self.plain if self._fast is None or _forked.is_set() else self._fast


def create_array(place: Place, spec: VolumeSpec) -> None:
    """Create the array of one level, empty; its group is somebody else's."""
    _created(store_at(place, read_only=False), spec)


def _created(store: Store, spec: VolumeSpec) -> ZarrArray:
    channels = (1,) * (len(spec.shape) - 3)
    v3 = {"dimension_names": axis_names(spec), "shards": spec.shards and channels + spec.shards}
    v2 = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
    options: dict[str, Any] = v3 if spec.zarr_format == 3 else v2
    return zarr.create_array(
        store,
        shape=spec.shape,
        dtype=spec.dtype,
        chunks=channels + spec.chunks,
        compressors=COMPRESSIONS[spec.zarr_format][spec.compression],
        fill_value=0,
        zarr_format=2 if spec.zarr_format == 2 else 3,
        **options,
    )


def open_array(place: Place) -> FastArray:
    """Open an array for writing."""
    return FastArray(zarr.open_array(store_at(place, read_only=False), mode="r+"))


def check_array(place: Place, spec: VolumeSpec) -> None:
    """Compare the metadata of the array of one level with those that `create_array` gives it.

    Raises
    ------
    ValueError
        Where they are others; zarr raises more, for damaged ones.
    """
    array = zarr.open_array(store_at(place, read_only=True), mode="r")
    if array.metadata != _created(MemoryStore(), spec).metadata:
        raise ValueError(f"the metadata of array {array.basename or place} are others")


def wait_for_others() -> None:
    """Wait until nothing is written any more by calls that were given up.

    Where zarr's thread could not be started, nothing is, and it would be waited for for ever.
    """
    if (loop := zarr_sync.loop[0]) and loop.is_running():
        zarr_sync.sync(_others_done())


def _is_fit(array: ZarrArray) -> bool:
    """Whether zarrs can read the array."""
    metadata = array.metadata
    is_plain = metadata.zarr_format == 3 or (np.dtype(array.dtype).isnative and metadata.order == "C")
    return isinstance(array.store, LocalStore) and is_plain


def _with_zarrs(array: ZarrArray) -> ZarrArray | None:
    pipeline = {
        "codec_pipeline.path": "zarrs.ZarrsCodecPipeline",
        "codec_pipeline.strict": True,
        "threading.max_workers": 1,  # the caller has threads of its own, as many as the user allows
    }
    # A store of another class is asked for every chunk, in Python: four times the time of small ones.
    store = LocalStore(cast("LocalStore", array.store).root, read_only=array.store.read_only)
    with _configuring:
        try:
            with zarr.config.set(pipeline):
                fast = zarr.AsyncArray(metadata=array.metadata, store_path=StorePath(store, array.path))
        except Exception:  # a codec that zarrs does not know
            return None
        except BaseException as error:
            if type(error).__name__ == "PanicException":  # Rust's
                raise RuntimeError("can't start new thread") from error
            raise
    return zarr.Array(fast)


def _touched(part: slice | int, length: int, unit: int) -> range:
    start, stop, _ = slice(part, part + 1).indices(length) if isinstance(part, int) else part.indices(length)
    return range(start // unit, -(-stop // unit))


_waiting: set[asyncio.Task[Any] | None] = set()


async def _others_done() -> None:
    """Wait for the chunks that zarr still reads or writes when it has given up over one of them.

    Else they would appear in a folder that has just been removed, and fail on standard error one by one.
    """
    this = asyncio.current_task()
    _waiting.add(this)
    await asyncio.gather(*(asyncio.all_tasks() - _waiting), return_exceptions=True)
    _waiting.discard(this)
