"""Watershed basins of an affinity graph, and their size-dependent single linkage.

The method is that of A. Zlateski and H. S. Seung, Image Segmentation by Size-Dependent Single Linkage
Clustering of a Watershed Basin Graph, arXiv 1505.00249, 2015; `segment.decoders.zwatershed` says
what is done in which order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from mitotools.segment.components import renumber, sizes_voxels

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Array, Labels, Maps, Size

    Edges = npt.NDArray[np.uint8]
    """(3, N) affinities of the voxels and their neighbours before."""
    Bytes = npt.NDArray[np.uint8]
    Positions = npt.NDArray[np.int64]

# The six neighbours in raster order; the opposite of d is 5 - d.
UNSETTLED = 6
LEVELS = 256
LARGEST_UINT32 = 2**32


def watershed_basins(maps: Maps, low: int, high: int) -> tuple[Labels, int]:
    """Label the basins of the steepest ascents.

    Parameters
    ----------
    maps : (3, Z, Y, X) array of uint8
        Affinities z, y, x; C-contiguous, 0 where an edge leaves the volume.
    low : int
        Edges at most this are cut. A voxel without any other is background.
    high : int
        Edges above this all count as equally high.

    Returns
    -------
    labels : (Z, Y, X) array of uint32, or uint64 beyond 2**32 voxels
        Basins numbered 1..n by their first voxel in raster order.
    count : int
        n.
    """
    _, depth, height, width = maps.shape
    steepest = np.empty((depth, height, width), np.uint8)
    foreground = _steepest(maps, low, high, steepest)
    index_type: Any = np.uint32 if steepest.size <= LARGEST_UINT32 else np.uint64
    steps, flat = _steps(steepest.shape), steepest.reshape(-1)
    towards = _settle(flat, steps, np.empty(foreground, index_type))
    labels: Labels = np.arange(steepest.size, dtype=index_type)
    _join(flat, towards, steps, labels)
    return labels.reshape(steepest.shape), _number_roots(labels, flat)


def merge_basins(maps: Maps, labels: Labels, count: int, level: int, size_voxels: int) -> int:
    """Merge neighbouring basins, in place, by size-dependent single linkage.

    Parameters
    ----------
    maps : (3, Z, Y, X) array of uint8
        Affinities z, y, x; C-contiguous, 0 where an edge leaves the volume.
    labels : (Z, Y, X) array of unsigned integers
        Basins numbered 1..count by their first voxel; C-contiguous. A merged basin takes the lower number,
        and the gaps are closed.
    count : int
        The largest label.
    level : int
        Only edges above this merge.
    size_voxels : int
        Two basins that both have so many voxels stay apart.

    Returns
    -------
    int
        The number of basins left.
    """
    edges, flat = maps.reshape(3, -1), labels.reshape(-1)
    sizes = sizes_voxels(labels, count)
    size_voxels = min(size_voxels, labels.size)  # which no two have, and any larger does not fit int64
    before = _steps(labels.shape)[:3]
    faces = _faces(edges, flat, before, sizes, level, size_voxels)
    basins = np.arange(count + 1, dtype=labels.dtype)
    _link(faces, flat, before, sizes, size_voxels, basins)
    left = _number_roots(basins, (basins > 0).astype(np.uint8))
    renumber(flat, basins)
    return left


def _steps(shape: Size) -> Positions:
    """Return how far the six neighbours are in raster order."""
    _, height, width = shape
    return np.array([-height * width, -width, -1, 1, width, height * width], np.int64)


@njit(cache=True, nogil=True)
def _steepest(maps: Maps, low: int, high: int, steepest: Bytes) -> int:
    """Set the bit of each direction of steepest ascent, and return the number of voxels that have one."""
    depth, height, width = steepest.shape
    values = np.empty(6, np.int64)
    foreground = 0
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                values[0] = maps[0, z, y, x]
                values[1] = maps[1, z, y, x]
                values[2] = maps[2, z, y, x]
                values[3] = maps[2, z, y, x + 1] if x < width - 1 else 0
                values[4] = maps[1, z, y + 1, x] if y < height - 1 else 0
                values[5] = maps[0, z + 1, y, x] if z < depth - 1 else 0
                steepest[z, y, x] = _highest(values, low, high)
                foreground += steepest[z, y, x] != 0
    return foreground


@njit(cache=True, nogil=True)
def _highest(values: Positions, low: int, high: int) -> int:
    """Return the bits of the highest values, where all those above `high` are equally high."""
    highest = min(values.max(), high + 1)
    bits = 0
    if highest > low:
        for d in range(6):
            if values[d] >= highest:
                bits |= 1 << d
    return bits


@njit(cache=True, nogil=True)
def _settle(steepest: Bytes, steps: Positions, queue: Array) -> Bytes:
    """Return the one direction that each voxel takes which can leave its plateau, or `UNSETTLED`."""
    towards = np.full(steepest.size, UNSETTLED, np.uint8)
    end = 0
    for i in range(steepest.size):
        for d in range(6):
            if steepest[i] >> d & 1 and not steepest[i + steps[d]] >> (5 - d) & 1:
                towards[i] = d
                queue[end] = i
                end += 1
                break
    start = 0
    while start < end:
        voxel = np.int64(queue[start])
        start += 1
        for d in range(6):
            if steepest[voxel] >> d & 1:
                near = voxel + steps[d]
                if towards[near] == UNSETTLED and steepest[near] >> (5 - d) & 1:
                    towards[near] = 5 - d
                    queue[end] = near
                    end += 1
    return towards


@njit(cache=True, nogil=True)
def _join(steepest: Bytes, towards: Bytes, steps: Positions, parents: Labels) -> None:
    """Join every voxel with the one that it goes to, or with its whole plateau if that is a summit."""
    for i in range(steepest.size):
        if towards[i] != UNSETTLED:
            _unite(parents, i, i + steps[towards[i]])
            continue
        for d in range(3):
            if steepest[i] >> d & 1:
                _unite(parents, i, i + steps[d])


@njit(cache=True, nogil=True)
def _faces(
    edges: Edges, labels: Labels, before: Positions, sizes: Positions, level: int, size_voxels: int
) -> Positions:
    """Return the faces, 3 i + axis, where basins may merge: highest first, then in raster order.

    Faces between two basins that are too large already are left out: basins only grow.
    """
    starts = np.zeros(LEVELS + 1, np.int64)
    for i in range(labels.size):
        for axis in range(3):
            if edges[axis, i] > level and _may_merge(labels[i], labels[i + before[axis]], sizes, size_voxels):
                starts[LEVELS - edges[axis, i]] += 1
    starts = np.cumsum(starts)
    faces = np.empty(starts[LEVELS], np.int64)
    for i in range(labels.size):
        for axis in range(3):
            if edges[axis, i] > level and _may_merge(labels[i], labels[i + before[axis]], sizes, size_voxels):
                rank = LEVELS - 1 - edges[axis, i]
                faces[starts[rank]] = 3 * i + axis
                starts[rank] += 1
    return faces


@njit(cache=True, nogil=True)
def _may_merge(a: np.int64, b: np.int64, sizes: Positions, size_voxels: int) -> bool:
    return bool(a != b and min(sizes[a], sizes[b]) < size_voxels)


@njit(cache=True, nogil=True)
def _link(
    faces: Positions, labels: Labels, before: Positions, sizes: Positions, size_voxels: int, basins: Labels
) -> None:
    """Merge the basins on either side of each face, unless both are large."""
    for face in faces:
        i = face // 3
        a = _root(basins, labels[i])
        b = _root(basins, labels[i + before[face % 3]])
        if _may_merge(a, b, sizes, size_voxels):
            total = sizes[a] + sizes[b]
            _unite(basins, a, b)
            sizes[min(a, b)] = total


@njit(cache=True, nogil=True)
def _root(parents: Labels, i: np.int64 | int) -> np.int64:
    root = np.int64(i)
    while parents[root] != root:
        parents[root] = parents[parents[root]]
        root = np.int64(parents[root])
    return root


@njit(cache=True, nogil=True)
def _unite(parents: Labels, i: np.int64 | int, j: np.int64 | int) -> None:
    """Join two trees; the root is the lower index, so that it is the first voxel."""
    a, b = _root(parents, i), _root(parents, j)
    if a < b:
        parents[b] = a
    else:
        parents[a] = b


@njit(cache=True, nogil=True)
def _number_roots(parents: Labels, is_foreground: Bytes) -> int:
    """Turn trees whose parents are lower indices into numbers, in place; background becomes 0."""
    count = 0
    for i in range(parents.size):
        if parents[i] != i:
            parents[i] = parents[parents[i]]
        elif is_foreground[i]:
            count += 1
            parents[i] = count
        else:
            parents[i] = 0
    return count
