"""Labels with some of their instances."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from mitotools import history
from mitotools.segment.filters import ids_of_size, keep_ids, relabel, smallest_label_type
from mitotools.stages.blockwise import write_volume
from mitotools.stages.pieces import read_pieces
from mitotools.stages.stats import measure_volume
from mitotools.stages.work import Work
from mitotools.volume.base import VolumeSpec
from mitotools.volume.files import open_volume, source_of
from mitotools.volume.outputs import check_target

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
    check_target(target, force=running.force, resume=bool(running.resume))
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
            is_labels=True,
        )
        choose = relabel if parameters.relabel else keep_ids
        dtype = spec.dtype

        def chosen(box: Box, threads: int) -> Array:
            return choose(read_pieces(volume, box, threads), kept).astype(dtype, copy=False)

        # Beside both labelings: positions in the table of ids, and whether they are there.
        voxel_bytes = volume.spec.dtype.itemsize + 2 * spec.dtype.itemsize + 10
        write_volume(target, spec, Work(chosen, "filter", [volume], voxel_bytes), running)
    return len(kept), len(measurements)
