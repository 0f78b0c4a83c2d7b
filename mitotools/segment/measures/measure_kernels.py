"""The loops over runs and voxels behind `segment.measures.measure`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numba import njit

if TYPE_CHECKING:
    from mitotools.conventions import Array
    from mitotools.segment.measures.row_runs import Places
    from mitotools.segment.runs import Integers


@njit(cache=True, nogil=True)
def add_moments(
    places: Places,
    owners: Integers,
    core: Integers,
    origin: Integers,
    voxels: Integers,
    starts: Integers,
    stops: Integers,
    sums: Integers,
    products: Integers,
) -> None:
    """Add the runs to size, extent and moments of their instances, in place.

    Parameters
    ----------
    places, owners
        See `segment.measures.row_runs.RowRuns`.
    core : (3,) int64
        What lies from there on along an axis is not counted.
    origin : (3,) int64
        Of the block in the volume.
    voxels, starts, stops, sums, products : (N,), (N, 3), (N, 3), (N, 3), (N, 6) int64
        See `segment.measures.measure.Measurements`; changed.
    """
    for i in range(len(owners)):
        stop = min(places[i, 3], core[2])
        n = stop - places[i, 2]
        if places[i, 0] >= core[0] or places[i, 1] >= core[1] or n <= 0:
            continue
        z, y, x = origin[0] + places[i, 0], origin[1] + places[i, 1], origin[2] + places[i, 2]
        steps = n * (n - 1) // 2
        sum_x = n * x + steps
        sum_xx = n * x * x + 2 * x * steps + steps * (2 * n - 1) // 3
        own = owners[i]
        voxels[own] += n
        for axis, first, last in ((0, z, z), (1, y, y), (2, x, x + n - 1)):
            starts[own, axis] = min(starts[own, axis], first)
            stops[own, axis] = max(stops[own, axis], last + 1)
        sums[own, 0] += n * z
        sums[own, 1] += n * y
        sums[own, 2] += sum_x
        products[own, 0] += n * z * z
        products[own, 1] += n * y * y
        products[own, 2] += sum_xx
        products[own, 3] += n * z * y
        products[own, 4] += z * sum_x
        products[own, 5] += y * sum_x


@njit(cache=True, nogil=True)
def add_exits(
    labels: Array,
    places: Places,
    owners: Integers,
    steps: Integers,
    low: Integers,
    core: Integers,
    exits: Integers,
) -> None:
    """Add the voxels whose neighbour one step on is not of the same instance, in place.

    A pair of voxels is counted in the block that holds the lower corner of their bounding box, so that
    blocks need voxels beyond their upper sides alone.

    Parameters
    ----------
    labels : (Z, Y, X) unsigned integer
        The block, with a margin beyond its upper sides unless the volume ends there.
    places, owners
        See `segment.measures.row_runs.RowRuns`.
    steps : (D, 3) int64
        Voxels (z, y, x).
    low, core : (3,) int64
        Where the lower corners lie, half-open.
    exits : (N, D) int64
        Changed.
    """
    depth, height, width = labels.shape
    for i in range(len(owners)):
        z, y, start, stop = places[i]
        own = labels[z, y, start]
        for d in range(len(steps)):
            dz, dy, dx = steps[d]
            back_z, back_y, back_x = min(dz, 0), min(dy, 0), min(dx, 0)
            if not (low[0] <= z + back_z < core[0] and low[1] <= y + back_y < core[1]):
                continue
            first, last = max(start, low[2] - back_x), min(stop, core[2] - back_x)
            if first >= last:
                continue
            count = last - first
            if 0 <= z + dz < depth and 0 <= y + dy < height:
                row = labels[z + dz, y + dy]
                for x in range(max(first + dx, 0), min(last + dx, width)):
                    count -= row[x] == own
            exits[owners[i], d] += count


@njit(cache=True, nogil=True)
def list_touches(labels: Array, places: Places, core: Integers, one: Array, other: Array, axes: Array) -> int:
    """List the faces along z, y and x behind which another instance lies, as far as there is room.

    Parameters
    ----------
    labels, places, core
        As for `add_exits`.
    one, other : (F,) array of the labels' type
        Ids on both sides; changed.
    axes : (F,) int8
        The axis that each face is normal to; changed.

    Returns
    -------
    int
        The number of faces.
    """
    depth, height, width = labels.shape
    found = 0
    for z, y, start, stop in places:
        last = min(stop, core[2])
        if z >= core[0] or y >= core[1] or start >= last:
            continue
        own = labels[z, y, start]
        for axis, dz, dy, dx in ((0, 1, 0, 0), (1, 0, 1, 0), (2, 0, 0, 1)):
            if z + dz < depth and y + dy < height:
                row = labels[z + dz, y + dy]
                for x in range(start + dx, min(last + dx, width)):
                    if row[x] != own and row[x] != 0:
                        if found < one.size:
                            one[found], other[found], axes[found] = own, row[x], axis
                        found += 1
    return found


@njit(cache=True, nogil=True)
def add_greys(raw: Array, places: Places, owners: Integers, core: Integers, greys: Integers) -> None:
    """Add the grey values and their squares to the sums of their instances, in place.

    Parameters
    ----------
    raw : (Z, Y, X) integer of 8 or 16 bits
        The block without its margin.
    places, owners, core
        As for `add_moments`.
    greys : (N, 2) int64
        Changed.
    """
    for i in range(len(owners)):
        z, y, start, stop = places[i]
        if z >= core[0] or y >= core[1]:
            continue
        total, squares = 0, 0
        for x in range(start, min(stop, core[2])):
            value = int(raw[z, y, x])
            total += value
            squares += value * value
        greys[owners[i], 0] += total
        greys[owners[i], 1] += squares
