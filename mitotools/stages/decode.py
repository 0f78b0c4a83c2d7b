"""Instances from maps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mitotools import history
from mitotools.segment.filters import label_type
from mitotools.stages.blocks.blockwise import write_volume
from mitotools.stages.blocks.planning import needs
from mitotools.stages.blocks.resuming import is_made
from mitotools.stages.blocks.steps import steps_to_write
from mitotools.stages.blocks.work import Work
from mitotools.stages.decoding.any_size import decoded, needed, open_maps, parameters_used
from mitotools.stages.decoding.block_step import remove_workspace
from mitotools.stages.decoding.scores import check_scores, is_scored, steps_to_score, write_scores
from mitotools.stages.decoding.steps import check_decoding
from mitotools.volume.outputs import check_apart, check_target, final_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mitotools.conventions import Array
    from mitotools.parameters import DecodeParameters
    from mitotools.run.running import Running
    from mitotools.stages.decoding.any_size import Decoded
    from mitotools.volume.base import VolumeSpec
    from mitotools.volume.blocks import Box
    from mitotools.volume.path import VolumePath


def decode_volume(
    source: VolumePath,
    target: VolumePath,
    parameters: DecodeParameters,
    running: Running,
    channels: Mapping[str, int] | None = None,
    scores: Path | None = None,
    config: Path | None = None,
    dtype: str | None = None,
) -> int | None:
    """Split maps into instances, numbered 1..n in raster order of their first voxels, or of their seeds'.

    Parameters
    ----------
    source : VolumePath
        Maps, (C, Z, Y, X), uint8 or probabilities in floating point.
    target : VolumePath
        The new labels.
    parameters : DecodeParameters
    running : Running
    channels : mapping of str to int, optional
        Which channel of the maps is what; by default they are those of the method, in its order.
    scores : Path, optional
        A table of how sure the maps are of each instance (see `segment.measures.confidence`).
    config : Path, optional
        The file that parameters are from, for the history.
    dtype : str, optional
        Of the labels; by default the smallest unsigned type that holds n.

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
        check_apart([final_of(target), scores], [source, config])
        check_scores(scores, parameters.method, running)
    with open_maps(source, parameters, channels) as volume:
        made_with = {**parameters_used(parameters), "channels": channels}
        inputs = [volume.source(), *([history.input_of(config)] if config else [])]
        # What is decoded can be continued in any type.
        of_blocks = history.extended(inputs, running.command_line, made_with)
        records = history.extended(inputs, running.command_line, {**made_with, "dtype": dtype})
        spec = volume.spec.on_same_grid((), np.dtype(dtype or np.uint8), records, is_labels=True)
        if running.dry_run:
            running.dry_run(needs(target, spec, [needed(volume, target, parameters, running)]))
            return None
        if scores is not None and is_scored(scores, records, running):
            scores = None
        count = None
        if is_made(target, records, running):
            remove_workspace(target, of_blocks)
        else:
            any_count = replace(spec, dtype=np.dtype(dtype or np.uint32))
            later = steps_to_write(target, any_count, (), _bytes_to_write, running)
            later += steps_to_score(any_count, volume, running) if scores is not None else []
            check_decoding(volume, target, parameters, running, later)
            with decoded(volume, target, of_blocks, parameters, running) as (instances, running_on):
                count = instances.count
                labels = replace(spec, dtype=label_type(count, dtype))
                write_volume(target, labels, _writing(instances, labels), running_on)
        if scores is not None:
            write_scores(target, volume, scores, records, running)
    return count


def _writing(instances: Decoded, labels: VolumeSpec) -> Work:
    """Return how instances become labels, wherever a block of them is read."""
    dtype = labels.dtype

    def typed(box: Box, threads: int) -> Array:
        return instances.read(box, threads).astype(dtype, copy=False)

    return Work(typed, "write", (), _bytes_to_write(labels))


def _bytes_to_write(labels: VolumeSpec) -> float:
    """Return what a voxel takes: beside the labels, their runs. Of sixteen voxels two or three start one."""
    return 2 * labels.dtype.itemsize + 6
