"""HDF5: one dataset a volume, its voxel size and history in the dataset's attributes.

Files are locked while they are read, as HDF5 does it: what another program has open for writing is refused,
for half of it may be missing. Where the file system has no locks (some network disks), files are read without
one. The environment variable HDF5_USE_FILE_LOCKING has the last word: FALSE reads whatever is there.
"""

from __future__ import annotations

import errno
import math
import threading
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from mitotools import history
from mitotools.errors import InputError, TargetError
from mitotools.volume.base import VolumeSpec, channels_first, has_channels_last, read_box
from mitotools.volume.blocks import Box, size3
from mitotools.volume.formats.hdf5_direct import direct
from mitotools.volume.formats.hdf5_filters import check_filters, pipeline_of
from mitotools.volume.formats.hdf5_writer import (
    COMPRESSIONS,
    DATASET,
    HISTORY,
    IS_LABELS,
    VOXEL_SIZE,
    Hdf5Writer,
)
from mitotools.volume.voxel_size import stated_voxel_size
from mitotools.volume.world import kept

if TYPE_CHECKING:
    from pathlib import Path

    from mitotools.conventions import Array, VoxelSize

FOREIGN_VOXEL_SIZE_UM = "element_size_um"
"""What the HDF5 plugin of Fiji, PlantSeg and elf call it: (z, y, x) micrometres."""

TILE_ATTRIBUTES = ("core", "volume_size")
"""Attributes of tile files: the extent that the tile owns, and the size of the volume it belongs to."""

LARGEST_CHUNK_BYTES = 2**32 - 1
"""A chunk of a file that every HDF5 reads has its size in 32 bits."""

_BUSY = (errno.EAGAIN, errno.EACCES)
"""What locking says of a file that another program has locked."""


class Hdf5Reader:
    """A dataset of an HDF5 file."""

    def __init__(self, path: Path, file: h5py.File, dataset: h5py.Dataset) -> None:
        self._name = f"{path}:{dataset.name}"
        self._file = file
        self._dataset = dataset
        self._lock = threading.Lock()
        self._channels_last = is_last = has_channels_last(dataset.shape) and not _is_ours(dataset)
        chunks = dataset.chunks or (1, *(dataset.shape[1:] if is_last else dataset.shape[-2:]))
        pipeline = pipeline_of(dataset, math.prod(chunks) * dataset.dtype.itemsize)
        check_filters(self._name, pipeline)
        self.spec = VolumeSpec(
            shape=channels_first(dataset.shape) if is_last else dataset.shape,
            dtype=dataset.dtype.newbyteorder("="),
            voxel_size_nm=_voxel_size(path, dataset),
            history=history.from_json(_attribute(dataset, HISTORY)),
            chunks=size3(chunks[:3] if is_last else (1, 1, 1, *chunks)[-3:]),
            is_labels=_numbers(_attribute(dataset, IS_LABELS)) == (1,),
            attributes={**_tile_attributes(dataset), **kept(dataset.attrs)},
        )
        self._direct = None if is_last else direct(dataset, pipeline, self._name, self._lock)

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels."""
        found = self._direct.read(box) if self._direct else self._read_by_hdf5(box)
        return found.astype(self.spec.dtype, copy=False)

    def _read_by_hdf5(self, box: Box) -> Array:
        try:
            with self._lock:
                found = read_box(self._dataset, box, channels_last=self._channels_last)
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(self._name, f"{box} cannot be read ({error})") from error
        return found

    def close(self) -> None:
        """Close the file."""
        if self._direct:
            self._direct.close()
        self._file.close()


def open_reader(path: Path, dataset: str | None) -> Hdf5Reader:
    """Open a dataset: the one named, else the only one, else `main`."""
    file = _opened(path)
    try:
        return Hdf5Reader(path, file, _dataset(path, file, dataset))
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        file.close()
        raise InputError(
            str(path), f"cannot be read as HDF5 ({error})", "Check that the file is complete"
        ) from error
    except BaseException:
        file.close()
        raise


def planned(spec: VolumeSpec, target: Path) -> VolumeSpec:
    """Return the volume with chunks that are no larger than it."""
    if spec.compression not in COMPRESSIONS:
        raise TargetError(str(target), f"HDF5 has no compression {spec.compression!r}")
    chunks = size3([min(c, n) for c, n in zip(spec.chunks, spec.size, strict=True)])
    if math.prod(chunks) * spec.dtype.itemsize > LARGEST_CHUNK_BYTES:
        raise TargetError(
            str(target), f"HDF5 has no chunks of 4 GiB, as {chunks} would be", "Choose smaller --chunks"
        )
    return replace(spec, chunks=chunks)


def reopen_writer(path: Path, spec: VolumeSpec, target: Path) -> Hdf5Writer:
    """Not possible: an HDF5 file has one writer."""
    raise NotImplementedError(path, spec, target)


def create_writer(path: Path, spec: VolumeSpec, target: Path) -> Hdf5Writer:
    """Create a file."""
    return Hdf5Writer(path, spec, target)


def _opened(path: Path) -> h5py.File:
    try:
        try:
            return h5py.File(path, "r")
        except OSError as error:
            if not _cannot_lock(error) or error.errno in _BUSY:
                raise
            return h5py.File(path, "r", locking=False)
    except OSError as error:
        raise _in_words(path, error) from error


def _cannot_lock(error: OSError) -> bool:
    return "unable to lock file" in str(error)


def _in_words(path: Path, error: OSError) -> InputError:
    if _cannot_lock(error) and error.errno in _BUSY:
        return InputError(str(path), "another program is writing it", "Try again when it has closed the file")
    if "already open for write" in str(error):
        return InputError(
            str(path),
            "another program is writing it, or was killed while it did",
            "If none is, 'h5clear --status' makes it readable",
        )
    return InputError(str(path), f"cannot be read as HDF5 ({error})", "Check that the file is complete")


def _dataset(path: Path, file: h5py.File, name: str | None) -> h5py.Dataset:
    named = file.get(DATASET if name is None else name)
    if isinstance(named, h5py.Dataset) and (name is not None or _is_volume(named)):
        return _with_shape(path, named)
    found = _datasets(file)
    listing = ", ".join(f"{key} {item.shape}" for key, item in found.items()) or "no dataset"
    if name is not None:
        raise InputError(f"{path}:{name}", f"no such dataset; the file holds {listing}")
    volumes = [key for key, item in found.items() if _is_volume(item)] or list(found)
    if len(volumes) == 1 or DATASET in volumes:
        return _with_shape(path, found[volumes[0] if len(volumes) == 1 else DATASET])
    raise InputError(str(path), f"which dataset? It holds {listing}", f"Say {path}:NAME")


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Return all datasets by name; of one with several names, links among them, the first that is none."""
    found: dict[str, h5py.Dataset] = {}
    links: list[str] = []
    file.visititems(lambda key, item: found.update({key: item}) if isinstance(item, h5py.Dataset) else None)
    file.visititems_links(lambda key, link: None if isinstance(link, h5py.HardLink) else links.append(key))
    for key in links:
        with suppress(OSError, RuntimeError):  # one that leads nowhere
            if isinstance(item := file.get(key), h5py.Dataset) and item not in found.values():
                found[key] = item
    return found


def _is_volume(dataset: h5py.Dataset) -> bool:
    return len(dataset.shape or ()) in (3, 4)


def _with_shape(path: Path, dataset: h5py.Dataset) -> h5py.Dataset:
    if dataset.shape is None:
        raise InputError(f"{path}:{dataset.name}", "is empty: it has no shape")
    return dataset


def _attribute(dataset: h5py.Dataset, name: str) -> Any:
    """Return an attribute, or None where there is none, or none of a type that NumPy has."""
    with suppress(TypeError, ValueError, OSError):
        return dataset.attrs.get(name)
    return None


def _is_ours(dataset: h5py.Dataset) -> bool:
    """Whether mitotools wrote the dataset, channels in front: then it has a history, if an empty one."""
    found = _attribute(dataset, HISTORY)
    return isinstance(found, str) and found.startswith("[")


def _voxel_size(path: Path, dataset: h5py.Dataset) -> VoxelSize | None:
    for name, unit_nm in ((VOXEL_SIZE, 1.0), (FOREIGN_VOXEL_SIZE_UM, 1e3)):
        values = _numbers(_attribute(dataset, name))
        if values:
            return stated_voxel_size(tuple(value * unit_nm for value in values), path)
    return None


def _tile_attributes(dataset: h5py.Dataset) -> dict[str, tuple[int, ...]]:
    """Return our attributes; what other programs keep under their names is none."""
    core, volume_size = (_numbers(_attribute(dataset, name)) for name in TILE_ATTRIBUTES)
    if len(core) != 6 or len(volume_size) != 3:
        return {}
    return dict(zip(TILE_ATTRIBUTES, (tuple(map(int, core)), tuple(map(int, volume_size))), strict=True))


def _numbers(value: Any) -> tuple[float, ...]:
    """Return the numbers of an attribute, or none."""
    try:
        numbers = np.ravel(value)
        return tuple(numbers.tolist()) if numbers.dtype.kind in "uif" and np.isfinite(numbers).all() else ()
    except (TypeError, ValueError):
        return ()
