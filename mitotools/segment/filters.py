"""Instances kept, dropped or renumbered, block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools.conventions import BACKGROUND
from mitotools.errors import InputError
from mitotools.segment.runs import as_ids, iterate_runs, require_labels

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Array, Labels
    from mitotools.segment.runs import Ids


def smallest_label_type(max_id: int) -> np.dtype[np.unsignedinteger[Any]]:
    """Return the smallest unsigned type that holds all ids up to the largest.

    Parameters
    ----------
    max_id : int
        The largest id, 0 if there is none.

    Returns
    -------
    numpy.dtype
        uint8, uint16, uint32 or uint64.

    Raises
    ------
    InputError
        If no type does.
    """
    for label_type in (np.uint8, np.uint16, np.uint32, np.uint64):
        if 0 <= max_id <= np.iinfo(label_type).max:
            return np.dtype(label_type)
    raise InputError("labels", f"the id {max_id} does not fit 64 bits without sign", "Relabel them")


def label_type(max_id: int, asked: str | None) -> np.dtype[Any]:
    """Return the unsigned type of labels that was asked for, or else the smallest that holds all ids.

    Raises
    ------
    InputError
        If the type does not hold the largest.
    """
    least = smallest_label_type(max_id)
    if asked is None:
        return least
    if max_id > np.iinfo(asked).max:
        raise InputError(f"--dtype {asked}", f"does not hold the id {max_id}", f"The least is {least}")
    return np.dtype(asked)


def keep_ids(labels: Array, ids: Ids) -> Labels:
    """Turn every instance that is not listed into background.

    Parameters
    ----------
    labels : (Z, Y, X) integer or bool
        A block.
    ids : (K,) uint64
        Ids to keep, ascending and unique.

    Returns
    -------
    (Z, Y, X) array
        Of the type of `labels`.

    Raises
    ------
    InputError
        If the labels' type is no integer, or an id is negative.
    """
    return replace_ids(labels, ids, ids, labels.dtype)


def relabel(labels: Array, ids: Ids) -> Labels:
    """Give instances new ids without gaps: ``ids[k]`` becomes k + 1, and those not listed background.

    Parameters
    ----------
    labels : (Z, Y, X) integer or bool
        A block.
    ids : (K,) uint64
        Ids to keep, ascending and unique; the same for every block of the volume.

    Returns
    -------
    (Z, Y, X) unsigned array
        Of the smallest type that holds K.

    Raises
    ------
    InputError
        If the labels' type is no integer, or an id is negative.
    """
    numbers = np.arange(1, len(ids) + 1, dtype=np.uint64)
    return replace_ids(labels, ids, numbers, smallest_label_type(len(ids)))


def replace_ids(labels: Array, ids: Ids, new_ids: Ids, label_type: npt.DTypeLike) -> Labels:
    """Give instances other ids, and turn those that are not listed into background.

    Only the starts of runs are looked up: as fast as a table indexed by voxels or faster, whatever the ids.

    Parameters
    ----------
    labels : (Z, Y, X) integer or bool
        A block.
    ids : (K,) uint64
        Ids, ascending and unique.
    new_ids : (K,) uint64
        What each becomes. Several may become one.
    label_type : dtype
        Of the result; it must hold the new ids.

    Returns
    -------
    (Z, Y, X) array

    Raises
    ------
    InputError
        If the labels' type is no integer, or an id is negative.
    """
    require_labels(labels, "labels")
    replaced = np.empty(labels.shape, label_type)
    flat = replaced.reshape(-1)
    for runs in iterate_runs([labels]):
        new = _looked_up(as_ids(runs.values[0], "labels"), ids, new_ids).astype(label_type)
        start, stop = runs.starts[0], runs.starts[-1] + runs.lengths[-1]
        flat[start:stop] = np.repeat(new, runs.lengths)
    return replaced


def edit_ids(labels: Array, ids: Ids, new_ids: Ids, label_type: npt.DTypeLike) -> Labels:
    """Give instances other ids, and leave those that are not listed as they are.

    Parameters
    ----------
    labels, ids, new_ids, label_type
        As for `replace_ids`. A new id may be 0.

    Returns
    -------
    (Z, Y, X) array

    Raises
    ------
    InputError
        If the labels' type is no integer, or an id is negative.
    """
    pieces = [np.unique(as_ids(runs.values[0], "labels")) for runs in iterate_runs([labels])]
    found = np.unique(np.concatenate([np.zeros(0, np.uint64), *pieces]))
    is_listed = np.isin(found, ids)
    edited = found.copy()
    edited[is_listed] = new_ids[np.searchsorted(ids, found[is_listed])]
    return replace_ids(labels, found, edited, label_type)


def _looked_up(values: Ids, ids: Ids, new_ids: Ids) -> Ids:
    if len(ids) == 0:
        return np.zeros_like(values)
    position = np.minimum(np.searchsorted(ids, values), len(ids) - 1)
    known = (ids[position] == values) & (values != BACKGROUND)
    return np.where(known, new_ids[position], np.uint64(BACKGROUND))
