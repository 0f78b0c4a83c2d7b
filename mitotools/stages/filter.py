"""Labels with some of their instances."""

from __future__ import annotations

import logging
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools import history
from mitotools.segment.filters import keep_ids, label_type, relabel
from mitotools.segment.measures.instance_tables import table_columns
from mitotools.segment.measures.measure import measurement_columns
from mitotools.segment.morphology import dilated, eroded
from mitotools.segment.where import parsed
from mitotools.stages.blocks.blockwise import write_volume
from mitotools.stages.blocks.computed import Stepwise, Unsigned, reading_bytes
from mitotools.stages.blocks.pieces import read_pieces
from mitotools.stages.blocks.steps import check_steps, steps_to_write
from mitotools.stages.blocks.work import Work
from mitotools.stages.filtering.edits import edited, named_ids, present_ids
from mitotools.stages.filtering.id_lists import recorded
from mitotools.stages.filtering.regions import as_if_changed, demand_to_look, fill_holes, split
from mitotools.stages.measuring.one_pass import all_tables, demand_to_measure, known_columns, measure_volume
from mitotools.volume.files import open_volume
from mitotools.volume.outputs import check_target, planned

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitotools.conventions import Array
    from mitotools.history import History
    from mitotools.parameters import FilterParameters
    from mitotools.run.budget import Demand
    from mitotools.run.running import Running
    from mitotools.segment.measures.measure import Measurements
    from mitotools.segment.runs import Ids
    from mitotools.segment.where import Condition
    from mitotools.stages.blocks.pieces import Seen
    from mitotools.stages.measuring.one_pass import Columns
    from mitotools.volume.base import VolumeSpec
    from mitotools.volume.blocks import Box
    from mitotools.volume.path import VolumePath


def filter_volume(
    source: VolumePath, target: VolumePath, parameters: FilterParameters, running: Running
) -> tuple[int, int]:
    """Copy a label volume with some of its instances.

    The volume is read twice, by blocks, and once more for each of edits, their splits, `fill_holes` and
    `split`: an instance that a block cuts is one instance. First instances change their shape, then it is
    chosen which of them stay.

    Parameters
    ----------
    source : VolumePath
        (Z, Y, X) labels.
    target : VolumePath
        The new labels.
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
    condition = None if parameters.where is None else parsed(parameters.where)
    with open_volume(source, "labels") as opened:
        in_full = condition is not None and _takes_all(condition, opened)
        _check_memory(opened, target, parameters, running, in_full=in_full)
        if parameters.edits:
            named = named_ids(parameters.edits)
            _warn_of_missing("--edits", named, present_ids(opened, named, running))
        volume = _reshaped(
            opened, parameters, partial(split, running=running), partial(fill_holes, running=running)
        )
        found, columns = _measured(volume, running, condition, in_full=in_full)
        kept = _selected(found, columns, parameters, condition)
        _warn_of_missing("--keep-ids", _ids(parameters.keep_ids or ()), found.ids)
        _warn_of_missing("--drop-ids", _ids(parameters.drop_ids), found.ids)
        largest = len(kept) if parameters.relabel else int(kept.max(initial=0))
        records = history.extended([opened.source()], running.command_line, _record(parameters))
        spec = _spec(volume, label_type(largest, parameters.dtype), records)
        write_volume(target, spec, _writing(volume, target, kept, spec, parameters), running)
    return len(kept), len(found)


def _takes_all(condition: Condition, opened: Seen) -> bool:
    """Whether a condition is on more than is always measured; an error where it is on what there is not."""
    few = known_columns(opened, in_full=False)
    in_full = not condition.names <= few.keys()
    condition.holds(known_columns(opened, in_full=True) if in_full else few)
    return in_full


def _measured(
    volume: Seen, running: Running, condition: Condition | None, *, in_full: bool
) -> tuple[Measurements, Columns]:
    """Return what is known of every instance, and the columns that a condition is on."""
    voxel_size = volume.spec.voxel_size_nm
    if in_full:
        tables = all_tables(volume, running, "measure")
        return tables.measurements, table_columns(tables, voxel_size)
    found = measure_volume(volume, running, "measure")
    return found, measurement_columns(found, voxel_size) if condition is not None else {}


def _reshaped(
    volume: Seen,
    parameters: FilterParameters,
    split_by: Callable[..., Seen],
    fill_by: Callable[[Seen], Seen],
) -> Seen:
    """Return the instances in their new shapes, given how pieces and holes are found."""
    steps = (parameters.edits, parameters.fill_holes, parameters.erode_voxels, parameters.dilate_voxels)
    if any(steps) or parameters.split:
        volume = Unsigned.of(volume)
    volume = edited(volume, parameters.edits, split_by)
    if parameters.fill_holes:
        volume = fill_by(volume)
    volume = Stepwise.of(volume, eroded, parameters.erode_voxels)
    volume = Stepwise.of(volume, dilated, parameters.dilate_voxels)
    return split_by(volume) if parameters.split else volume


def _check_memory(
    opened: Seen, target: VolumePath, parameters: FilterParameters, running: Running, *, in_full: bool
) -> None:
    """Refuse a budget that is too little for any of the steps before the first of them."""
    demands: list[Demand] = []

    def looked_at(volume: Seen, only: Ids | None = None) -> Seen:  # noqa: ARG001 (as pieces are found)
        demands.append(demand_to_look(volume))
        return as_if_changed(volume)

    volume = _reshaped(opened, parameters, looked_at, looked_at)
    known_columns(volume, in_full=in_full)
    demands.append(demand_to_measure([volume], in_full=in_full))
    steps = [(demand, running.workers) for demand in demands]
    as_read = _spec(volume, np.dtype(parameters.dtype or f"u{volume.spec.dtype.itemsize}"))
    steps += steps_to_write(target, as_read, [volume], partial(_bytes_to_write, volume), running)
    check_steps(steps, running)


def _spec(volume: Seen, dtype: np.dtype[Any], records: History = ()) -> VolumeSpec:
    return volume.spec.on_same_grid((), dtype, records, is_labels=True)


def _selected(
    found: Measurements, columns: Columns, parameters: FilterParameters, condition: Condition | None
) -> Ids:
    """Return the ids of the instances that stay."""
    ids = found.ids
    stays = found.voxels >= parameters.min_size_voxels
    if condition is not None:
        stays &= condition.holds(columns)
    if parameters.keep_ids is not None:
        stays &= np.isin(ids, _ids(parameters.keep_ids))
    stays &= ~np.isin(ids, _ids(parameters.drop_ids))
    if parameters.clear_border:
        stays &= ~found.touches_border()
    return ids[stays]


def _warn_of_missing(option: str, listed: Ids, ids: Ids) -> None:
    missing = int((~np.isin(listed, ids)).sum())
    if missing:
        logging.getLogger(__name__).warning("%s: %d of %d ids are not there.", option, missing, len(listed))


def _record(parameters: FilterParameters) -> dict[str, object]:
    listed = {name: recorded(getattr(parameters, name)) for name in ("keep_ids", "drop_ids")}
    return {**asdict(parameters), **listed}


def _writing(
    volume: Seen, target: VolumePath, kept: Ids, spec: VolumeSpec, parameters: FilterParameters
) -> Work:
    """Return how the new labels are computed."""
    choose = relabel if parameters.relabel else keep_ids
    dtype = spec.dtype

    def chosen(box: Box, threads: int) -> Array:
        return choose(read_pieces(volume, box, threads), kept).astype(dtype, copy=False)

    return Work(chosen, "filter", [volume], _bytes_to_write(volume, planned(target, spec)))


def _bytes_to_write(volume: Seen, spec: VolumeSpec) -> float:
    """Return what a voxel takes: both labelings, positions in the table of ids, whether they are there."""
    itemsizes = volume.spec.dtype.itemsize + 2 * spec.dtype.itemsize
    return itemsizes + 10 + reading_bytes(volume, spec.unit)


def _ids(listed: tuple[int, ...]) -> Ids:
    return np.array(listed, np.uint64)
