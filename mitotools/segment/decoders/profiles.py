"""Profiles, the components of single slices, linked along z where they overlap (``iou``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numba import njit
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mitotools.segment.blockwise.painting import paint
from mitotools.segment.blockwise.places import Place, core_runs, is_open, sizes_and_firsts
from mitotools.segment.blockwise.runs import components_of, runs_of
from mitotools.segment.blockwise.tables import Known, Shared, shared_table
from mitotools.segment.components import grey_level

if TYPE_CHECKING:
    from mitotools.conventions import Array, Labels, Maps, Mask, Size
    from mitotools.parameters import DecodeParameters
    from mitotools.segment.blockwise.places import Flags, Integers
    from mitotools.segment.blockwise.runs import Components

BYTES_PER_VOXEL = 16
"""Of a block, beside the maps: the mask, its runs, and the table of profiles."""


@dataclass(frozen=True, eq=False)
class ProfilesPart:
    """What a block knows of chains of profiles; voxels are runs in the volume (see `RUN`).

    Parameters
    ----------
    runs : array of RUN
        Ids are the block's own numbers: of a chain its first profile.
    known : Known
        The chains that cannot reach into other blocks.
    shared : Shared
        The profiles that others may hold a part of, or link.
    overlaps : (P, 3) int64
        Pairs of those in neighbouring slices, the upper one of lower z first, and the voxels that lie one
        above the other in the block itself.
    found : (1,) int64
        Voxels of all profiles in the block itself.
    """

    FILES: ClassVar = ("runs",)

    runs: Array
    known: Known
    shared: Shared
    overlaps: Integers
    found: Integers


def decode(maps: Maps, parameters: DecodeParameters) -> Labels:
    """Split a mask into instances slice by slice, and track them by IoU.

    Profiles are the 8-connected components of each slice of the mask above `foreground`. Between neighbouring
    slices, pairs with an IoU of at least `link_iou` are linked, best first, one to one, ties to the lower
    numbers. Chains of profiles are instances.

    Parameters
    ----------
    maps : (1, Z, Y, X) array of uint8
        Mask: probabilities times 255.
    parameters : DecodeParameters
        `foreground`, `link_iou`, and the least size of an instance.

    Returns
    -------
    (Z, Y, X) array of the smallest unsigned type
        Instances numbered 1..n in raster order of their first voxel.

    References
    ----------
    C. Xiao et al., Automatic Mitochondria Segmentation for EM Data Using a 3D Supervised Convolutional
    Network, Frontiers in Neuroanatomy 12, 2018.
    """
    place = Place.whole(maps.shape[1:])
    part = block_part(maps, parameters, place)
    ids = part.known.ids  # ascending, and so in the order of first voxels
    labels = np.zeros(place.core, np.min_scalar_type(ids.size))
    paint(labels, part.runs, np.searchsorted(ids, part.runs["id"]) + 1, place.origin, place.volume)
    return labels


def block_part(maps: Maps, parameters: DecodeParameters, place: Place) -> ProfilesPart:
    """Link the profiles of a block, and describe those that others may link.

    Parameters
    ----------
    maps : (1, Z, Y, X) array of uint8
        Of the block and of the first plane of the next block along each axis, where there is one.
    parameters : DecodeParameters
    place : Place
    """
    mask: Mask = maps[0] > grey_level(parameters.foreground)
    profiles = components_of(runs_of(mask), 8)
    sizes, firsts = sizes_and_firsts(profiles, place)
    overlaps = _overlaps_of(profiles, place)
    is_shared = is_open(profiles, place)
    # A profile in the next slice is another block's, and what it is linked to is not known here.
    open_profiles = _reaching(is_shared | (sizes == 0), overlaps)
    open_profiles[0] = False
    is_shared = open_profiles & (is_shared | (sizes > 0) | np.isin(np.arange(sizes.size), overlaps[:, :2]))
    is_inside = ~open_profiles[overlaps[:, 0]]
    chains = linked(overlaps[is_inside], sizes, firsts, parameters.link_iou)
    voxels = np.zeros(chains.size, np.int64)
    np.add.at(voxels, chains, sizes)
    is_first = (chains == np.arange(chains.size)) & ~open_profiles
    ids = np.flatnonzero(is_first & (voxels >= max(parameters.min_size_voxels, 1)))
    stays = open_profiles.copy()
    stays[ids] = True
    runs = core_runs(profiles, place, stays[chains])
    runs["id"] = chains[runs["id"]]
    return ProfilesPart(
        runs,
        Known(ids, firsts[ids], voxels[ids]),
        shared_table(profiles, is_shared, sizes, firsts, place, mask),
        overlaps[~is_inside & (overlaps[:, 2] > 0)],
        sizes.sum(keepdims=True),
    )


def linked(overlaps: Integers, sizes: Integers, firsts: Integers, link_iou: float) -> Integers:
    """Return for each profile the first of its chain.

    Pairs in neighbouring slices are linked best first, one to one.

    Parameters
    ----------
    overlaps : (P, 3) int64
        Profile, profile in the next slice, voxels that lie one above the other.
    sizes : (N,) int64
        Voxels of each profile.
    firsts : (N,) int64
        First voxel of each, which decides between equals.
    link_iou : float
        Compared with a quotient of integers that is rounded as the decimal was: equal means equal.

    Returns
    -------
    (N,) int64
    """
    upper, lower, shared = overlaps.T
    iou = shared / np.maximum(sizes[upper] + sizes[lower] - shared, 1)
    wanted = np.flatnonzero((iou >= link_iou) & (shared > 0))
    order = wanted[np.lexsort((firsts[lower[wanted]], firsts[upper[wanted]], -iou[wanted]))]
    chains = np.arange(sizes.size)
    links = _link(upper[order], lower[order], sizes.size)
    # A chain is followed from its start: profiles in the order of their slices.
    by_slice = np.argsort(firsts, kind="stable")
    _follow(by_slice, links, chains)
    return chains


def _overlaps_of(profiles: Components, place: Place) -> Integers:
    """Return which profiles overlap in neighbouring slices, and the voxels in the block itself."""
    runs = profiles.runs
    arguments = (runs.starts, runs.stops, profiles.numbers, runs.shape, place.core)
    found = np.empty((_overlap(*arguments, np.empty((0, 3), np.int64)), 3), np.int64)
    _overlap(*arguments, found)
    names, at = np.unique(found[:, 0] << 32 | found[:, 1], return_inverse=True)
    voxels = np.zeros(names.size, np.int64)
    np.add.at(voxels, at, found[:, 2])
    return np.stack([names >> 32, names & 0xFFFFFFFF, voxels], axis=1)


def _reaching(open_profiles: Flags, overlaps: Integers) -> Flags:
    """Return which profiles hang together with open ones, through any overlaps."""
    upper, lower, _ = overlaps.T
    count = open_profiles.size
    edges = coo_array((np.ones(upper.size, np.bool_), (upper, lower)), shape=(count, count))
    _, groups = connected_components(edges, directed=False)
    reached = np.zeros(count, np.bool_)
    reached[groups[open_profiles]] = True
    found: Flags = reached[groups]
    return found


@njit(cache=True, nogil=True)
def _overlap(starts: Array, stops: Array, numbers: Array, shape: Size, core: Size, found: Array) -> int:
    """Set what runs share with those of the next slice, as far as there is room, and count it."""
    _, height, width = shape
    plane = height * width
    count, near = 0, 0
    for run in range(starts.size):
        row = starts[run] // width
        z, y, x = row // height, row % height, starts[run] - row * width
        if z >= core[0]:
            break
        first, last = starts[run] + plane, stops[run] + plane
        inside = row * width + core[2] + plane if y < core[1] else 0  # where voxels of others begin
        while near < starts.size and stops[near] <= first:
            near += 1
        other = near
        while other < starts.size and starts[other] < last:
            if count < found.shape[0]:
                a, b = max(first, starts[other]), min(last, stops[other], inside)
                found[count, 0], found[count, 1] = numbers[run], numbers[other]
                found[count, 2] = max(b - a, 0) if x < core[2] else 0
            count += 1
            other += 1
    return count


@njit(cache=True, nogil=True)
def _link(upper: Integers, lower: Integers, count: int) -> Integers:
    """Return the profile in the slice before that each is linked to, or -1."""
    before = np.full(count, -1, np.int64)
    is_linked = np.zeros(count, np.bool_)
    for i in range(upper.size):
        if not is_linked[upper[i]] and before[lower[i]] < 0:
            is_linked[upper[i]] = True
            before[lower[i]] = upper[i]
    return before


@njit(cache=True, nogil=True)
def _follow(order: Integers, before: Integers, chains: Integers) -> None:
    for profile in order:
        if before[profile] >= 0:
            chains[profile] = chains[before[profile]]
