"""Instances from maps."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np

from mitotools import history
from mitotools.errors import InputError, UsageError
from mitotools.segment.decoders import decoder
from mitotools.segment.filters import smallest_label_type
from mitotools.stages.blockwise import map_blocks, write_volume
from mitotools.stages.maps import as_uint8
from mitotools.stages.pieces import read_pieces
from mitotools.stages.watershed import watershed
from mitotools.stages.work import Work
from mitotools.volume.base import VolumeSpec
from mitotools.volume.files import open_volume, source_of
from mitotools.volume.outputs import check_target

if TYPE_CHECKING:
    from mitotools.conventions import Maps
    from mitotools.parameters import DecodeParameters
    from mitotools.run.running import Running
    from mitotools.volume.base import Volume
    from mitotools.volume.blocks import Box
    from mitotools.volume.path import VolumePath


def decode_volume(
    source: VolumePath, target: VolumePath, parameters: DecodeParameters, running: Running
) -> int:
    """Split maps into instances, numbered 1..n in raster order of their seeds.

    Parameters
    ----------
    source : VolumePath
        Maps, (C, Z, Y, X), uint8 or probabilities in floating point.
    target : VolumePath
        The new labels, in the smallest unsigned type that holds n.
    parameters : DecodeParameters
    running : Running

    Returns
    -------
    int
        n.

    Raises
    ------
    InputError, TargetError
    """
    check_target(target, force=running.force)
    method = decoder(parameters.method)
    with open_volume(source, "maps") as volume:
        try:
            method.require(np.empty((volume.spec.channels or 1, 0, 0, 0), np.uint8))
        except InputError as error:
            raise InputError(str(source), f"{error.what} {error.why}") from error
        records = history.extended(
            [source_of(source, volume)], running.command_line, {**asdict(parameters), "crop": source.crop}
        )
        spec = VolumeSpec(
            volume.spec.size, np.dtype(np.uint8), volume.spec.voxel_size_nm, records, is_labels=True
        )
        if parameters.method == "mw":
            return _by_watershed(volume, target, spec, parameters, running)
        return _whole(volume, target, spec, parameters, running)


def _by_watershed(
    volume: Volume, target: VolumePath, spec: VolumeSpec, parameters: DecodeParameters, running: Running
) -> int:
    with watershed(volume, target, parameters, running) as instances:
        if instances.count == 0:
            _explain_nothing(instances.largest, parameters)
        spec = replace(spec, dtype=smallest_label_type(instances.count))
        # Beside the instances of a block the numbers that blocks gave them.
        work = Work(instances.read, "write", [instances.labels], 14 + 2 * spec.dtype.itemsize)
        write_volume(target, spec, work, running)
        return instances.count


def _whole(
    volume: Volume, target: VolumePath, spec: VolumeSpec, parameters: DecodeParameters, running: Running
) -> int:
    """Decode maps in memory."""
    if running.is_distributed:
        option = "--scheduler" if running.scheduler else "--workers"
        raise UsageError(option, f"--method {parameters.method} computes in one process", "Leave it out")
    maps = _read(volume, running)
    labels = decoder(parameters.method).load()(maps, parameters)
    count = int(labels.max())
    if count == 0:
        _explain_nothing(int(maps[0].max()), parameters)
    work = Work(lambda box, _: labels[box.slices], "write")
    write_volume(target, replace(spec, dtype=labels.dtype), work, running)
    return count


def _read(volume: Volume, running: Running) -> Maps:
    maps = np.empty(volume.spec.shape, np.uint8)

    def read(box: Box, threads: int) -> None:
        maps[(slice(None), *box.slices)] = as_uint8(read_pieces(volume, box, threads), volume.name)

    voxel_bytes = (volume.spec.dtype.itemsize + 8) * volume.spec.shape[0]
    for _ in map_blocks([volume], read, "read", running, voxel_bytes):
        pass
    return maps


def _explain_nothing(largest: int, parameters: DecodeParameters) -> None:
    """Say why there is no instance: that the maps are too low, or the instances too small."""
    logging.getLogger(__name__).warning(
        "no instance: the largest mask value is %.2f, and --seed-foreground is %g, --foreground %g, "
        "--min-size %d",
        largest / 255,
        parameters.seed_foreground,
        parameters.foreground,
        parameters.min_size_voxels,
    )
