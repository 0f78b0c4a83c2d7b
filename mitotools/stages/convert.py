"""Any volume to any format."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools import history
from mitotools.errors import InputError
from mitotools.stages.blockwise import Work, write_volume
from mitotools.stages.pieces import read_pieces
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume, source_of
from mitotools.volume.outputs import check_target

if TYPE_CHECKING:
    from mitotools.conventions import Array
    from mitotools.parameters import ConvertParameters
    from mitotools.run.running import Running
    from mitotools.volume.blocks import Box
    from mitotools.volume.path import VolumePath


def convert_volume(
    source: VolumePath, target: VolumePath, parameters: ConvertParameters, running: Running
) -> VolumeSpec:
    """Copy a volume to another file, format, type or voxel size.

    Parameters
    ----------
    source, target : VolumePath
    parameters : ConvertParameters
    running : Running

    Returns
    -------
    VolumeSpec
        Of the new volume.

    Raises
    ------
    InputError
        Where the source cannot be read, or a value does not fit the new type.
    TargetError
        Where the target cannot be written.
    """
    check_target(target, force=running.force, resume=bool(running.resume))
    with open_volume(source) as volume:
        records = history.extended(
            [source_of(source, volume)], running.command_line, {**asdict(parameters), "crop": source.crop}
        )
        dtype = np.dtype(parameters.dtype) if parameters.dtype else volume.spec.dtype
        spec = VolumeSpec(
            shape=volume.spec.shape,
            dtype=dtype,
            voxel_size_nm=parameters.voxel_size_nm or volume.spec.voxel_size_nm,
            history=records,
            compression=parameters.compression,
        )
        spec = replace(spec, chunks=parameters.chunks or spec.chunks)
        name, threads = volume.name, running.threads_per_process

        def block(box: Box) -> Array:
            return _as_type(read_pieces(volume, box, threads), dtype, name)

        voxel_bytes = (volume.spec.dtype.itemsize + 2 * dtype.itemsize) * (spec.channels or 1)
        return write_volume(target, spec, Work(block, "convert", [volume], voxel_bytes), running)


def _as_type(array: Array, dtype: np.dtype[Any], name: str) -> Array:
    """Return the array in another type; a value that the type cannot hold is an error."""
    if array.dtype == dtype:
        return array
    low, high = array.min(), array.max()
    if dtype.kind in "ui" and array.dtype.kind == "f" and not np.array_equal(array, np.trunc(array)):
        raise InputError(name, f"values from {low} to {high} are no whole numbers, as {dtype} has them")
    if not _fits(array, dtype):
        raise InputError(name, f"values from {low} to {high} do not fit {dtype}")
    return array.astype(dtype)


def _fits(array: Array, dtype: np.dtype[Any]) -> bool:
    """Whether a type holds the values: whole numbers as they are, others rounded."""
    if array.dtype.kind == dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.array_equal(np.isfinite(array.astype(dtype)), np.isfinite(array))
    if dtype.kind in "ui":
        least, most = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    else:
        most = 2 ** (np.finfo(dtype).nmant + 1)  # beyond, a float skips whole numbers
        least = -most
    # Compared as Python numbers: NumPy would compare uint64 with int64 as floats.
    return bool(least <= array.min().item() and array.max().item() <= most)
