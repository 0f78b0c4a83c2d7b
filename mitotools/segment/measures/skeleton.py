"""Length, branches, thickness, necks and nanotunnels of one instance, along its skeleton.

The mask comes on cubic voxels (`segment.measures.skeleton_grid`), is thinned there (`skeleton_thin`) and
becomes a graph (`skeleton_graph`), of which spurs are cut off and whose paths are smoothed. Lengths go from
pole to pole: ends are prolonged to the surface. Radii are those of the largest balls inside, around the
skeleton.

Measured at 30, 8, 8 nm, rods 800 nm long between the middles of their round ends, in ten directions: of
radius 50, 100, 200 nm length -2 to 1, -2 to 2, -7 to 0 %; mean thickness -14 to -5, -11 to -1, -11 to -2 %;
largest thickness -14 to -4, -7 to -1, -5 to -2 %: where slices are 30 nm thick, a radius is known to half
of that. Balls of radius 300 nm: length -1 to 4 %; of 100 nm -4 to 16 %. A ring -1.6 %, a helix -1.0 %, a
fork of three arms -0.3 %. Three beads joined by necks of radius 20, 30, 50 nm: 11 to 23, 20 to 29, 43 to 49
nm, the lowest where they lie along slices. Tubes of diameter 60, 100, 160 nm that leave a body: 36 to 57,
80 to 93, 141 to 151 nm; their length -9 to 1 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import edt
import numpy as np

from mitotools.segment.measures.necks import find_necks, find_tunnels
from mitotools.segment.measures.skeleton_graph import branches, extensions, graph_of, prune, smooth
from mitotools.segment.measures.skeleton_grid import cubes, without_cavities
from mitotools.segment.measures.skeleton_thin import thin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.conventions import Array, Mask, VoxelSize
    from mitotools.segment.measures.skeleton_graph import Graph
    from mitotools.segment.measures.skeleton_grid import Cubes

NM_PER_UM = 1000.0

COUNTS = ("skeleton_voxels", "branches", "branch_points", "end_points")
"""Columns that need no voxel size."""

LENGTHS = (
    "skeleton_length_um",
    "thickness_mean_nm",
    "thickness_max_nm",
    "neck_radius_nm",
    "beads",
    "string_score",
    "nanotunnel_diameter_nm",
    "nanotunnel_length_um",
)
"""Columns that do: on voxels of unknown shape a neck's radius has no meaning either."""


@dataclass(frozen=True, eq=False)
class Skeleton:
    """What an instance is along its skeleton.

    Parameters
    ----------
    skeleton_voxels : int
        Of the mask thinned on its own grid, whatever its voxels' shape: to compare with others' counts.
    branches : int
        Between ends and forks; a ring and a lone point are one each.
    branch_points, end_points : int
        Forks and ends. A lone point has two ends.
    skeleton_length_um : float
        Of all branches together, from pole to pole.
    thickness_mean_nm, thickness_max_nm : float
        Diameters: mean along the skeleton, and of the largest ball inside.
    neck_radius_nm : float
        Of the narrowest neck; NaN without one. See `segment.measures.necks`, also for what follows.
    beads : int
    string_score : float
    nanotunnel_diameter_nm : float
        Mean along their length; NaN without one.
    nanotunnel_length_um : float
        0 without one.
    """

    skeleton_voxels: int
    branches: int
    branch_points: int
    end_points: int
    skeleton_length_um: float
    thickness_mean_nm: float
    thickness_max_nm: float
    neck_radius_nm: float
    beads: int
    string_score: float
    nanotunnel_diameter_nm: float
    nanotunnel_length_um: float


def measure_skeleton(mask: Mask, voxel_size_nm: VoxelSize | None) -> Skeleton:
    """Measure an instance along its skeleton.

    Parameters
    ----------
    mask : (Z, Y, X) bool
        In its tight bounding box; at least one voxel, in one piece or several.
    voxel_size_nm : (z, y, x) or None
        None if unknown: then lengths are in voxels taken for cubes, and `skeleton_columns` leaves them out.

    Returns
    -------
    Skeleton
    """
    grid = cubes(without_cavities(mask), voxel_size_nm)
    distance = edt.edt(grid.mask, parallel=1)
    graph = smooth(prune(graph_of(thin(grid.mask), distance)))
    return _described(graph, grid, float(distance.max()), int(np.count_nonzero(thin(np.pad(mask, 1)))))


def _described(graph: Graph, grid: Cubes, largest_radius: float, skeleton_voxels: int) -> Skeleton:
    """Return what a smoothed graph, in working voxels, says."""
    side = grid.side
    lone, degrees = graph.degrees == 0, graph.degrees
    # A constriction less than one working voxel deep may be the grid's.
    necks = find_necks(graph, resolution=1.0)
    tunnels = find_tunnels(graph, side)
    return Skeleton(
        skeleton_voxels=skeleton_voxels,
        branches=len(branches(graph)),
        branch_points=int(np.count_nonzero(degrees > 2)),
        end_points=int(np.count_nonzero(degrees == 1) + 2 * np.count_nonzero(lone)),
        skeleton_length_um=float(graph.lengths.sum() + extensions(graph, grid.mask).sum()) * side / NM_PER_UM,
        thickness_mean_nm=2 * _mean_radius(graph) * side,
        thickness_max_nm=2 * largest_radius * side,
        neck_radius_nm=necks.neck_radius * side,
        beads=necks.beads,
        string_score=necks.string_score,
        nanotunnel_diameter_nm=tunnels.diameter * side,
        nanotunnel_length_um=tunnels.length * side / NM_PER_UM,
    )


def _mean_radius(graph: Graph) -> float:
    """Return the mean radius along the edges, and of lone points, which stand for their diameter each."""
    lone = graph.radii[graph.degrees == 0]
    weights = np.concatenate([graph.lengths, 2 * lone])
    return float(np.average(np.concatenate([graph.radii[graph.edges].mean(axis=1), lone]), weights=weights))


def skeleton_columns(skeletons: Sequence[Skeleton], *, is_size_known: bool) -> dict[str, Array | None]:
    """Return a table of skeletons.

    Parameters
    ----------
    skeletons : sequence of Skeleton
    is_size_known : bool
        Whether they were measured with a voxel size.

    Returns
    -------
    dict of (N,) int64 or float64
        By the names in `COUNTS` and `LENGTHS`; without a voxel size the latter are None.
    """
    counts: dict[str, Array | None] = {
        name: np.array([getattr(one, name) for one in skeletons], np.int64) for name in COUNTS
    }
    if not is_size_known:
        return counts | dict.fromkeys(LENGTHS)
    for name in LENGTHS:
        kind = np.int64 if name == "beads" else np.float64
        counts[name] = np.array([getattr(one, name) for one in skeletons], kind)
    return counts
