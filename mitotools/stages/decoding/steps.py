"""What decoding takes of memory, step by step, known before the first."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mitotools.run.running import Running, without_warnings
from mitotools.stages.blocks.steps import check_steps
from mitotools.stages.decoding.any_size import BLOCKWISE, decoded, needed
from mitotools.stages.decoding.block_step import block_demand
from mitotools.temporary import temporary_folder
from mitotools.volume.arrays import volume_of
from mitotools.volume.blocks import Box
from mitotools.volume.path import VolumePath

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.parameters import DecodeParameters
    from mitotools.stages.blocks.steps import Step
    from mitotools.volume.base import Volume

_ROOM_BYTES = 2**40


def check_decoding(
    maps: Volume,
    target: VolumePath,
    parameters: DecodeParameters,
    running: Running,
    later: Sequence[Step] = (),
) -> None:
    """Refuse a budget that is too little for any step of `decoded`, or of what follows, before the first.

    Parameters
    ----------
    maps : Volume
        (C, Z, Y, X).
    target : VolumePath
    parameters : DecodeParameters
    running : Running
    later : sequence of Step
        What follows, loaded already.

    Raises
    ------
    MachineError
        Which names the least that is enough. What crosses the faces of blocks is known only by then, and may
        take more.
    """
    if not running.is_distributed:
        _rehearse(maps, parameters)
    if parameters.method not in BLOCKWISE:
        needed(maps, target, parameters, running)
        check_steps(later, running)
        return
    first = block_demand(maps, target, BLOCKWISE[parameters.method].work(parameters), running)
    check_steps([(first, running.workers), *later], running)


def _rehearse(maps: Volume, parameters: DecodeParameters) -> None:
    """Decode a few voxels, so that all that decoding computes with is loaded, and its memory seen."""
    few = np.zeros((maps.spec.channels or 1, 2, 8, 8), np.uint8)
    few[0, :, 2:6, 2:6] = few[2:, :, 2:6, 2:6] = 255  # but for the contour
    parameters = replace(parameters, min_size_voxels=0, min_seed_voxels=0)
    alone = Running(threads=1, memory_bytes=_ROOM_BYTES)
    with temporary_folder() as folder, without_warnings("mitotools.stages.decoding"):
        place = VolumePath(str(folder / "few.zarr"))
        with decoded(volume_of(few), place, (), parameters, alone) as (instances, _):
            instances.read(Box.whole((2, 8, 8)), 1)
