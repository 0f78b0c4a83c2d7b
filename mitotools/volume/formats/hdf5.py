"""HDF5: one dataset a volume, its voxel size and history in the dataset's attributes."""

from __future__ import annotations

import os
import re
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from mitotools import history
from mitotools.errors import InputError, TargetError
from mitotools.volume.base import VolumeSpec, known_voxel_size
from mitotools.volume.blocks import Box, size3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mitotools.conventions import Array, VoxelSize

DATASET = "main"
"""Name of the dataset in files that mitotools writes."""

VOXEL_SIZE = "voxel_size_nm"

FOREIGN_VOXEL_SIZE_UM = "element_size_um"
"""What the HDF5 plugin of Fiji, PlantSeg and elf call it: (z, y, x) micrometres."""

TILE_ATTRIBUTES = ("core", "volume_size")
"""Attributes of tile files: the extent that the tile owns, and the size of the volume it belongs to."""

COMPRESSIONS: dict[str, dict[str, Any]] = {
    "default": {"compression": "gzip", "compression_opts": 1},
    "gzip": {"compression": "gzip", "compression_opts": 4},
    "lzf": {"compression": "lzf"},
    "none": {},
}


class Hdf5Reader:
    """A dataset of an HDF5 file."""

    def __init__(self, path: Path, file: h5py.File, dataset: h5py.Dataset) -> None:
        self._path = path
        self._file = file
        self._dataset = dataset
        self._lock = threading.Lock()
        chunks = (1, 1, 1, *(dataset.chunks or (1, *dataset.shape[-2:])))
        self.spec = VolumeSpec(
            shape=dataset.shape,
            dtype=dataset.dtype.newbyteorder("="),
            voxel_size_nm=_voxel_size(dataset),
            history=history.from_json(dataset.attrs.get("history")),
            chunks=size3(chunks[-3:]),
            attributes=_tile_attributes(dataset),
        )

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels."""
        try:
            with self._lock:
                array: Array = self._dataset[(..., *box.slices)]
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                f"{self._path}:{self._dataset.name}", f"{box} cannot be read ({error})"
            ) from error
        return array.astype(self.spec.dtype, copy=False)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Hdf5Writer:
    """A new HDF5 file with one dataset, `main`."""

    def __init__(self, path: Path, spec: VolumeSpec, target: Path) -> None:
        self.spec = spec
        self._target = target
        # The 1.8 file format keeps large attributes outside the object header: a history may pass 64 KiB.
        self._file = h5py.File(path, "w", libver=("v108", "latest"))
        self._dataset = self._file.create_dataset(
            DATASET,
            shape=spec.shape,
            dtype=spec.dtype,
            chunks=(1,) * (len(spec.shape) - 3) + spec.chunks,
            **COMPRESSIONS[spec.compression],
        )
        if spec.voxel_size_nm is not None:
            self._dataset.attrs[VOXEL_SIZE] = spec.voxel_size_nm
        self._dataset.attrs["history"] = history.to_json(spec.history)
        self._dataset.attrs.update(spec.attributes)

    def write(self, box: Box, array: Array) -> None:
        """Store the voxels of `box`."""
        with self._errors_in_words():
            self._dataset[(..., *box.slices)] = array

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
        except (OSError, RuntimeError) as error:
            number = re.search(r"errno = (\d+)", str(error))  # amid file descriptors and times
            why = os.strerror(int(number[1])) if number else str(error)
            raise TargetError(str(self._target), f"cannot be written ({why})") from error


def open_reader(path: Path, dataset: str | None) -> Hdf5Reader:
    """Open a dataset: the one named, else the only one, else `main`."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(str(path), f"cannot be read as HDF5 ({error})", "Is the file complete?") from error
    try:
        return Hdf5Reader(path, file, _dataset(path, file, dataset))
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        file.close()
        raise InputError(str(path), f"cannot be read as HDF5 ({error})", "Is the file complete?") from error
    except BaseException:
        file.close()
        raise


def planned(spec: VolumeSpec, target: Path) -> VolumeSpec:
    """Return the volume with chunks that are no larger than it."""
    if spec.compression not in COMPRESSIONS:
        raise TargetError(str(target), f"HDF5 has no compression {spec.compression!r}")
    return replace(spec, chunks=size3([min(c, n) for c, n in zip(spec.chunks, spec.size, strict=True)]))


def reopen_writer(path: Path, spec: VolumeSpec, target: Path) -> Hdf5Writer:
    """Not possible: an HDF5 file has one writer."""
    raise NotImplementedError(path, spec, target)


def create_writer(path: Path, spec: VolumeSpec, target: Path) -> Hdf5Writer:
    """Create a file."""
    return Hdf5Writer(path, spec, target)


def _dataset(path: Path, file: h5py.File, name: str | None) -> h5py.Dataset:
    if name is not None and isinstance(named := file.get(name), h5py.Dataset):
        return _with_shape(path, named)
    found: dict[str, h5py.Dataset] = {}
    file.visititems(lambda key, item: found.update({key: item}) if isinstance(item, h5py.Dataset) else None)
    listing = ", ".join(f"{key} {item.shape}" for key, item in found.items()) or "no dataset"
    if name is not None:
        raise InputError(f"{path}:{name}", f"no such dataset; the file holds {listing}")
    volumes = [key for key, item in found.items() if len(item.shape or ()) in (3, 4)] or list(found)
    if len(volumes) == 1 or DATASET in volumes:
        return _with_shape(path, found[volumes[0] if len(volumes) == 1 else DATASET])
    raise InputError(str(path), f"which dataset? It holds {listing}", f"Say {path}:NAME")


def _with_shape(path: Path, dataset: h5py.Dataset) -> h5py.Dataset:
    if dataset.shape is None:
        raise InputError(f"{path}:{dataset.name}", "is empty: it has no shape")
    return dataset


def _voxel_size(dataset: h5py.Dataset) -> VoxelSize | None:
    for name, unit_nm in ((VOXEL_SIZE, 1.0), (FOREIGN_VOXEL_SIZE_UM, 1e3)):
        values = _numbers(dataset.attrs.get(name))
        if values:
            return known_voxel_size(tuple(value * unit_nm for value in values))
    return None


def _tile_attributes(dataset: h5py.Dataset) -> dict[str, tuple[int, ...]]:
    """Return our attributes; what other programs keep under their names is none."""
    core, volume_size = (_numbers(dataset.attrs.get(name)) for name in TILE_ATTRIBUTES)
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
