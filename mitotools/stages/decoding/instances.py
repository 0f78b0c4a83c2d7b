"""Instances on their way: voxels that blocks put aside, and the numbers that they get."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mitotools.segment.blockwise.painting import paint
from mitotools.segment.blockwise.places import RUN
from mitotools.segment.filters import smallest_label_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mitotools.conventions import Array, Size
    from mitotools.segment.blockwise.places import Integers
    from mitotools.volume.blocks import Box


class Lookup(Protocol):
    """What the ids of a block's runs stand for."""

    def of(self, block: int, ids: Integers) -> Integers:
        """Return the instances of a block's ids; 0: none."""


@dataclass(frozen=True, eq=False)
class Everywhere:
    """Ids that mean the same in all blocks.

    Parameters
    ----------
    numbers : (M + 1,) int64
    """

    numbers: Integers

    def of(self, block: int, ids: Integers) -> Integers:  # noqa: ARG002
        """Return the instances of ids."""
        found: Integers = self.numbers[ids]
        return found


@dataclass(frozen=True, eq=False)
class Layer:
    """Voxels that have been put aside, and whose they are.

    Parameters
    ----------
    files : mapping of int to sequence of Path
        Those of each block that has any.
    instances : Lookup
    """

    files: Mapping[int, Sequence[Path]]
    instances: Lookup


@dataclass(frozen=True, eq=False)
class Instances:
    """The instances of maps, as something that is read by blocks while its files are there.

    Parameters
    ----------
    size : (Z, Y, X)
        Of the whole volume.
    blocks : sequence of Box
        In which voxels have been put aside.
    layers : sequence of Layer
    count : int
        Instances are numbered 1 to it.
    why_none : str
        Why there are none, where there are none.
    """

    size: Size
    blocks: Sequence[Box]
    layers: Sequence[Layer]
    count: int
    why_none: str

    def read(self, box: Box, threads: int = 1) -> Array:  # noqa: ARG002 (as stages call it)
        """Return the instances of `box`, in the smallest unsigned type for all of them."""
        result = np.zeros(box.shape, smallest_label_type(self.count))
        for block, whole in enumerate(self.blocks):
            shared = whole.intersection(box)
            if shared.is_empty:
                continue
            for layer in self.layers:
                for file in layer.files.get(block, ()):
                    runs = runs_between(file, shared.start[0], shared.stop[0], self.size)
                    paint(result, runs, layer.instances.of(block, runs["id"]), box.start, self.size)
        return result


def runs_between(file: Path, first: int, last: int, size: Size) -> Array:
    """Return the runs of slices `first` to `last` from a file of ascending runs, and read no more of it."""
    with file.open("rb", buffering=0) as opened:
        count = file.stat().st_size // RUN.itemsize

        def start(index: int) -> int:
            opened.seek(index * RUN.itemsize)
            return int(np.frombuffer(opened.read(RUN.itemsize), RUN)["start"][0])

        plane = size[1] * size[2]
        low = bisect_left(range(count), first * plane, key=start)
        high = bisect_left(range(count), last * plane, lo=low, key=start)
        opened.seek(low * RUN.itemsize)
        return np.frombuffer(opened.read((high - low) * RUN.itemsize), RUN)


def all_runs(file: Path) -> Array:
    """Return all runs of a file."""
    return np.fromfile(file, RUN)
