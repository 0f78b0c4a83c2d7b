"""Labels with some of their instances."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from mitotools import history
from mitotools.segment.filters import ids_of_size, keep_ids, relabel, smallest_label_type
from mitotools.stages.convert import write_blocks
from mitotools.stages.stats import measure_volume
from mitotools.volume.base import VolumeSpec
from mitotools.volume.files import check_target, create_volume, open_volume, source_of

if TYPE_CHECKING:
    from mitotools.conventions import Array
    from mitotools.parameters import FilterParameters
    from mitotools.run.running import Running
    from mitotools.volume.blocks import Box
    from mitotools.volume.path import VolumePath


def filter_volume(
    source: VolumePath, target: VolumePath, parameters: FilterParameters, running: Running
) -> tuple[int, int]:
    """Copy a label volume without the instances that are too small.

    The volume is read twice, by blocks: an instance that a block cuts is one instance.

    Parameters
    ----------
    source : VolumePath
        (Z, Y, X) labels.
    target : VolumePath
        The new labels, in the smallest unsigned type that holds the ids.
    parameters : FilterParameters
    running : Running

    Returns
    -------
    kept, found : int
        Numbers of instances.

    Raises
    ------
    InputError, TargetError
    """
    check_target(target, force=running.force)
    with open_volume(source, "labels") as volume:
        measurements = measure_volume(volume, running, "measure")
        kept = ids_of_size(measurements.ids, measurements.voxels, parameters.min_size_voxels)
        largest = len(kept) if parameters.relabel else int(kept.max(initial=0))
        spec = VolumeSpec(
            shape=volume.spec.shape,
            dtype=smallest_label_type(largest),
            voxel_size_nm=volume.spec.voxel_size_nm,
            history=history.extended(
                [source_of(source, volume)], running.command_line, {**asdict(parameters), "crop": source.crop}
            ),
        )
        choose = relabel if parameters.relabel else keep_ids

        def chosen(box: Box) -> Array:
            return choose(volume.read(box), kept).astype(spec.dtype, copy=False)

        with create_volume(target, spec, force=running.force) as writer:
            write_blocks(writer, chosen, running, "filter")
    return len(kept), len(measurements)
