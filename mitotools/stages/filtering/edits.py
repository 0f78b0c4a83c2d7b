"""What is put right by hand: instances merged, deleted and split, as a file says line by line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mitotools.errors import InputError
from mitotools.segment.filters import edit_ids, smallest_label_type
from mitotools.segment.runs import as_ids, iterate_runs
from mitotools.stages.blocks.blockwise import map_blocks
from mitotools.stages.blocks.computed import Computed, computed_spec
from mitotools.stages.blocks.pieces import read_labels
from mitotools.stages.filtering.id_lists import id_of, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mitotools.conventions import Labels, Size
    from mitotools.run.running import Running
    from mitotools.segment.blockwise.places import Flags
    from mitotools.segment.runs import Ids
    from mitotools.stages.blocks.pieces import Seen
    from mitotools.volume.blocks import Box

LEAST_IDS = {"merge": 2, "delete": 1, "split": 1}
"""The edits, and how many ids each has at least."""


def read_edits(file: str) -> tuple[str, ...]:
    """Return the edits in a file.

    Parameters
    ----------
    file : str
        Its path, or ``-`` for standard input. One edit a line, words between blanks: ``merge A B C`` makes
        B and C parts of A, ``delete A B`` makes them background, ``split A B`` makes every piece of them an
        instance of its own. What follows a ``#`` is left out.

    Returns
    -------
    tuple of str
        ``EDIT ID ID ...``.

    Raises
    ------
    InputError
        Where the file cannot be read, or a line is no edit.
    """
    found = []
    for number, line in enumerate(lines_of(file), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) - 1 < LEAST_IDS.get(words[0], len(words)):
            why = f"line {number}: {line.strip()[:40]!r} is no edit"
            raise InputError(file, why, "Give 'merge A B', 'delete A' or 'split A', with ids")
        ids = [id_of(word, file, number) for word in words[1:]]
        found.append(" ".join([words[0], *map(str, ids)]))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class _Edited(Computed):
    """Instances with the ids of others, or none."""

    ids: Ids
    new_ids: Ids

    def read(self, box: Box) -> Labels:
        """Return the new labels of `box`."""
        return edit_ids(self.seen.read(box), self.ids, self.new_ids, self.spec.dtype)

    def step_bytes(self, block: Size) -> float:  # noqa: ARG002
        """Return what the labels and their runs take, of which there may be as many as voxels."""
        return 2 * self.seen.spec.dtype.itemsize + 16


def edited(volume: Seen, edits: Sequence[str], split_by: Callable[[Seen, Ids], Seen]) -> Seen:
    """Return labels after edits: merges and deletions one after the other, then the splits.

    Parameters
    ----------
    volume : Seen
        (Z, Y, X) labels of a type without sign.
    edits : sequence of str
        See `read_edits`.
    split_by : callable
        Splits the instances that are listed (see `mitotools.stages.filtering.regions.split`).

    Raises
    ------
    InputError, UsageError
    """
    parsed = [(words[0], [int(word) for word in words[1:]]) for words in map(str.split, edits)]
    new = _new_ids(parsed)
    if new:
        ids = np.array(sorted(new), np.uint64)
        new_ids = np.array([new[number] for number in sorted(new)], np.uint64)
        dtype = np.result_type(smallest_label_type(int(new_ids.max())), volume.spec.dtype)
        volume = _Edited(volume, computed_spec(volume, dtype), ids, new_ids)
    only = [number for verb, numbers in parsed if verb == "split" for number in numbers]
    return split_by(volume, np.array(only, np.uint64)) if only else volume


def named_ids(edits: Sequence[str]) -> Ids:
    """Return the ids that edits name, ascending and unique: (K,) uint64."""
    return np.array(sorted({int(word) for edit in edits for word in edit.split()[1:]}), np.uint64)


def present_ids(volume: Seen, ids: Ids, running: Running) -> Ids:
    """Return those of some ids that are in a volume, which is read for it: (K,) uint64."""

    def are_present(box: Box, threads: int) -> Flags:
        labels = read_labels(volume, box, threads)
        found = np.zeros(len(ids), bool)
        for runs in iterate_runs([labels]):
            found |= np.isin(ids, as_ids(runs.values[0], volume.name))
        return found

    found = np.zeros(len(ids), bool)
    for flags in map_blocks([volume], are_present, "edits", running, 2 * volume.spec.dtype.itemsize + 16):
        found |= flags
    return ids[found]


def _new_ids(edits: Sequence[tuple[str, list[int]]]) -> dict[int, int]:
    """Return what the ids that are merged or deleted become."""
    parts: dict[int, list[int]] = {}  # the old ids that make up an id by now
    deleted: list[int] = []
    for verb, numbers in edits:
        if verb == "split":
            continue
        own = numbers[0] if verb == "merge" else None
        for number in dict.fromkeys(numbers):
            if number == own:
                continue
            moved = parts.get(number, [number])
            parts[number] = []
            if own is None:
                deleted += moved
            else:
                parts.setdefault(own, [own]).extend(moved)
    new = {old: number for number, olds in parts.items() for old in olds if old != number}
    return new | dict.fromkeys(deleted, 0)
