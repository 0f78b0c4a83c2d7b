"""The loops over voxels and planes behind `segment.measures.confidence`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Array
    from mitotools.segment.runs import Integers

    Floats = npt.NDArray[np.float64]
    Map = npt.NDArray[np.uint8]
    Sums = npt.NDArray[np.uint32]

MOST = 2**32 - 1
"""Sums over a plane stop here, in whatever order they are added up."""

LEAST_SHARE = 10
"""A neck has at least one in so many of the instance's voxels on either side."""


@njit(cache=True, nogil=True)
def extents(
    voxels: Integers, lengths: Integers, owners: Integers, count: int, directions: Integers, bases: Integers
) -> tuple[Integers, Integers]:
    """Return the first plane of each instance in each direction, and the number of its planes.

    Parameters
    ----------
    voxels, lengths, owners : (R, 3), (R,), (R,) int64
        The first voxels of runs along x, the runs' voxels, and the rows of the instances that they belong to.
    count : int
        The number of instances.
    directions : (D, 4) int64
        See `segment.measures.confidence.DIRECTIONS`.
    bases : (D,) int64
        What to add for the place of the arrays in the volume, before the shift.

    Returns
    -------
    low, planes : (count, D) int64
    """
    low = np.full((count, len(directions)), np.iinfo(np.int64).max)
    high = np.full((count, len(directions)), np.iinfo(np.int64).min)
    for i in range(len(voxels)):
        for d in range(len(directions)):
            start = _position(voxels[i], directions[d], bases[d])
            stop = start + directions[d, 2] * (lengths[i] - 1)
            first, last = start >> directions[d, 3], stop >> directions[d, 3]
            low[owners[i], d] = min(low[owners[i], d], first, last)
            high[owners[i], d] = max(high[owners[i], d], first, last)
    return low, high - low + 1


@njit(cache=True, nogil=True)
def add_runs(
    voxels: Integers,
    lengths: Integers,
    owners: Integers,
    labels: Array,
    mask: Map,
    contour: Map | None,
    sums: Integers,
) -> None:
    """Add the runs' voxels, mask, surface voxels and contour to the sums of their instances, in place.

    Parameters
    ----------
    voxels, lengths, owners
        As for `extents`.
    labels, mask, contour : (Z, Y, X) integer, uint8, uint8 or None
        Ids, and the maps.
    sums : (N, 4) int64
        Changed in place.
    """
    depth, height, width = labels.shape
    for i in range(len(voxels)):
        z, y, x = voxels[i]
        stop = x + lengths[i]
        own = labels[z, y, x]
        # A voxel at the arrays' edge is its own neighbour: beyond it there is nothing, and no branch is left.
        over, under = labels[max(z - 1, 0), y], labels[min(z + 1, depth - 1), y]
        before, behind = labels[z, max(y - 1, 0)], labels[z, min(y + 1, height - 1)]
        starts, ends = labels[z, y, max(x - 1, 0)] != own, labels[z, y, min(stop, width - 1)] != own
        total, surface, evidence = 0, 0, 0
        for j in range(x, stop):
            is_end = (starts & (j == x)) | (ends & (j == stop - 1))
            is_side = (over[j] != own) | (under[j] != own) | (before[j] != own) | (behind[j] != own)
            total += mask[z, y, j]
            surface += is_end | is_side
            if contour is not None:
                evidence += (is_end | is_side) * contour[z, y, j]
        sums[owners[i], 0] += lengths[i]
        sums[owners[i], 1] += total
        sums[owners[i], 2] += surface
        sums[owners[i], 3] += evidence


@njit(cache=True, nogil=True)
def add_planes(
    voxels: Integers,
    lengths: Integers,
    owners: Integers,
    mask: Map,
    directions: Integers,
    bases: Integers,
    targets: Integers,
    areas: Sums,
    masks: Sums,
) -> None:
    """Add the runs' voxels and mask to the planes that they lie in, in place.

    Parameters
    ----------
    voxels, lengths, owners, directions, bases
        As for `extents`.
    mask : (Z, Y, X) uint8
        The map.
    targets : (N, D) int64
        What to add to the number of a plane to find its place among the sums.
    areas, masks : (P,) uint32
        Changed in place.
    """
    for i in range(len(voxels)):
        z, y, x = voxels[i]
        row = mask[z, y, x : x + lengths[i]]
        total = row.sum()
        for d in range(len(directions)):
            position = _position(voxels[i], directions[d], bases[d])
            target, step, shift = targets[owners[i], d], directions[d, 2], directions[d, 3]
            if step == 0:  # the whole run lies in one plane
                _add(areas, target + (position >> shift), lengths[i])
                _add(masks, target + (position >> shift), total)
                continue
            for value in row:
                _add(areas, target + (position >> shift), 1)
                _add(masks, target + (position >> shift), value)
                position += step


@njit(cache=True, nogil=True)
def add_profiles(
    lengths: Integers, places: Integers, areas: Sums, masks: Sums, all_areas: Sums, all_masks: Sums
) -> None:
    """Add the profiles of a part to those of the whole, in place.

    Parameters
    ----------
    lengths, places : (L,) int64
        Planes of each profile, and where its first one lies among all.
    areas, masks : (P,) uint32
        Profiles, one after the other.
    all_areas, all_masks : (Q,) uint32
        Changed in place.
    """
    plane = 0
    for i in range(len(lengths)):
        for place in range(places[i], places[i] + lengths[i]):
            _add(all_areas, place, areas[plane])
            _add(all_masks, place, masks[plane])
            plane += 1


@njit(cache=True, nogil=True)
def necks(voxels: Integers, lengths: Integers, areas: Sums, masks: Sums) -> tuple[Floats, Floats]:
    """Find the neck of each instance.

    The neck is the plane with the smallest ratio of its area to that of the smaller lobe, which is the lesser
    of the two largest areas before and after it in its profile, among all planes of all directions with at
    least a tenth of the instance's voxels before and as many after it. Of equal ratios the lower mean mask
    counts. A plane without a voxel, between parts that touch nowhere, has ratio and mask 0.

    Parameters
    ----------
    voxels : (N,) int64
        Sizes.
    lengths : (N, D) int64
        Planes of each profile.
    areas, masks : (P,) uint32
        Voxels in each plane, and the mask's sum over them.

    Returns
    -------
    narrowness : (N,) float64
        The ratio, but no more than 1; 1 where an instance is too small to have a plane that may be its neck.
    mean : (N,) float64
        Mean mask over the neck, 0 to 1; NaN where there is no such plane.
    """
    narrowness, means = np.full(len(voxels), np.inf), np.full(len(voxels), np.nan)
    start = 0
    for i in range(len(voxels)):
        for planes in lengths[i]:
            ratio, mean = _neck(voxels[i], areas[start : start + planes], masks[start : start + planes])
            if ratio < narrowness[i] or (ratio == narrowness[i] and mean < means[i]):
                narrowness[i], means[i] = ratio, mean
            start += planes
    return np.minimum(narrowness, 1), means


@njit(cache=True, nogil=True)
def _neck(voxels: int, areas: Sums, masks: Sums) -> tuple[float, float]:
    """Return ratio and mean mask of the narrowest plane of one profile; infinity and NaN if there is none."""
    after = np.zeros(len(areas), np.uint32)
    for p in range(len(areas) - 2, -1, -1):
        after[p] = max(after[p + 1], areas[p + 1])
    narrowest, least_mean = np.inf, np.nan
    before, passed = np.int64(0), np.int64(0)
    for p in range(len(areas)):
        area = np.int64(areas[p])
        if LEAST_SHARE * min(passed, voxels - passed - area) >= voxels:
            ratio = area / min(before, after[p])
            mean = masks[p] / area / 255 if area > 0 else 0.0
            if ratio < narrowest or (ratio == narrowest and mean < least_mean):
                narrowest, least_mean = ratio, mean
        before = max(before, area)
        passed += area
    return narrowest, least_mean


@njit(cache=True, nogil=True)
def _position(voxel: Integers, direction: Integers, base: int) -> int:
    position: int = base + direction[0] * voxel[0] + direction[1] * voxel[1] + direction[2] * voxel[2]
    return position


@njit(cache=True, nogil=True)
def _add(sums: Sums, place: int, amount: int) -> None:
    total = np.int64(sums[place]) + np.int64(amount)
    sums[place] = total if total < MOST else MOST
