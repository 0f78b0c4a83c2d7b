"""The mean of a heatmap over each instance, added up from blocks in whole numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mitotools.conventions import BACKGROUND
from mitotools.errors import InputError
from mitotools.segment.runs import as_ids, group, iterate_runs, merge_gradually

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from mitotools.conventions import Array, Mask
    from mitotools.segment.runs import Ids, Integers, Runs

    Floats = npt.NDArray[np.float64]

FRACTION_BITS = 26
"""Fractions are summed in steps of 2**-26: of float16 that is every digit, of others it is off by 7.5e-9 at
most. The sum of what `iterate_runs` yields at once then fits in int64: 26 bits of fractions, 16 of `LARGEST`,
19 of voxels, up to 20 where a row is longer."""

LARGEST = 2**16
"""What a heatmap may hold on either side of 0: all of uint16."""

WHITE = 255.0
"""The divisor of means that are no probabilities."""

_LOW = np.int64((1 << FRACTION_BITS) - 1)


@dataclass(frozen=True, eq=False)
class HeatSums:
    """Sums of a heatmap by instance, background included.

    Parameters
    ----------
    ids : (N,) uint64
        Ascending.
    sums : (N, 3) int64
        Values (voxels times channels); the whole part of their sum; the rest of it, in steps of 2**-26.
    """

    ids: Ids
    sums: Integers

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)

    @classmethod
    def none(cls) -> HeatSums:
        """Return the sums of no voxels."""
        return cls(np.zeros(0, np.uint64), np.zeros((0, 3), np.int64))

    def scores(self) -> tuple[Ids, Floats]:
        """Return the score of each instance, as the MitoEM benchmark takes it from a heatmap.

        Returns
        -------
        ids : (M,) uint64
            Ascending, background left out.
        scores : (M,) float64
            The mean over all voxels and channels; all are divided by 255 where one is above 1, that of the
            background included.
        """
        # Whole numbers of Python: a quotient of them is rounded once, so that equal means are equal.
        means = np.array(
            [((high << FRACTION_BITS) + low) / (n << FRACTION_BITS) for n, high, low in self.sums.tolist()],
            np.float64,
        )
        if len(means) and means.max() > 1:
            means /= WHITE
        inside = self.ids != BACKGROUND
        return self.ids[inside], means[inside]


def heat_of_block(labels: Array, heatmap: Array, valid: Mask | None = None) -> HeatSums:
    """Add up a heatmap over the instances of one block.

    Parameters
    ----------
    labels : (Z, Y, X) integer or bool
        Ids, 0 and above.
    heatmap : (Z, Y, X) or (C, Z, Y, X) numbers
        From -65536 to 65536.
    valid : (Z, Y, X) bool, optional
        Voxels that count; all by default.

    Returns
    -------
    HeatSums
        Of the block. `merge_heat` makes one of many.

    Raises
    ------
    InputError
        If the shapes differ, or the heatmap holds another value, one that is no number for instance.
    """
    if heatmap.shape[-3:] != labels.shape:
        raise InputError("heatmap", f"has shape {heatmap.shape[-3:]}, the prediction {labels.shape}")
    _check_values(heatmap)
    channels = heatmap.reshape(heatmap.shape[0] if heatmap.ndim == 4 else 1, labels.size)
    volumes = [labels] if valid is None else [labels, valid]
    return merge_heat(_heat_of_runs(runs, channels) for runs in iterate_runs(volumes))


def merge_heat(parts: Iterable[HeatSums]) -> HeatSums:
    """Add up the sums of the blocks of one volume: the same for every way to cut it, in any order."""
    return merge_gradually(parts, _merged)


def _merged(parts: list[HeatSums]) -> HeatSums:
    tables = [HeatSums.none(), *parts]
    ids = np.concatenate([table.ids for table in tables])
    groups = group(ids)
    return HeatSums(groups.ids(ids), _carry(groups.reduce(np.concatenate([table.sums for table in tables]))))


def _check_values(heatmap: Array) -> None:
    if not heatmap.size:
        return
    low, high = heatmap.min().item(), heatmap.max().item()  # no float16, which ends below `LARGEST`
    if not (low >= -LARGEST and high <= LARGEST):  # which NaN is not either
        why = f"expected values from {-LARGEST} to {LARGEST}, found {low} to {high}"
        raise InputError("heatmap", why, "Scale it first")


def _heat_of_runs(runs: Runs, channels: Array) -> HeatSums:
    start, stop = int(runs.starts[0]), int(runs.starts[-1] + runs.lengths[-1])
    firsts = runs.starts - start
    sums = np.zeros((len(firsts), 3), np.int64)
    sums[:, 0] = runs.lengths * len(channels)
    for channel in channels:
        whole = channels.dtype.kind != "f"
        values = channel[start:stop] if whole else _in_steps(channel[start:stop])
        sums[:, 1 if whole else 2] += np.add.reduceat(values, firsts, dtype=np.int64)
        _carry(sums)
    ids = as_ids(runs.values[0], "prediction")
    if len(runs.values) > 1:
        counted = runs.values[1].astype(bool)
        ids, sums = ids[counted], sums[counted]
    groups = group(ids)
    return HeatSums(groups.ids(ids), _carry(groups.reduce(sums)))


def _in_steps(values: Array) -> Integers:
    """Return fractional values as whole numbers of steps."""
    steps: Integers = np.rint(values.astype(np.float64) * (1 << FRACTION_BITS)).astype(np.int64)
    return steps


def _carry(sums: Integers) -> Integers:
    """Leave less than 1 in the rest of each sum, so that many can be added; return them."""
    sums[:, 1] += sums[:, 2] >> FRACTION_BITS
    sums[:, 2] &= _LOW
    return sums
