"""Instances from maps."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from mitotools import history
from mitotools.errors import InputError
from mitotools.segment.decoders import decoder
from mitotools.stages.blockwise import map_blocks, write_volume
from mitotools.stages.pieces import read_pieces
from mitotools.stages.work import Work
from mitotools.volume.base import VolumeSpec
from mitotools.volume.files import open_volume, source_of
from mitotools.volume.outputs import check_target

if TYPE_CHECKING:
    from mitotools.conventions import Array, Maps
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
        records = history.extended(
            [source_of(source, volume)], running.command_line, {**asdict(parameters), "crop": source.crop}
        )
        maps = _read(volume, running)
        spec = volume.spec
    try:
        method.require(maps)
    except InputError as error:
        raise InputError(str(source), f"{error.what} {error.why}") from error
    labels = method.load()(maps, parameters)
    count = int(labels.max())
    if count == 0:
        _explain_nothing(maps, parameters)
    written = VolumeSpec(labels.shape, labels.dtype, spec.voxel_size_nm, records, is_labels=True)
    write_volume(target, written, Work(lambda box, _: labels[box.slices], "write"), running)
    return count


def _read(volume: Volume, running: Running) -> Maps:
    maps = np.empty(volume.spec.shape, np.uint8)

    def read(box: Box, threads: int) -> None:
        maps[(slice(None), *box.slices)] = as_uint8(read_pieces(volume, box, threads), volume.name)

    voxel_bytes = (volume.spec.dtype.itemsize + 8) * volume.spec.shape[0]
    for _ in map_blocks([volume], read, "read", running, voxel_bytes):
        pass
    return maps


def as_uint8(maps: Array, name: str) -> Maps:
    """Return probabilities as floor(255 p).

    Raises
    ------
    InputError
        Where floating-point maps hold NaN, or leave 0..1.
    """
    if maps.dtype == np.uint8:
        return maps
    low, high = maps.min(), maps.max()
    if not (low >= 0 and high <= 1):
        raise InputError(
            name, f"expected probabilities from 0 to 1, found {low} to {high}", "Scale them first"
        )
    return np.floor(maps.astype(np.float64) * 255).astype(np.uint8)


def _explain_nothing(maps: Maps, parameters: DecodeParameters) -> None:
    """Say why there is no instance: that the maps are too low, or the instances too small."""
    logging.getLogger(__name__).warning(
        "no instance: the largest mask value is %.2f, and --seed-foreground is %g, --foreground %g, "
        "--min-size %d",
        maps[0].max() / 255,
        parameters.seed_foreground,
        parameters.foreground,
        parameters.min_size_voxels,
    )
