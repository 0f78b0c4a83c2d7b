"""Grey values of volumes that do not fit in memory: their percentiles, uint8 from them, ids from colours."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numba import njit

from mitotools.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Array

    Counts = npt.NDArray[np.int64]
    """(prefixes, 65536): how often each digit follows each prefix that a `PercentileSearch` has left."""

DIGIT_BITS = 16
DIGITS = 1 << DIGIT_BITS

LARGEST = 1e300
"""The largest grey value that may become white; beyond, float64 overflows in between."""


@dataclass(frozen=True)
class PercentileSearch:
    """The exact percentiles of a volume that is seen block by block.

    Values are put in order as whole numbers of 16, 32 or 64 bits, and found digit by digit of 16 bits: a
    volume of 8 or 16 bit values is read once, one of 32 bits twice, one of 64 bits four times. Nothing is
    estimated, so blocks and their order make no difference::

        search = PercentileSearch.of(volume.dtype, (1, 99))
        while not search.is_done:
            search = search.narrowed(sum_of(search.histogram(block) for block in blocks))
        low, high = search.values

    The percentile p is the least value that at least p percent of the voxels do not exceed ("inverted_cdf" of
    `numpy.percentile`), so always one that occurs.
    """

    dtype: np.dtype[Any]
    percentiles: tuple[float, ...]
    prefixes: tuple[int, ...]
    """The leading digits of each percentile that are known."""
    ranks: tuple[int, ...] = ()
    """How many of the values with this prefix each percentile is from the lowest one, 1 and up."""
    digits_left: int = 1

    @classmethod
    def of(cls, dtype: np.dtype[Any], percentiles: tuple[float, ...]) -> Self:
        """Return a search that has seen nothing.

        Parameters
        ----------
        dtype : numpy.dtype
            Of the voxels: bool, an integer or a floating point type.
        percentiles : tuple of float
            0 to 100 each.
        """
        if not all(0 <= percentile <= 100 for percentile in percentiles):
            raise ValueError(f"percentiles are 0 to 100, not {percentiles}")
        digits = max(1, 8 * np.dtype(dtype).itemsize // DIGIT_BITS)
        return cls(np.dtype(dtype).newbyteorder("="), percentiles, (0,) * len(percentiles), (), digits)

    @property
    def is_done(self) -> bool:
        """Whether `values` are known."""
        return self.digits_left == 0

    @property
    def values(self) -> tuple[float, ...]:
        """The percentiles, whole numbers as int."""
        if not self.is_done:
            raise ValueError("digits are missing")
        return tuple(_value(prefix, self.dtype) for prefix in self.prefixes)

    def histogram(self, array: Array, name: str = "the image") -> Counts:
        """Return how often each next digit occurs among a block's values: those of blocks add up.

        Raises
        ------
        InputError
            Where a value is not a number.
        """
        keys = _keys(array, name)
        prefixes = np.array(sorted(set(self.prefixes)), np.uint64)
        counts = np.zeros((len(prefixes), DIGITS), np.int64)
        _count(keys.reshape(-1), prefixes, DIGIT_BITS * (self.digits_left - 1), counts)
        return counts

    def narrowed(self, histogram: Counts) -> Self:
        """Return the search with one digit more, from the histogram of all blocks."""
        rows = {
            prefix: np.cumsum(row) for prefix, row in zip(sorted(set(self.prefixes)), histogram, strict=True)
        }
        ranks = self.ranks or tuple(_rank(p, int(rows[0][-1])) for p in self.percentiles)
        prefixes, left = [], []
        for prefix, rank in zip(self.prefixes, ranks, strict=True):
            digit = int(np.searchsorted(rows[prefix], rank))
            prefixes.append(prefix << DIGIT_BITS | digit)
            left.append(rank - (int(rows[prefix][digit - 1]) if digit else 0))
        return replace(self, prefixes=tuple(prefixes), ranks=tuple(left), digits_left=self.digits_left - 1)


def clip_to_uint8(array: Array, low: float, high: float, name: str = "the image") -> npt.NDArray[np.uint8]:
    """Return grey values stretched to 0..255: 255 (v - low) / (high - low), rounded, halves to even.

    Values below `low` become 0, those above `high` 255. Where both limits are the same, so do those up to and
    above it.

    Parameters
    ----------
    array : array of numbers
    low, high : float
        Limits, low first.
    name : str
        What to call the image in messages.

    Raises
    ------
    InputError
        Where a value is not a number, or a limit beyond 1e300.
    """
    if not (-LARGEST <= low <= high <= LARGEST):
        raise InputError(name, f"cannot be clipped from {low} to {high}", "Choose other percentiles")
    _refuse_nan(array, name)
    if array.dtype.kind in "uib" and array.dtype.itemsize <= 2:
        return _table(array.dtype, low, high)[_keys(array, name)]
    # By rows: as a whole, float64 would take eight times the memory of the result.
    result = np.empty(array.shape, np.uint8)
    for source, target in zip(
        array.reshape(-1, array.shape[-1]), result.reshape(-1, array.shape[-1]), strict=True
    ):
        target[:] = _stretched(source, low, high)
    return result


def ids_of_rgb(array: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Return the ids that colours stand for, as VAST exports them: 65536 R + 256 G + B.

    Parameters
    ----------
    array : (3, Z, Y, X) array of uint8

    Returns
    -------
    (Z, Y, X) array of uint32
    """
    if array.shape[0] != 3 or array.dtype != np.uint8:
        raise ValueError(f"colours are three channels of uint8, not {array.shape} {array.dtype}")
    ids: npt.NDArray[np.uint32] = array[0].astype(np.uint32)
    for channel in array[1:]:
        ids <<= 8
        ids |= channel
    return ids


def _rank(percentile: float, count: int) -> int:
    return max(1, math.ceil(Fraction(str(float(percentile))) * count / 100))


def _table(dtype: np.dtype[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Return the grey value of every key."""
    bits = 8 * dtype.itemsize
    values = np.arange(1 << bits, dtype=np.int64)
    return _stretched(values - (1 << (bits - 1)) if dtype.kind == "i" else values, low, high)


def _stretched(values: Array, low: float, high: float) -> npt.NDArray[np.uint8]:
    if low == high:
        return np.where(values > low, np.uint8(255), np.uint8(0))
    # Multiplied first: of whole numbers all is exact but the division, and so are halves.
    above = np.clip(values.astype(np.float64), low, high) - low
    return np.rint(above * 255 / (high - low)).astype(np.uint8)


def _refuse_nan(array: Array, name: str) -> None:
    # The least of values is not a number where one of them is not.
    if array.dtype.kind == "f" and np.isnan(array.min()):
        raise InputError(name, "has values that are not a number", "Replace them first")


def _keys(array: Array, name: str) -> Array:
    """Return unsigned integers in the order of the values: sign bit flipped, all bits of negative floats."""
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    if array.dtype == bool:
        return array.view(np.uint8)
    unsigned = np.dtype(f"u{array.dtype.itemsize}")
    if array.dtype.kind == "u":
        return array
    sign = unsigned.type(1 << (8 * unsigned.itemsize - 1))
    if array.dtype.kind == "i":
        keys: Array = array.view(unsigned) ^ sign
        return keys
    _refuse_nan(array, name)
    bits = (array + array.dtype.type(0)).view(unsigned)  # -0 is 0
    keys = np.where(bits & sign, ~bits, bits | sign)
    return np.ascontiguousarray(keys)


def _value(key: int, dtype: np.dtype[Any]) -> float:
    """Return the value that has a key."""
    bits = 8 * dtype.itemsize
    sign = 1 << (bits - 1)
    if dtype.kind in "ub":
        return key
    if dtype.kind == "i":
        return key - sign
    raw = key ^ sign if key & sign else key ^ ((1 << bits) - 1)
    return float(np.array(raw, f"u{dtype.itemsize}").view(dtype))


@njit(cache=True, nogil=True)
def _count(keys: Array, prefixes: Array, shift: int, counts: Counts) -> None:
    for key in keys:
        leading = (np.uint64(key) >> np.uint64(shift)) >> np.uint64(DIGIT_BITS)
        for row in range(prefixes.size):
            if leading == prefixes[row]:
                counts[row, (np.uint64(key) >> np.uint64(shift)) & np.uint64(DIGITS - 1)] += 1
