"""HDF5: one dataset a volume, its voxel size and history in the dataset's attributes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from mitotools import history
from mitotools.errors import InputError
from mitotools.volume.base import VolumeSpec, known_voxel_size
from mitotools.volume.blocks import Box, size3

if TYPE_CHECKING:
    from pathlib import Path

    from mitotools.conventions import Array

DATASET = "main"
"""Name of the dataset in files that mitotools writes."""

VOXEL_SIZE = "voxel_size_nm"

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
        chunks = dataset.chunks or (1, *dataset.shape[-2:])
        self.spec = VolumeSpec(
            shape=dataset.shape,
            dtype=dataset.dtype.newbyteorder("="),
            voxel_size_nm=known_voxel_size(_voxel_size(dataset)),
            history=history.from_json(dataset.attrs.get("history")),
            chunks=size3(chunks[-3:]),
            attributes={
                key: _integers(dataset.attrs[key]) for key in TILE_ATTRIBUTES if key in dataset.attrs
            },
        )

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels."""
        try:
            with self._lock:
                array: Array = self._dataset[(..., *box.slices)]
        except OSError as error:
            raise InputError(
                f"{self._path}:{self._dataset.name}", f"{box} cannot be read ({error})"
            ) from error
        return array.astype(self.spec.dtype, copy=False)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Hdf5Writer:
    """A new HDF5 file with one dataset, `main`."""

    def __init__(self, path: Path, spec: VolumeSpec) -> None:
        self.spec = spec
        # The 1.8 file format keeps large attributes outside the object header: a history may pass 64 KiB.
        self._file = h5py.File(path, "w", libver=("v108", "latest"))
        chunks = tuple(min(c, n) for c, n in zip(spec.chunks, spec.size, strict=True))
        self._dataset = self._file.create_dataset(
            DATASET,
            shape=spec.shape,
            dtype=spec.dtype,
            chunks=(1,) * (len(spec.shape) - 3) + chunks,
            **COMPRESSIONS[spec.compression],
        )
        if spec.voxel_size_nm is not None:
            self._dataset.attrs[VOXEL_SIZE] = spec.voxel_size_nm
        self._dataset.attrs["history"] = history.to_json(spec.history)
        self._dataset.attrs.update(spec.attributes)

    def write(self, box: Box, array: Array) -> None:
        """Store the voxels of `box`."""
        self._dataset[(..., *box.slices)] = array

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_reader(path: Path, dataset: str | None) -> Hdf5Reader:
    """Open a dataset: the one named, else the only one, else `main`."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(str(path), f"cannot be read as HDF5 ({error})", "Is the file complete?") from error
    try:
        return Hdf5Reader(path, file, _dataset(path, file, dataset))
    except BaseException:
        file.close()
        raise


def create_writer(path: Path, spec: VolumeSpec, target: Path) -> Hdf5Writer:  # noqa: ARG001
    """Create a file."""
    return Hdf5Writer(path, spec)


def _dataset(path: Path, file: h5py.File, name: str | None) -> h5py.Dataset:
    found: dict[str, h5py.Dataset] = {}
    file.visititems(lambda key, item: found.update({key: item}) if isinstance(item, h5py.Dataset) else None)
    listing = ", ".join(f"{key} {item.shape}" for key, item in found.items()) or "no dataset"
    if name is not None:
        if name not in found:
            raise InputError(f"{path}:{name}", f"no such dataset; the file holds {listing}")
        return found[name]
    volumes = [key for key, item in found.items() if len(item.shape) in (3, 4)] or list(found)
    if len(volumes) == 1 or DATASET in volumes:
        return found[volumes[0] if len(volumes) == 1 else DATASET]
    raise InputError(str(path), f"which dataset? It holds {listing}", f"Say {path}:NAME")


def _voxel_size(dataset: h5py.Dataset) -> tuple[float, ...] | None:
    value = dataset.attrs.get(VOXEL_SIZE)
    return None if value is None else tuple(float(v) for v in np.ravel(value))


def _integers(values: Any) -> tuple[int, ...]:
    return tuple(int(v) for v in np.ravel(values))
