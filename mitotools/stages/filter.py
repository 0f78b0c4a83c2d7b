"""Labels with some of their instances."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from mitotools import history
from mitotools.segment.filters import ids_of_size, keep_ids, relabel, smallest_label_type
from mitotools.segment.measure import measurement_columns
from mitotools.segment.morphology import dilated, eroded
from mitotools.segment.where import parsed
from mitotools.stages.blockwise import write_volume
from mitotools.stages.computed import Computed, Stepwise, Unsigned
from mitotools.stages.edits import edited
from mitotools.stages.id_lists import recorded
from mitotools.stages.pieces import read_pieces
from mitotools.stages.regions import fill_holes, split
from mitotools.stages.stats import measure_volume
from mitotools.stages.work import Work
from mitotools.volume.base import VolumeSpec
from mitotools.volume.files import open_volume, source_of
from mitotools.volume.outputs import check_target, planned

if TYPE_CHECKING:
    from mitotools.conventions import Array
    from mitotools.parameters import FilterParameters
    from mitotools.run.running import Running
    from mitotools.segment.measure import Measurements
    from mitotools.segment.runs import Ids
    from mitotools.segment.where import Condition
    from mitotools.volume.base import Volume
    from mitotools.volume.blocks import Box
    from mitotools.volume.path import VolumePath


def filter_volume(
    source: VolumePath, target: VolumePath, parameters: FilterParameters, running: Running
) -> tuple[int, int]:
    """Copy a label volume with some of its instances.

    The volume is read twice, by blocks: an instance that a block cuts is one instance. First instances change
    their shape, then it is chosen which of them stay.

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
    InputError, TargetError, UsageError
    """
    check_target(target, force=running.force, resume=bool(running.resume))
    condition = parsed(parameters.where) if parameters.where else None
    with open_volume(source, "labels") as opened:
        volume = _reshaped(opened, parameters, running)
        reading_bytes = volume.bytes_per_voxel(volume.spec.unit) if isinstance(volume, Computed) else 0
        measurements = measure_volume(volume, running, "measure", reading_bytes)
        kept = _selected(measurements, volume.spec, parameters, condition)
        _warn_of_missing(measurements.ids, parameters)
        largest = len(kept) if parameters.relabel else int(kept.max(initial=0))
        spec = VolumeSpec(
            shape=volume.spec.shape,
            dtype=smallest_label_type(largest),
            voxel_size_nm=volume.spec.voxel_size_nm,
            history=history.extended(
                [source_of(source, opened)], running.command_line, _record(parameters, source.crop)
            ),
            is_labels=True,
        )
        write_volume(target, spec, _writing(volume, target, kept, spec, parameters), running)
    return len(kept), len(measurements)


def _reshaped(volume: Volume, parameters: FilterParameters, running: Running) -> Volume:
    """Return the instances in their new shapes."""
    steps = (parameters.edits, parameters.fill_holes, parameters.erode_voxels, parameters.dilate_voxels)
    if any(steps) or parameters.split:
        volume = Unsigned.of(volume)
    volume = edited(volume, parameters.edits, running)
    if parameters.fill_holes:
        volume = fill_holes(volume, running)
    volume = Stepwise.of(volume, eroded, parameters.erode_voxels)
    volume = Stepwise.of(volume, dilated, parameters.dilate_voxels)
    return split(volume, running) if parameters.split else volume


def _selected(
    measurements: Measurements, spec: VolumeSpec, parameters: FilterParameters, condition: Condition | None
) -> Ids:
    """Return the ids of the instances that stay."""
    ids = measurements.ids
    stays = np.isin(ids, ids_of_size(ids, measurements.voxels, parameters.min_size_voxels))
    columns = measurement_columns(measurements, spec.voxel_size_nm)
    if condition is not None:
        stays &= condition.holds(columns)
    if parameters.keep_ids is not None:
        stays &= np.isin(ids, _ids(parameters.keep_ids))
    stays &= ~np.isin(ids, _ids(parameters.drop_ids))
    if parameters.clear_border:
        stays &= ~np.asarray(columns["touches_border"], np.bool_)
    return ids[stays]


def _warn_of_missing(ids: Ids, parameters: FilterParameters) -> None:
    for option, listed in (("--keep-ids", parameters.keep_ids or ()), ("--drop-ids", parameters.drop_ids)):
        missing = len(listed) - int(np.isin(_ids(listed), ids).sum())
        if missing:
            logging.getLogger(__name__).warning(
                "%s: %d of %d ids are not there.", option, missing, len(listed)
            )


def _record(parameters: FilterParameters, crop: str) -> dict[str, object]:
    listed = {name: recorded(getattr(parameters, name)) for name in ("keep_ids", "drop_ids")}
    return {**asdict(parameters), **listed, "crop": crop}


def _writing(
    volume: Volume, target: VolumePath, kept: Ids, spec: VolumeSpec, parameters: FilterParameters
) -> Work:
    """Return how the new labels are computed."""
    choose = relabel if parameters.relabel else keep_ids
    dtype = spec.dtype

    def chosen(box: Box, threads: int) -> Array:
        return choose(read_pieces(volume, box, threads), kept).astype(dtype, copy=False)

    # Beside both labelings: positions in the table of ids, and whether they are there.
    voxel_bytes: float = volume.spec.dtype.itemsize + 2 * dtype.itemsize + 10
    if isinstance(volume, Computed):
        voxel_bytes += volume.bytes_per_voxel(planned(target, spec).unit)
    return Work(chosen, "filter", [volume], voxel_bytes)


def _ids(listed: tuple[int, ...]) -> Ids:
    return np.array(listed, np.uint64)
