"""HDF5: one dataset a volume, its voxel size and history in the dataset's attributes."""

from __future__ import annotations

import math
import os
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
from mitotools.volume.formats.hdf5_links import Hdf5Files, listed, name_of
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
    from collections.abc import Container
    from pathlib import Path

    from mitotools.conventions import Array, VoxelSize

FOREIGN_VOXEL_SIZE_UM = "element_size_um"
"""What the HDF5 plugin of Fiji, PlantSeg and elf call it: (z, y, x) micrometres."""

TILE_ATTRIBUTES = ("core", "volume_size")
"""Attributes of tile files: the extent that the tile owns, and the size of the volume it belongs to."""

LARGEST_CHUNK_BYTES = 2**32 - 1
"""A chunk of a file that every HDF5 reads has its size in 32 bits."""


class Hdf5Reader:
    """A dataset of an HDF5 file."""

    def __init__(self, path: Path, files: Hdf5Files, dataset: h5py.Dataset) -> None:
        self._name = f"{path}:{name_of(dataset.id)}"
        self._files = files
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
                # Where no file can be opened, HDF5 shows fill values for the sources of a virtual dataset.
                os.close(os.open(os.devnull, os.O_RDONLY))
                found = read_box(self._dataset, box, channels_last=self._channels_last)
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(self._name, f"{box} cannot be read ({error})") from error
        return found

    def close(self) -> None:
        """Close the file, and those that it leads to."""
        if self._direct:
            self._direct.close()
        self._files.close()


def open_reader(path: Path, dataset: str | None) -> Hdf5Reader:
    """Open a dataset: the one named, else the only one, else `main`."""
    files = Hdf5Files(path)
    try:
        return Hdf5Reader(path, files, chosen_dataset(path, files, dataset))
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        files.close()
        raise InputError(
            str(path), f"cannot be read as HDF5 ({error})", "Check that the file is complete"
        ) from error
    except BaseException:
        files.close()
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


def create_writer(path: Path, spec: VolumeSpec, target: Path) -> Hdf5Writer:
    """Create a file."""
    return Hdf5Writer(path, spec, target)


def chosen_dataset(
    path: Path, files: Hdf5Files, name: str | None, axes: Container[int] = (3, 4)
) -> h5py.Dataset:
    """Return the dataset named, else `main` or the only one, of those that have so many axes, if any has."""
    named = files.dataset(DATASET if name is None else name)
    if named is not None and (name is not None or len(named.shape or ()) in axes):
        return _with_shape(path, named)
    found = files.shapes()
    if name is not None:
        raise InputError(f"{path}:{name}", f"no such dataset; the file holds {listed(found)}")
    volumes = [key for key, shape in found.items() if len(shape or ()) in axes] or list(found)
    chosen = files.dataset(volumes[0]) if len(volumes) == 1 else named if DATASET in volumes else None
    if chosen is None:
        raise InputError(str(path), f"which dataset? It holds {listed(found)}", f"Say {path}:NAME")
    return _with_shape(path, chosen)


def _with_shape(path: Path, dataset: h5py.Dataset) -> h5py.Dataset:
    if dataset.shape is None:
        raise InputError(f"{path}:{name_of(dataset.id)}", "is empty: it has no shape")
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
