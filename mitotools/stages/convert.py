"""Any volume to any format."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np

from mitotools import history
from mitotools.errors import InputError, UsageError
from mitotools.stages.blocks.blockwise import map_blocks, write_volume
from mitotools.stages.blocks.pieces import read_pieces
from mitotools.stages.blocks.views import Clipped, Padded, RgbIds, Scaled, Typed
from mitotools.stages.blocks.work import Work
from mitotools.volume.files import open_volume
from mitotools.volume.outputs import check_target

if TYPE_CHECKING:
    from mitotools.conventions import Array
    from mitotools.parameters import ConvertParameters
    from mitotools.run.running import Running
    from mitotools.segment.images.grey_values import Counts
    from mitotools.stages.blocks.pieces import Seen
    from mitotools.volume.base import Volume, VolumeSpec
    from mitotools.volume.blocks import Box
    from mitotools.volume.path import VolumePath

ID_BYTES = 4
"""Unsigned integers of this size or more are ids: microscopes give fewer grey values."""


def convert_volume(
    source: VolumePath, target: VolumePath, parameters: ConvertParameters, running: Running
) -> VolumeSpec:
    """Copy a volume to another file, format, grid or type.

    What is asked for happens in this order: crop, colours to ids, scale, clip, type, pad.

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
    UsageError
        Where the parameters contradict each other.
    """
    check_target(target, force=running.force, resume=bool(running.resume))
    with open_volume(source) as volume:
        records = history.extended([volume.source()], running.command_line, asdict(parameters))
        is_labels = parameters.labels or _holds_ids(volume.spec)
        seen = _seen(volume, parameters, running, is_labels=is_labels)
        spec = seen.spec.on_same_grid(seen.spec.shape[:-3], seen.spec.dtype, records, is_labels=is_labels)
        spec = replace(
            spec,
            chunks=parameters.chunks or spec.chunks,
            shards=parameters.shards,
            compression=parameters.compression,
            levels=parameters.levels,
            zarr_format=parameters.zarr_format,
        )

        def block(box: Box, threads: int) -> Array:
            return read_pieces(seen, box, threads)

        return write_volume(target, spec, Work(block, "convert", [seen], _voxel_bytes(volume, seen)), running)


def _seen(volume: Volume, parameters: ConvertParameters, running: Running, *, is_labels: bool) -> Seen:
    """Return the volume as it is to be written."""
    seen: Seen = volume.with_voxel_size(parameters.voxel_size_nm) if parameters.voxel_size_nm else volume
    if parameters.labels:
        seen = RgbIds.of(seen)
    if parameters.scale:
        seen = Scaled.of(seen, parameters.scale, is_labels=is_labels)
    if parameters.clip_percentiles:
        if is_labels:
            raise UsageError("--clip", "is for grey values, and these are ids")
        if not running.dry_run:
            low, high = _percentiles(seen, parameters.clip_percentiles, running)
            seen = Clipped.of(seen, low, high)
    if parameters.dtype:
        seen = Typed.of(seen, np.dtype(parameters.dtype))
    elif parameters.labels and not running.dry_run:
        seen = _in_smallest_type(seen, running)
    if any(parameters.pad_voxels):
        seen = Padded.of(seen, parameters.pad_voxels)
    return seen


def _holds_ids(spec: VolumeSpec) -> bool:
    return spec.is_labels or (spec.dtype.kind == "u" and spec.dtype.itemsize >= ID_BYTES)


def _percentiles(seen: Seen, percentiles: tuple[float, float], running: Running) -> tuple[float, float]:
    """Return the grey values at two percentiles, exactly: a digit of them in every pass over the volume."""
    from mitotools.segment.images.grey_values import PercentileSearch  # noqa: PLC0415 (numba loads slowly)

    name = seen.name
    search = PercentileSearch.of(seen.spec.dtype, percentiles)
    while not search.is_done:

        def count(box: Box, threads: int, search: PercentileSearch = search) -> Counts:
            return search.histogram(read_pieces(seen, box, threads), name)

        voxel_bytes = (2 * seen.spec.dtype.itemsize + 8) * (seen.spec.channels or 1)
        first, *others = map_blocks([seen], count, "grey values", running, voxel_bytes)
        search = search.narrowed(sum(others, first))
    low, high = search.values
    logging.getLogger(__name__).info("%s: grey values %g to %g become 0 to 255", name, low, high)
    return low, high


def _in_smallest_type(seen: Seen, running: Running) -> Seen:
    from mitotools.segment.filters import smallest_label_type  # noqa: PLC0415 (numba loads slowly)

    return Typed.of(seen, smallest_label_type(_largest_id(seen, running)))


def _largest_id(seen: Seen, running: Running) -> int:
    """Return the largest voxel, which is a whole number."""
    name = seen.name

    def largest(box: Box, threads: int) -> int:
        array = read_pieces(seen, box, threads)
        low, high = array.min().item(), array.max().item()
        if not (low >= 0 and math.isfinite(high) and high == math.floor(high)):
            raise InputError(name, f"values from {low} to {high} are no ids")
        return int(high)

    voxel_bytes = 2 * seen.spec.dtype.itemsize * (seen.spec.channels or 1)
    return max(map_blocks([seen], largest, "largest id", running, voxel_bytes))


def _voxel_bytes(volume: Volume, seen: Seen) -> float:
    """Return what a voxel of a block takes: those that it is made of, itself, and itself uncast."""
    old, new = volume.spec, seen.spec
    per_voxel = max(old.voxels / new.voxels, 1.0)
    return (per_voxel * old.dtype.itemsize + 2 * new.dtype.itemsize) * (new.channels or 1)
