"""Scores of instances from a table: what ranks predictions instead of their size."""

from __future__ import annotations

import csv
import logging
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mitotools.conventions import LARGEST_ID
from mitotools.errors import InputError
from mitotools.stages.blocks.planning import memory_of
from mitotools.volume.formats import HDF5
from mitotools.volume.hdf5_table import read_dataset
from mitotools.volume.path import parse_volume_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from mitotools.conventions import Array
    from mitotools.run.running import Running
    from mitotools.segment.runs import Ids

    Listed = tuple[Ids, npt.NDArray[np.float64]]
    """Ids in the order of a file, (N,) uint64, and their scores."""

BYTES_PER_ROW = 200
"""Of a table, while it is checked."""

_WHAT_NEXT = "It is a table with the columns id and score, as 'mitotools decode --scores' writes it"


def read_scores(file: Path, running: Running) -> Listed:
    """Read the score of each instance.

    Parameters
    ----------
    file : Path
        Text, separated by tabs or commas, with columns `id` and `score` among others, or without a header and
        with these two; or (N, 2) numbers in an .npy or an HDF5 dataset, named ``FILE:DATASET`` where the file
        holds others.
    running : Running
        Its memory bounds an HDF5 dataset.

    Returns
    -------
    ids : (N,) uint64
        In the order of the file.
    scores : (N,) float64

    Raises
    ------
    InputError
        Where the file is missing or no such table, an id is no whole number of 0 and above or is listed
        twice, or a score is no number.
    """
    try:
        pairs = list(_rows(file, running))
    except OSError as error:
        raise InputError(str(file), error.strerror or str(error)) from error
    ids = np.array([number for number, _ in pairs], np.uint64)
    scores = np.array([score for _, score in pairs], np.float64)
    _check_unique(file, ids)
    if np.isnan(scores).any():
        raise InputError(str(file), "some are no numbers (NaN)")
    return ids, scores


def compare_ids(predictions: Ids, listed: Ids) -> None:
    """Say where a table of scores and the predictions do not belong together."""
    log = logging.getLogger(__name__)
    unlisted = int((~np.isin(predictions, listed)).sum())
    unknown = int((~np.isin(listed, predictions)).sum())
    if unlisted:
        log.warning("--scores lists no score of %d predictions: they have score 0", unlisted)
    if unknown:
        log.warning("--scores lists %d ids that are no prediction: they are not used", unknown)


def _rows(file: Path, running: Running) -> Iterator[tuple[int, float]]:
    named = parse_volume_path(str(file))
    container = Path(named.file)
    if container.suffix.lower() in HDF5.suffixes and container.is_file():
        if named.crop:
            raise InputError(str(file), "a table of scores has no crop", f"Give {named}")
        most_rows = memory_of(running) // BYTES_PER_ROW
        return _rows_of_array(file, read_dataset(container, named.dataset, 16 * most_rows))
    return _rows_of_npy(file) if file.suffix == ".npy" else _rows_of_text(file)


def _check_unique(file: Path, ids: Ids) -> None:
    listed, counts = np.unique(ids, return_counts=True)
    if len(listed) < len(ids):
        twice = listed[counts > 1]
        others = f", and so are {len(twice) - 1} others" if len(twice) > 1 else ""
        raise InputError(str(file), f"id {twice[0]} is listed more than once{others}", "Leave one row an id")


def _rows_of_npy(file: Path) -> Iterator[tuple[int, float]]:
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)  # mapped: a header may promise anything
    except (ValueError, EOFError) as error:
        raise InputError(str(file), f"cannot be read as .npy ({error})") from error
    return _rows_of_array(file, array)


def _rows_of_array(file: Path, array: Array) -> Iterator[tuple[int, float]]:
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "uif":
        why = f"expected (N, 2) numbers, id and score, found {array.shape} {array.dtype}"
        raise InputError(str(file), why)
    # From 2**(nmant + 1) on, the number may be what another id was rounded to.
    largest = 2 ** (np.finfo(array.dtype).nmant + 1) - 1 if array.dtype.kind == "f" else LARGEST_ID
    for number, (instance, score) in enumerate(array.tolist()):
        if instance != instance or instance % 1 or not 0 <= instance <= LARGEST_ID:
            raise InputError(str(file), f"row {number}: {instance!r} is no id")
        if instance > largest:
            why = f"row {number}: {instance!r} is too large an id for floating-point numbers"
            raise InputError(str(file), why, "Give a table of text")
        yield int(instance), float(score)


def _rows_of_text(file: Path) -> Iterator[tuple[int, float]]:
    with file.open(newline="", encoding="utf-8-sig") as opened:
        try:
            first = opened.readline()
            lines = csv.reader(chain([first], opened), delimiter="\t" if "\t" in first else ",")
            fields = next(lines, [])
            at_id, at_score = _columns(file, fields)
            rows = lines if at_id is not None else chain([fields], lines)
            for number, row in enumerate(rows, start=1 if at_id is None else 2):
                if row:
                    yield _parsed(file, number, row, at_id or 0, at_score)
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(str(file), f"is no text ({error})", _WHAT_NEXT) from error


def _columns(file: Path, fields: Sequence[str]) -> tuple[int | None, int]:
    """Return where id and score are; None and 1 for a table of two columns without a header."""
    names = [name.strip().lower() for name in fields]
    if "id" in names and "score" in names:
        return names.index("id"), names.index("score")
    if len(fields) == 2 and names[0].isdecimal():
        return None, 1
    raise InputError(str(file), f"its columns are {', '.join(fields) or 'none'}", _WHAT_NEXT)


def _parsed(file: Path, number: int, row: Sequence[str], at_id: int, at_score: int) -> tuple[int, float]:
    try:
        instance, score = int(row[at_id]), float(row[at_score])
    except (ValueError, IndexError) as error:
        raise InputError(f"{file}, line {number}", "expected an id and a score", _WHAT_NEXT) from error
    if not 0 <= instance <= LARGEST_ID:
        raise InputError(f"{file}, line {number}", f"{instance} is no id")
    return instance, score
