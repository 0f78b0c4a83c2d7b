"""One block of a marker-controlled watershed that is computed block by block, exactly.

Floods never leave a component of the foreground (6-connected), and a component flooded alone gives what the
whole volume gives. A component with one marker need not be flooded at all: all of it is the marker's. So a
block floods the components with several markers that it holds whole, and hands on those that other blocks
share, to be flooded when all their voxels are together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numba import njit

from mitotools.segment.blockwise.flood import flood
from mitotools.segment.blockwise.places import core_runs, is_open, runs_in_core, sizes_and_firsts
from mitotools.segment.blockwise.run_sets import ordered
from mitotools.segment.blockwise.runs import components_of, runs_of
from mitotools.segment.blockwise.tables import Known, Shared, shared_table

if TYPE_CHECKING:
    from mitotools.conventions import Array, Mask, Size
    from mitotools.segment.blockwise.places import Flags, Integers, Place
    from mitotools.segment.blockwise.runs import Components

BYTES_PER_VOXEL = 20
"""Of a block, beside the maps: landscape, seeds, their runs, and the floods for which there is room."""

FLOODED_PART = 0.2
"""The part of a block that it floods itself, at most; the rest is flooded when the blocks are done, with an
eye on memory."""

SEVERAL = -1


@dataclass(frozen=True, eq=False)
class WatershedPart:
    """What a block knows of the whole watershed; voxels are runs in the volume (see `RUN`).

    Parameters
    ----------
    runs : array of RUN
        What is flooded, or need not be; ids are the block's own numbers of markers.
    markers : Known
        Those that stay, in this block alone, with the voxels that they reach in `runs`.
    shared_markers, shared_components : Shared
        What other blocks may share.
    pairs : (P, 2) int64
        The components that are not flooded yet, and the markers in them.
    open_runs : array of RUN
        Those components' voxels.
    values : (V,) array
        The landscape there.
    seeds : array of RUN
        The markers' voxels there.
    pieces : (O, 2) int64
        The open components, and how many of these two there are of each.
    found : (3,) int64
        Voxels of foreground, and of seeds, in the block as it is seen, and markers in this block alone that
        are large enough.
    """

    FILES: ClassVar = ("runs", "open_runs", "values", "seeds")

    runs: Array
    markers: Known
    shared_markers: Shared
    shared_components: Shared
    pairs: Integers
    open_runs: Array
    values: Array
    seeds: Array
    pieces: Integers
    found: Integers


@dataclass(frozen=True, eq=False)
class _Overlaps:
    """Where markers lie in components: pieces of runs.

    Parameters
    ----------
    starts, stops : (N,) int32, ascending
    components, markers : (N,) int32
    """

    starts: Array
    stops: Array
    components: Array
    markers: Array


def block_watershed(
    landscape: Array,
    seeds: Mask,
    min_seed_voxels: int,
    min_size_voxels: int,
    place: Place,
    flooded_part: float = FLOODED_PART,
) -> WatershedPart:
    """Flood the components that lie within a block, and describe what does not.

    Parameters
    ----------
    landscape : (Z, Y, X) uint8 or uint16
        Of the block and of the first plane of the next block along each axis, where there is one: 0 outside
        the foreground, else 1 to 256, flooded from high to low.
    seeds : (Z, Y, X) bool
        The markers' voxels.
    min_seed_voxels, min_size_voxels : int
        Least sizes of a marker, outside the foreground as well, and of an instance.
    place : Place
    flooded_part : float
        The part of the block's voxels that is flooded at most.
    """
    components = components_of(runs_of(landscape), 6)
    markers = components_of(runs_of(seeds), 26)
    overlaps = _overlaps_of(components, markers)
    sizes, firsts = sizes_and_firsts(markers, place)
    open_markers = is_open(markers, place)
    stays = ~open_markers & (sizes >= max(min_seed_voxels, 1))
    open_components = is_open(components, place)
    # Whether an open marker stays is not known here, and so not what becomes of the components it touches.
    open_components[overlaps.components[open_markers[overlaps.markers]]] = True
    voxels = np.zeros(components.count + 1, np.int64)
    np.add.at(voxels, components.numbers, components.runs.stops - components.runs.starts)
    only = _only(overlaps.components, overlaps.markers, stays, components.count)
    _open_largest(voxels, only, open_components, int(flooded_part * landscape.size))
    runs = _flooded(landscape, components, overlaps, open_components, only, stays, place)
    reached = np.zeros(markers.count + 1, np.int64)
    np.add.at(reached, runs["id"], runs["length"])
    is_pending = np.zeros(markers.count + 1, np.bool_)
    is_pending[overlaps.markers[open_components[overlaps.components]]] = True
    # What is complete and too small is dropped here, and never heard of again.
    kept = stays & ((reached >= max(min_size_voxels, 1)) | is_pending)
    ids = np.flatnonzero(kept)
    waiting = open_components[overlaps.components] & (stays | open_markers)[overlaps.markers]
    open_runs = core_runs(components, place, open_components)
    pieces = np.bincount(open_runs["id"], minlength=components.count + 1)
    pieces += np.bincount(overlaps.components[waiting], minlength=components.count + 1)
    return WatershedPart(
        runs=runs[kept[runs["id"]]],
        markers=Known(ids, firsts[ids], reached[ids]),
        shared_markers=shared_table(markers, open_markers, sizes, firsts, place, seeds),
        shared_components=shared_table(
            components, open_components, *sizes_and_firsts(components, place), place, landscape
        ),
        pairs=_pairs(overlaps, waiting),
        open_runs=open_runs,
        values=_values(landscape, open_runs, place),
        seeds=runs_in_core(
            overlaps.starts, overlaps.stops, overlaps.markers, waiting, components.runs.shape, place
        ),
        pieces=np.stack([np.flatnonzero(open_components), pieces[open_components]], axis=1),
        found=np.array(
            [voxels.sum(), (markers.runs.stops - markers.runs.starts).sum(), stays.sum()], np.int64
        ),
    )


def _overlaps_of(components: Components, markers: Components) -> _Overlaps:
    arguments = (components.runs.starts, components.runs.stops, components.numbers,
                 markers.runs.starts, markers.runs.stops, markers.numbers)  # fmt: skip
    found = np.empty((4, _overlap(*arguments, np.empty((4, 0), np.int32))), np.int32)
    _overlap(*arguments, found)
    return _Overlaps(*found)


def _pairs(overlaps: _Overlaps, wanted: Flags) -> Integers:
    """Return which components and markers overlap, each pair once."""
    names = overlaps.components[wanted].astype(np.int64) << 32 | overlaps.markers[wanted]
    found = np.unique(names)
    return np.stack([found >> 32, found & 0xFFFFFFFF], axis=1)


def _open_largest(voxels: Integers, only: Array, is_open: Flags, room: int) -> None:
    """Leave to others, in place, what this block has no room to flood."""
    several = np.flatnonzero((only == SEVERAL) & ~is_open)
    several = several[np.argsort(voxels[several], kind="stable")]
    is_open[several[np.cumsum(voxels[several]) > room]] = True


def _flooded(
    landscape: Array,
    components: Components,
    overlaps: _Overlaps,
    is_open: Flags,
    only: Array,
    stays: Flags,
    place: Place,
) -> Array:
    """Return the voxels that markers which stay reach in the components that are not open."""
    alone = core_runs(components, place, ~is_open & (only > 0))
    alone["id"] = only[alone["id"]]
    is_several = ~is_open & (only == SEVERAL)
    if not is_several.any():
        return alone
    several = core_runs(components, place, is_several)
    wanted = is_several[overlaps.components] & stays[overlaps.markers]
    seeds = runs_in_core(
        overlaps.starts, overlaps.stops, overlaps.markers, wanted, components.runs.shape, place
    )
    return ordered(alone, flood(several, _values(landscape, several, place), seeds, place.volume))


def _values(landscape: Array, runs: Array, place: Place) -> Array:
    """Return the landscape's voxels, run by run."""
    values = np.empty(int(runs["length"].sum()), landscape.dtype)
    _gather(landscape, runs, place.origin, place.volume, values)
    return values


@njit(cache=True, nogil=True)
def _gather(landscape: Array, runs: Array, origin: Size, volume: Size, values: Array) -> None:
    end = 0
    for run in runs:
        row = run.start // volume[2]
        z, y, x = row // volume[1] - origin[0], row % volume[1] - origin[1], run.start % volume[2] - origin[2]
        for k in range(run.length):
            values[end + k] = landscape[z, y, x + k]
        end += run.length


@njit(cache=True, nogil=True)
def _overlap(
    starts: Array, stops: Array, components: Array, seed_starts: Array, seed_stops: Array, markers: Array,
    found: Array,
) -> int:  # fmt: skip
    """Set the pieces of runs that two sets of runs share, as far as there is room, and count them."""
    count, near = 0, 0
    for seed in range(seed_starts.size):
        while near < starts.size and stops[near] <= seed_starts[seed]:
            near += 1
        other = near
        while other < starts.size and starts[other] < seed_stops[seed]:
            if count < found.shape[1]:
                found[0, count] = max(starts[other], seed_starts[seed])
                found[1, count] = min(stops[other], seed_stops[seed])
                found[2, count], found[3, count] = components[other], markers[seed]
            count += 1
            other += 1
    return count


@njit(cache=True, nogil=True)
def _only(components: Array, markers: Array, stays: Flags, count: int) -> Array:
    """Return the one marker that stays of each component; 0 where there is none, SEVERAL where there are."""
    only = np.zeros(count + 1, np.int32)
    for i in range(components.size):
        component, marker = components[i], markers[i]
        if not stays[marker] or only[component] == marker:
            continue
        only[component] = marker if only[component] == 0 else SEVERAL
    return only
