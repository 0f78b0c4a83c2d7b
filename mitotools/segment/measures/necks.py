"""Beads, the necks between them, and nanotunnels, from the radius along a skeleton.

The radius is taken for a height. As a water level falls from the top, islands rise, and grow together at
saddles: the tree of these mergers (the merge tree) knows each constriction with the two peaks that it
parts, and needs no window along the skeleton. A saddle is a constriction if it is lower than the lower of
its two peaks by more than the radius can be wrong by; it is a neck if its radius is at most `NECK` of that
peak's. What necks part are beads: in one piece, one more than necks. In a ring of two beads only the wider
of the two necks parts them, as the narrower one is not on the way.

The string score is 1 less the smallest ratio of a constriction's radius and that of the thinner of the
peaks it parts: 0 without constriction, 0.5 or more with a neck, near 1 for beads on a thread. It needs no
threshold on the neck, and one thread is enough: what is known as mitochondria-on-a-string are beads, joined
by double membranes 40-60 nm thin (Zhang et al., Sci. Rep. 6:18725, 2016). How many beads there are is a
column of its own.

A nanotunnel is a thin stretch, 40-200 nm in diameter, that leaves a body (Vincent et al., Trends Cell Biol.
27:787, 2017). Here: at most `TUNNEL_NM` thick, at most half as thick as the thickest place of its piece,
outside all balls around thicker points (where a body tapers, the skeleton is thin but in the body still),
and longer than thick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from mitotools.segment.measures.skeleton_graph import parts

if TYPE_CHECKING:
    from mitotools.conventions import Array, Mask
    from mitotools.segment.measures.skeleton_graph import Floats, Graph
    from mitotools.segment.runs import Integers

NECK = 0.5
"""Largest radius of a neck, in radii of the thinner of the two beads that it joins."""

TUNNEL_NM = 200.0
"""Largest diameter of a nanotunnel."""

TUNNEL = 0.5
"""Largest diameter of a nanotunnel, in parts of the largest diameter of its piece."""


@dataclass(frozen=True)
class Necks:
    """The constrictions of an instance.

    Parameters
    ----------
    beads : int
        Necks and pieces, together.
    neck_radius : float
        Of the narrowest neck, in the unit of the graph; NaN without one.
    string_score : float
        0 to 1.
    """

    beads: int
    neck_radius: float
    string_score: float


@dataclass(frozen=True)
class Tunnels:
    """The nanotunnels of an instance.

    Parameters
    ----------
    length : float
        Of all together.
    diameter : float
        Mean along their length; NaN without one.
    """

    length: float
    diameter: float


def find_necks(graph: Graph, resolution: float) -> Necks:
    """Find the necks of a skeleton.

    Parameters
    ----------
    graph : Graph
    resolution : float
        By how much a constriction is narrower than what it parts, at least.
    """
    saddles = constrictions(graph)
    saddles = saddles[saddles[:, 1] - saddles[:, 0] >= resolution]
    ratios = saddles[:, 0] / saddles[:, 1]
    necks = saddles[ratios <= NECK, 0]
    pieces = len(np.unique(parts(len(graph.points), graph.edges)))
    return Necks(
        beads=len(necks) + pieces,
        neck_radius=float(necks.min()) if len(necks) else np.nan,
        string_score=1 - float(ratios.min()) if len(ratios) else 0.0,
    )


def constrictions(graph: Graph) -> Floats:
    """Return the saddles of the radius along a skeleton.

    Returns
    -------
    (S, 2) float64
        The radius of a saddle, and that of the lower of the two peaks that it parts.
    """
    lowest = graph.radii[graph.edges].min(axis=1)
    order = np.argsort(-lowest, kind="stable")
    saddles: Floats = _merge(graph.radii, graph.edges[order], lowest[order])
    return saddles


@njit(nogil=True, cache=True)
def _merge(radii: Array, edges: Array, lowest: Array) -> Array:
    """Join points by edges, the thickest first; return where two peaks meet."""
    parents = np.arange(len(radii))
    peaks = radii.copy()
    saddles = np.empty((len(edges), 2), np.float64)
    count = 0
    for edge, radius in zip(edges, lowest):  # noqa: B905 (numba)
        first, second = edge[0], edge[1]
        while parents[first] != first:
            parents[first] = parents[parents[first]]
            first = parents[first]
        while parents[second] != second:
            parents[second] = parents[parents[second]]
            second = parents[second]
        if first == second:
            continue
        lower = min(peaks[first], peaks[second])
        if radius < lower:
            saddles[count] = radius, lower
            count += 1
        parents[second] = first
        peaks[first] = max(peaks[first], peaks[second])
    return saddles[:count]


def find_tunnels(graph: Graph, unit_nm: float = 1.0) -> Tunnels:
    """Find the nanotunnels of a skeleton, whose lengths are in units of so many nm."""
    thin = _thin(graph, TUNNEL_NM / 2 / unit_nm)
    ends = thin[graph.edges]
    inside = ends.all(axis=1)
    stretch = parts(len(graph.points), graph.edges[inside])
    shares = graph.lengths * ends.sum(axis=1) / 2
    # The half of an edge that leaves a stretch belongs to it, and is as thick as its point on this side.
    member = np.where(ends[:, 0], graph.edges[:, 0], graph.edges[:, 1])
    mean = np.where(inside, graph.radii[graph.edges].mean(axis=1), graph.radii[member])
    count = len(graph.points)
    lengths = np.bincount(stretch[member], shares, count)
    widths = np.bincount(stretch[member], 2 * shares * mean, count)
    # An end goes on to its pole, one radius further.
    poles = np.flatnonzero(thin & (graph.degrees == 1))
    lengths += np.bincount(stretch[poles], graph.radii[poles], count)
    widths += np.bincount(stretch[poles], 2 * graph.radii[poles] ** 2, count)
    kept = lengths**2 > widths
    length = float(lengths[kept].sum())
    return Tunnels(length, float(widths[kept].sum()) / length if length else np.nan)


def _thin(graph: Graph, radius: float) -> Mask:
    """Return which points are thin enough for a nanotunnel, and outside all bodies: (N,) bool."""
    piece = parts(len(graph.points), graph.edges)
    thickest = np.zeros(len(graph.points))
    np.maximum.at(thickest, piece, graph.radii)
    thin: Mask = graph.radii <= np.minimum(radius, TUNNEL * thickest[piece])
    _drop_covered(graph.points, graph.radii, thin, np.flatnonzero(thin), np.flatnonzero(~thin))
    return thin


@njit(nogil=True, cache=True)
def _drop_covered(points: Floats, radii: Floats, thin: Mask, those: Integers, balls: Integers) -> None:
    """Unmark the points that lie in a ball around a thicker one."""
    for point in those:
        for ball in balls:
            difference = points[point] - points[ball]
            if (difference * difference).sum() < radii[ball] ** 2:
                thin[point] = False
                break
