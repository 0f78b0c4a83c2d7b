"""A thinned mask as a graph: points, the steps between them, and branches from end or fork to end or fork."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Array, Mask
    from mitotools.segment.runs import Integers

    Floats = npt.NDArray[np.float64]

SMOOTHING = 0.5
"""Standard deviation, in radii of the branch, of the Gaussian that takes the steps of voxels off a path."""

_OFFSETS = np.array(list(product((-1, 0, 1), repeat=3)))


@dataclass(frozen=True, eq=False)
class Graph:
    """Points of a skeleton.

    Parameters
    ----------
    points : (N, 3) float64
        (z, y, x).
    radii : (N,) float64
        Of the largest ball around a point, in the same unit.
    edges : (M, 2) int64
        Neighbours, every pair once.
    """

    points: Floats
    radii: Floats
    edges: Integers

    @property
    def degrees(self) -> Integers:
        """The number of neighbours of each point: (N,) int64."""
        return np.bincount(self.edges.ravel(), minlength=len(self.points)).astype(np.int64)

    @property
    def lengths(self) -> Floats:
        """The lengths of the edges: (M,) float64."""
        ends = self.points[self.edges]
        lengths: Floats = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
        return lengths

    def without(self, dropped: Mask) -> Graph:
        """Return the graph without some points and their edges; `dropped` is (N,) bool."""
        numbers = np.cumsum(~dropped) - 1
        edges = self.edges[~dropped[self.edges].any(axis=1)]
        return Graph(self.points[~dropped], self.radii[~dropped], numbers[edges])


def parts(count: int, edges: Integers) -> Integers:
    """Return the number of the connected part, from 0, that each of some points is in: (count,) int64."""
    ones = np.ones(len(edges), np.int8)
    matrix = coo_array((ones, (edges[:, 0], edges[:, 1])), shape=(count, count))
    found: Integers = connected_components(matrix, directed=False)[1].astype(np.int64)
    return found


def graph_of(thinned: Mask, distance: npt.NDArray[np.float32]) -> Graph:
    """Return a skeleton's voxels as a graph, in voxels.

    Voxels are neighbours across faces, edges and corners. Neighbours that have three neighbours or more are
    one point, in their middle: where branches meet there are several, and triangles among them.

    Parameters
    ----------
    thinned : (Z, Y, X) bool
        Without voxels at the border.
    distance : (Z, Y, X) float32
        From voxels inside to the nearest outside, middle to middle, in voxels.

    Returns
    -------
    Graph
        The radius is the largest distance among a voxel and its 26 neighbours: a skeleton's voxel may lie
        beside the middle. The distance goes to the middle of a voxel outside, which is half a voxel too far
        from a flat surface; but of all voxels around a tube the nearest lies hardly beyond its surface.
    """
    voxels = np.argwhere(thinned)
    steps = np.asarray(np.ravel_multi_index(tuple((_OFFSETS + 1).T), thinned.shape))
    steps -= steps[len(steps) // 2]
    flat: Integers = np.asarray(np.ravel_multi_index(tuple(voxels.T), thinned.shape))
    radii = distance.reshape(-1)[flat[:, np.newaxis] + steps].max(axis=1).astype(np.float64)
    edges = _neighbours(flat, steps[steps > 0])
    forks = np.bincount(edges.ravel(), minlength=len(flat)) >= 3
    merged = parts(len(flat), edges[forks[edges].all(axis=1)])
    sizes = np.bincount(merged)
    points = np.stack([np.bincount(merged, axis) for axis in voxels.T], axis=1) / sizes[:, np.newaxis]
    widest = np.zeros(len(sizes))
    np.maximum.at(widest, merged, radii)
    pairs = np.sort(merged[edges], axis=1)
    return Graph(points, widest, np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0).reshape(-1, 2))


def _neighbours(flat: Integers, steps: Integers) -> Integers:
    """Return the pairs of ascending flat indices that are one of some steps apart: (M, 2) numbers."""
    aims = flat[:, np.newaxis] + steps
    places = np.minimum(np.searchsorted(flat, aims), len(flat) - 1)
    first, step = np.nonzero(flat[places] == aims)
    return np.stack([first, places[first, step]], axis=1).astype(np.int64)


def branches(graph: Graph) -> list[Integers]:
    """Return the points along each branch, both ends included: those of a closed ring begin and end alike.

    A branch ends in a point that has not two neighbours. A lone point is a branch.
    """
    count = len(graph.points)
    both = np.concatenate([graph.edges, graph.edges[:, ::-1]])
    numbers = np.tile(np.arange(len(graph.edges)), 2)
    order = np.argsort(both[:, 0], kind="stable")
    starts = np.searchsorted(both[order, 0], np.arange(count + 1))
    path, ends = _trace(starts, both[order, 1], numbers[order], len(graph.edges))
    return np.split(path, ends[:-1]) if len(ends) else []


@njit(nogil=True, cache=True)
def _trace(starts: Array, others: Array, numbers: Array, edges: int) -> tuple[Array, Array]:
    """Return the branches one after another, and where each of them ends.

    Point p has the neighbours others[starts[p] : starts[p + 1]], by the edges of these numbers.
    """
    path, ends = np.empty(2 * edges + len(starts), np.int64), np.empty(edges + len(starts), np.int64)
    seen = np.zeros(edges, np.bool_)
    filled, found = 0, 0
    degrees = np.diff(starts)
    for rings in (False, True):
        for first in range(len(degrees)):
            if degrees[first] == 0 and not rings:
                path[filled] = first
                filled += 1
                ends[found] = filled
                found += 1
            if (degrees[first] == 2) != rings:
                continue
            for leaving in range(starts[first], starts[first + 1]):
                if seen[numbers[leaving]]:
                    continue
                path[filled] = first
                filled += 1
                way = leaving
                while way >= 0:
                    seen[numbers[way]] = True
                    point = others[way]
                    path[filled] = point
                    filled += 1
                    way = -1
                    if degrees[point] == 2 and point != first:
                        way = starts[point] + (1 if seen[numbers[starts[point]]] else 0)
                ends[found] = filled
                found += 1
    return path[:filled], ends[:found]


def prune(graph: Graph) -> Graph:
    """Return the graph without spurs: branches so short that the balls around their end and their fork touch.

    Such a branch leads to a bump of the surface that is no higher than wide.
    Of several at one fork the shortest goes first: the others may then be a part of a longer branch.
    """
    while True:
        dropped = _spurs(graph)
        if not dropped.any():
            return graph
        graph = graph.without(dropped)


def _spurs(graph: Graph) -> Mask:
    """Return the points of the shortest spur at each fork: (N,) bool."""
    degrees = graph.degrees
    shortest: dict[int, tuple[float, Integers]] = {}
    for path in branches(graph):
        inwards = path if degrees[path[0]] == 1 else path[::-1]
        fork = int(inwards[-1])
        if degrees[inwards[0]] != 1 or degrees[fork] < 3:
            continue
        length = float(np.linalg.norm(np.diff(graph.points[path], axis=0), axis=1).sum())
        reach = graph.radii[fork] + graph.radii[inwards[0]]
        if length < min(reach, shortest.get(fork, (np.inf,))[0]):
            shortest[fork] = length, inwards[:-1]
    dropped = np.zeros(len(graph.points), np.bool_)
    for _, points in shortest.values():
        dropped[points] = True
    return dropped


def smooth(graph: Graph) -> Graph:
    """Return the graph with the steps of voxels taken off its branches; ends and forks stay in their places.

    Paths through voxels are up to 12 % too long. The Gaussian is as wide as `SMOOTHING` says: a path has no
    turns that are narrower than what it is the middle of.
    """
    points = graph.points.copy()
    for path in branches(graph):
        if len(path) > 2:
            sigma = SMOOTHING * float(graph.radii[path].mean())
            points[path] = _smoothed(graph.points[path], sigma, closed=graph.degrees[path[0]] == 2)
    return replace(graph, points=points)


def extensions(graph: Graph, mask: Mask) -> Floats:
    """Return how far each end of a smoothed skeleton is from its pole, the surface ahead; 0 for other points.

    Thinning takes about a radius off a curve's ends, more or less. Ahead is where the last radius of the
    branch points to; a pole is at least one radius away (the ball around an end is inside), at most two. A
    lone point has two poles, one radius away each.

    Parameters
    ----------
    graph : Graph
        In voxels.
    mask : (Z, Y, X) bool
        Without voxels at the border.

    Returns
    -------
    (N,) float64
    """
    degrees = graph.degrees
    result = np.where(degrees == 0, 2 * graph.radii, 0.0)
    for path in branches(graph):
        for inwards in (path, path[::-1]):
            if degrees[inwards[0]] == 1:
                result[inwards[0]] = _ahead(graph.points[inwards], graph.radii[inwards[0]], mask)
    return result


def _ahead(inwards: Floats, radius: float, mask: Mask) -> float:
    """Return the distance from the end of a path, (L, 3) from there, to the surface ahead."""
    gone = np.linalg.norm(inwards - inwards[0], axis=1)
    direction = inwards[0] - inwards[np.argmax(gone >= min(radius, gone.max()))]
    way = np.arange(radius, 2 * radius, 0.25)
    places = np.rint(inwards[0] + way[:, np.newaxis] * direction / np.linalg.norm(direction)).astype(np.int64)
    inside = mask[tuple(np.clip(places, 0, np.array(mask.shape) - 1).T)]
    return float(way[np.argmin(inside)] if not inside.all() else 2 * radius)


def _smoothed(path: Floats, sigma: float, *, closed: bool) -> Floats:
    """Return a path of voxels, (L, 3), smoothed; an open one keeps its ends."""
    if closed:
        ring: Floats = gaussian_filter1d(path[:-1], sigma, axis=0, mode="wrap")
        return np.concatenate([ring, ring[:1]])
    beyond = min(len(path) - 1, int(4 * sigma + 1))
    # Turned about its ends, the path goes on as it came.
    longer = np.pad(path, ((beyond, beyond), (0, 0)), mode="reflect", reflect_type="odd")
    result: Floats = gaussian_filter1d(longer, sigma, axis=0)[beyond : len(longer) - beyond]
    return result
