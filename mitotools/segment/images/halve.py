"""Images and labels at half their resolution: the levels of a pyramid.

The same as `segment.images.resample` where lengths are even, and several times faster. The last voxel of
an odd length stands alone, so that a new voxel is always made of whole old ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from mitotools.segment.images.resample import as_integers, each_channel, kernel_array

if TYPE_CHECKING:
    from mitotools.conventions import Array, Size


def halved_size(size: Size, factors: Size) -> Size:
    """Return the number of voxels (z, y, x) of a volume that is halved along the axes of factor 2."""
    z, y, x = (-(-length // factor) for length, factor in zip(size, factors, strict=True))
    return z, y, x


def halve_image(array: Array, factors: Size) -> Array:
    """Return the mean of every 2 voxels along the axes of factor 2.

    Parameters
    ----------
    array : (Z, Y, X) or (C, Z, Y, X) array of numbers
        A block that starts at even voxels, and ends at even ones or at the volume's end.
    factors : (z, y, x)
        1 or 2 each.

    Returns
    -------
    array of the same type
        Lengths are rounded up. Integers are rounded, halves to even.
    """
    result = _empty_half(array, factors)
    source = kernel_array(array)
    is_whole = array.dtype.kind in "uib"
    if is_whole and array.dtype.itemsize <= 4:
        # As exact as float64, and four times faster.
        sums = np.empty((2, result.shape[-1]), np.int32 if array.dtype.itemsize <= 2 else np.int64)
        for voxels, target in zip(each_channel(source), each_channel(kernel_array(result)), strict=True):
            _mean_of_integers(voxels, *factors, sums[0], sums[1], target)
        return result
    means = np.empty(result.shape, np.float64)
    rows = np.empty((2, result.shape[-1]), np.float64)
    for voxels, target in zip(each_channel(source), each_channel(means), strict=True):
        _mean_of_numbers(voxels, *factors, rows[0], rows[1], target)
    result[...] = as_integers(means, result.dtype) if is_whole else means
    return result


def halve_labels(array: Array, factors: Size) -> Array:
    """Return the most frequent id of every 2 voxels along the axes of factor 2, of several the lowest.

    Parameters
    ----------
    array : (Z, Y, X) or (C, Z, Y, X) array of integers or bool
        A block that starts at even voxels, and ends at even ones or at the volume's end.
    factors : (z, y, x)
        1 or 2 each.

    Returns
    -------
    array of the same type
        Lengths are rounded up.
    """
    result = _empty_half(array, factors)
    for voxels, target in zip(
        each_channel(kernel_array(array)), each_channel(kernel_array(result)), strict=True
    ):
        _vote(voxels, *factors, target)
    return result


def _empty_half(array: Array, factors: Size) -> Array:
    if not set(factors) <= {1, 2}:
        raise ValueError(f"factors are 1 or 2, not {factors}")
    z, y, x = array.shape[-3:]
    return np.empty(array.shape[:-3] + halved_size((z, y, x), factors), array.dtype.newbyteorder("="))


@njit(cache=True, nogil=True)
def _sum_rows(source: Array, z: int, y: int, fz: int, fy: int, fx: int, area: Array, volume: Array) -> int:
    """Sum the old rows of a new one, in the order of `resample_image`; return how many there are."""
    z_stop, y_stop = min(z * fz + fz, source.shape[0]), min(y * fy + fy, source.shape[1])
    pairs = source.shape[2] // fx
    volume[:] = 0
    for i in range(z * fz, z_stop):
        area[:] = 0
        for j in range(y * fy, y_stop):
            row = source[i, j]
            if fx == 2:
                for x in range(pairs):
                    area[x] += area.dtype.type(row[2 * x]) + area.dtype.type(row[2 * x + 1])
                if pairs < area.size:
                    area[pairs] += row[2 * pairs]
            else:
                for x in range(pairs):
                    area[x] += row[x]
        for x in range(area.size):
            volume[x] += area[x]
    return (z_stop - z * fz) * (y_stop - y * fy)  # type: ignore[no-any-return]


@njit(cache=True, nogil=True)
def _mean_of_integers(
    source: Array, fz: int, fy: int, fx: int, area: Array, volume: Array, target: Array
) -> None:
    pairs = source.shape[2] // fx
    for z in range(target.shape[0]):
        for y in range(target.shape[1]):
            rows = _sum_rows(source, z, y, fz, fy, fx, area, volume)
            out = target[z, y]
            _round(volume[:pairs], rows * fx, out[:pairs])
            _round(volume[pairs:], rows, out[pairs:])


@njit(cache=True, nogil=True)
def _round(sums: Array, count: int, out: Array) -> None:
    """Divide by a power of two, halves to even: add half less one, and one more where that ends odd."""
    shift = 0
    while 1 << shift < count:
        shift += 1
    if shift == 0:
        out[:] = sums
        return
    below_half = sums.dtype.type((1 << (shift - 1)) - 1)
    for x in range(out.size):
        out[x] = (sums[x] + below_half + ((sums[x] >> shift) & 1)) >> shift


@njit(cache=True, nogil=True)
def _mean_of_numbers(
    source: Array, fz: int, fy: int, fx: int, area: Array, volume: Array, target: Array
) -> None:
    pairs = source.shape[2] // fx
    for z in range(target.shape[0]):
        for y in range(target.shape[1]):
            rows = _sum_rows(source, z, y, fz, fy, fx, area, volume)
            target[z, y, :pairs] = volume[:pairs] / (rows * fx)
            target[z, y, pairs:] = volume[pairs:] / rows


@njit(cache=True, nogil=True)
def _vote(source: Array, fz: int, fy: int, fx: int, target: Array) -> None:
    ids = np.empty(8, source.dtype)
    for z in range(target.shape[0]):
        z_stop = min(z * fz + fz, source.shape[0])
        for y in range(target.shape[1]):
            y_stop = min(y * fy + fy, source.shape[1])
            for x in range(target.shape[2]):
                x_stop = min(x * fx + fx, source.shape[2])
                first = source[z * fz, y * fy, x * fx]
                is_one = True
                n = 0
                for i in range(z * fz, z_stop):
                    for j in range(y * fy, y_stop):
                        for k in range(x * fx, x_stop):
                            ids[n] = source[i, j, k]
                            is_one &= ids[n] == first
                            n += 1
                target[z, y, x] = first if is_one else _most_frequent(ids[:n])


@njit(cache=True, nogil=True)
def _most_frequent(ids: Array) -> int:
    """Return the most frequent of a few ids, of several the lowest."""
    best, best_votes = ids[0], 0
    for candidate in ids:
        votes = 0
        for other in ids:
            votes += other == candidate
        if votes > best_votes or (votes == best_votes and candidate < best):
            best, best_votes = candidate, votes
    return best  # type: ignore[no-any-return]
