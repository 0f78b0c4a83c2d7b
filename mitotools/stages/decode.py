"""Instances from maps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mitotools import history
from mitotools.segment.filters import smallest_label_type
from mitotools.stages.blocks.blockwise import write_volume
from mitotools.stages.blocks.planning import needs
from mitotools.stages.blocks.resuming import is_made
from mitotools.stages.blocks.work import Work
from mitotools.stages.decoding.any_size import decoded, needed, open_maps, parameters_used
from mitotools.stages.decoding.scores import check_scores, is_scored, write_scores
from mitotools.volume.base import VolumeSpec
from mitotools.volume.files import source_of
from mitotools.volume.outputs import check_apart, check_target, final_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mitotools.parameters import DecodeParameters
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath


def decode_volume(
    source: VolumePath,
    target: VolumePath,
    parameters: DecodeParameters,
    running: Running,
    channels: Mapping[str, int] | None = None,
    scores: Path | None = None,
) -> int | None:
    """Split maps into instances, numbered 1..n in raster order of their first voxels, or of their seeds'.

    Parameters
    ----------
    source : VolumePath
        Maps, (C, Z, Y, X), uint8 or probabilities in floating point.
    target : VolumePath
        The new labels, in the smallest unsigned type that holds n.
    parameters : DecodeParameters
    running : Running
    channels : mapping of str to int, optional
        Which channel of the maps is what; by default they are those of the method, in its order.
    scores : Path, optional
        A table of how sure the maps are of each instance (see `segment.confidence`).

    Returns
    -------
    int or None
        n; None where nothing was to be done.

    Raises
    ------
    InputError, TargetError, UsageError
    """
    check_target(target, force=running.force, resume=bool(running.resume))
    if scores is not None:
        check_apart([final_of(target), scores], [source])
        check_scores(scores, parameters.method, running)
    with open_maps(source, parameters, channels) as volume:
        made_with = {**parameters_used(parameters), "channels": channels}
        records = history.extended([source_of(source, volume)], running.command_line, made_with)
        voxel_size = volume.spec.voxel_size_nm
        spec = VolumeSpec(volume.spec.size, np.dtype(np.uint8), voxel_size, records, is_labels=True)
        if running.dry_run:
            running.dry_run(needs(target, spec, [needed(volume, target, parameters, running)]))
            return None
        if scores is not None and is_scored(scores, records, running):
            scores = None
        count = None
        if not is_made(target, records, running):
            with decoded(volume, target, records, parameters, running) as (instances, running_on):
                count = instances.count
                dtype = smallest_label_type(count)
                # Beside the labels, their runs: of sixteen voxels two or three start one.
                voxels = Work(instances.read, "write", (), 2 * dtype.itemsize + 6)
                write_volume(target, replace(spec, dtype=dtype), voxels, running_on)
        if scores is not None:
            write_scores(target, volume, scores, records, running)
    return count
