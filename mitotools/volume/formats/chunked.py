"""Arrays of chunk files that tensorstore reads and writes: N5 and Neuroglancer precomputed.

Their axes are x, y, z and channels in the file, c, z, y, x here.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools.errors import InputError, MitotoolsError, TargetError
from mitotools.volume.formats import check_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mitotools.conventions import Array
    from mitotools.volume.base import VolumeSpec
    from mitotools.volume.blocks import Box

    FileOf = Callable[[tuple[int, ...]], str]

Json = dict[str, Any]

MOST_CHUNK_BYTES = 2**31
"""A chunk is decoded whole; metadata that state larger ones are damaged."""

MOST_METADATA_BYTES = 2**26


class ChunkedReader:
    """An open tensorstore, (x, y, z) or (x, y, z, channel), as a volume.

    Parameters
    ----------
    name : str
        Of the volume, for messages.
    store : dict
        The specification for tensorstore.
    spec : VolumeSpec
    file_of : callable, optional
        Gives the file of a chunk, by its place (x, y, z) or (x, y, z, channel) among the chunks, where it has
        one of its own.
    """

    def __init__(self, name: str, store: Json, spec: VolumeSpec, file_of: FileOf | None = None) -> None:
        self.spec = spec
        self._name = name
        self._file_of = file_of
        self._lock = threading.Lock()
        self._warned = False
        self._array = opened(name, {**store, "fill_missing_data_reads": False})
        self._filled = opened(name, store)

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels; those of a missing chunk are 0, as the formats say."""
        for file in self._files(box):
            check_stored(file)
        try:
            try:
                array = _part(self._array, box, self.spec).read().result()
            except ValueError as error:
                if not str(error).startswith("NOT_FOUND"):
                    raise
                self._warn(error)
                array = _part(self._filled, box, self.spec).read().result()
        except Exception as error:  # what tensorstore raises over a damaged chunk depends on what is damaged
            raise InputError(self._name, f"{box} cannot be read ({first_line(error)})") from error
        return np.array(np.asarray(array).T, dtype=self.spec.dtype, order="C")

    def close(self) -> None:
        """Nothing stays open."""

    def _files(self, box: Box) -> Iterator[str]:
        """Yield the files of the chunks of a box: tensorstore waits for a pipe, and hears no interruption."""
        if self._file_of is not None:
            channels = slice(0, self.spec.channels or 1)
            parts = (*box.slices[::-1], channels)[: self._array.rank]
            chunks = self._array.chunk_layout.read_chunk.shape
            ranges = (range(p.start // c, -(-p.stop // c)) for p, c in zip(parts, chunks, strict=True))
            yield from map(self._file_of, itertools.product(*ranges))

    def _warn(self, error: Exception) -> None:
        with self._lock:
            if not self._warned:
                self._warned = True
                message = "%s: chunks are missing; their voxels are 0 (%s)."
                logging.getLogger(__name__).warning(message, self._name, first_line(error))


class ChunkedWriter:
    """A new array of chunks, each written by one block."""

    def __init__(self, target: Path, store: Json, spec: VolumeSpec, *, is_new: bool) -> None:
        self.spec = spec
        self._target = target
        try:
            self._array = (
                tensorstore(target, TargetError).open(store, create=is_new, open=not is_new).result()
            )
        except MitotoolsError:
            raise
        except Exception as error:
            raise self._failed(error) from error

    def write(self, box: Box, array: Array) -> None:
        """Store the voxels of `box`."""
        try:
            _part(self._array, box, self.spec).write(np.asarray(array).T).result()
        except Exception as error:  # a full disk among others
            raise self._failed(error) from error

    def close(self) -> None:
        """Nothing stays open."""

    def _failed(self, error: Exception) -> TargetError:
        return TargetError(str(self._target), f"cannot be written ({first_line(error)})")


def tensorstore(name: object, error: type[MitotoolsError]) -> Any:
    """Return the library, which is an extra; `error` is raised where it is not installed."""
    try:
        import tensorstore as library  # noqa: PLC0415 (only who uses these formats needs it)
    except ImportError as missing:
        advice = "Install it: pip install 'mitotools[neuroglancer]'"
        raise error(str(name), "needs the library tensorstore, which is not installed", advice) from missing
    return library


def store_of(driver: str, folder: Path, **properties: Any) -> Json:
    """Return the specification of an array for tensorstore."""
    return {
        "driver": driver,
        "kvstore": {"driver": "file", "path": f"{folder.absolute()}/"},
        # Blocks are read once: a cache would only take memory. A power cut loses the unfinished output alone.
        "context": {"cache_pool": {"total_bytes_limit": 0}, "file_io_sync": False},
        **properties,
    }


def opened(name: object, store: Json) -> Any:
    """Open an array for reading.

    Raises
    ------
    InputError
        Where the metadata are wrong, or chunks would not fit into memory.
    """
    try:
        array = tensorstore(name, InputError).open(store, read=True).result()
    except MitotoolsError:
        raise
    except Exception as error:  # what tensorstore raises over broken metadata depends on what is broken
        raise InputError(str(name), f"cannot be read ({first_line(error)})") from error
    numpy_type = np.dtype(array.dtype.numpy_dtype)
    chunk = array.chunk_layout.read_chunk.shape or ()  # of an array without axes
    if numpy_type.kind not in "uifb":
        raise InputError(str(name), f"expected numbers, found {array.dtype.name}")
    if math.prod(chunk) * numpy_type.itemsize > MOST_CHUNK_BYTES:
        raise InputError(str(name), f"its chunks of {chunk} voxels are too large to be true")
    return array


def read_json(file: Path) -> Any:
    """Return what a metadata file says.

    Raises
    ------
    InputError
        Where it is missing, too large or no JSON.
    """
    check_stored(file, MOST_METADATA_BYTES)
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise InputError(str(file), f"cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(str(file), f"is no JSON ({error})", "Is the file complete?") from error


def first_line(error: Exception) -> str:
    """Return what tensorstore says, without the specification that it repeats."""
    return str(error).split(" [tensorstore_spec=")[0].split(" [source locations=")[0]


def _part(array: Any, box: Box, spec: VolumeSpec) -> Any:
    """Return the view of `box`, counted from the array's first voxel."""
    origin = array.domain.origin
    z, y, x = box.slices
    view = array[tuple(slice(p.start + o, p.stop + o) for p, o in zip((x, y, z), origin, strict=False))]
    return view[..., 0] if view.rank == 4 and spec.channels is None else view
