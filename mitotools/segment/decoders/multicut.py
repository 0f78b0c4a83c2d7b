"""Supervoxels joined by a multicut of their region graph (``multicut``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array, csgraph
from skimage.morphology import local_maxima

from mitotools.errors import UsageError, extra
from mitotools.segment.affinities import as_instances
from mitotools.segment.components import connected_components, grey_level, renumber, smallest_labels

if TYPE_CHECKING:
    from types import ModuleType

    import numpy.typing as npt

    from mitotools.conventions import Array, Labels, Maps, Mask
    from mitotools.parameters import DecodeParameters

    Map = npt.NDArray[np.uint8]
    Floats = npt.NDArray[np.float64]

KINDS = ("3d", "2d")
"""Supervoxels of the volume, or superpixels of each slice."""

CERTAIN = 0.001
"""Evidence is kept this far from 0 and 1, so that costs are finite."""


def decode(maps: Maps, parameters: DecodeParameters) -> Labels:
    """Split maps into instances by a multicut of supervoxels.

    The foreground (mask above `foreground`) is cut into supervoxels: markers are the places farthest from the
    boundaries, and grow along low boundary evidence, which is the contour, or 255 - mask without a contour
    map. Two supervoxels that touch by a face are an edge of a graph, with the mean evidence p of the voxels
    on both sides; `multicut` says what it costs to cut it, and how a partition of low cost is found.
    Foreground in which the evidence is nowhere below `seed_contour` has no marker, and becomes background.

    Evidence from a mask alone is below 1 - `foreground` in the foreground: only a `beta` above `foreground`
    cuts there.

    It takes whole maps in memory, and 19 bytes a voxel besides (13 for superpixels; measured). Where the
    evidence is level, where fronts meet is up to the library's queue: the same on every run of one version.

    Parameters
    ----------
    maps : (C, Z, Y, X) array of uint8
        Mask, or mask and contour: probabilities times 255.
    parameters : DecodeParameters
        `foreground`; `seed_contour`, from which on evidence is a boundary; `supervoxels`, "3d", or "2d" for
        anisotropic voxels: superpixels of each slice, in one graph with edges in the plane and across
        slices; `beta`, above 0 and below 1, more of which cuts more; and the least size of an instance.

    Returns
    -------
    (Z, Y, X) array of the smallest unsigned type
        Instances numbered 1..n in raster order of their first voxel; each is 6-connected.

    Raises
    ------
    UsageError
        If there is no such kind of supervoxel, or `beta` is out of range.
    MitotoolsError
        If the library of the graph is not installed.
    """
    _check(parameters)
    foreground: Mask = maps[0] > grey_level(parameters.foreground)
    evidence = np.ascontiguousarray(maps[1]) if len(maps) == 2 else 255 - maps[0]
    interior: Mask = foreground & (evidence < grey_level(parameters.seed_contour))
    regions, count = _supervoxels(foreground, interior, evidence, parameters.supervoxels)
    if count == 0:
        return smallest_labels(regions, 0)
    del foreground, interior
    instances = multicut(*_region_graph(regions, evidence), count, parameters.beta)
    renumber(regions.reshape(-1), np.append(0, instances + 1).astype(np.uint32))
    return as_instances(regions, count, parameters.min_size_voxels)


def _check(parameters: DecodeParameters) -> None:
    if parameters.supervoxels not in KINDS:
        raise UsageError(f"supervoxels {parameters.supervoxels}", f"there are {' and '.join(KINDS)}")
    if not 0 < parameters.beta < 1:
        raise UsageError(f"beta {parameters.beta}", "not above 0 and below 1")


def _supervoxels(foreground: Mask, interior: Mask, evidence: Map, kind: str) -> tuple[Labels, int]:
    """Flood each slab, the volume or a slice of it, from its own markers; numbers go on from slab to slab."""
    regions = np.zeros(foreground.shape, np.uint32)
    step, count = (1 if kind == "2d" else max(len(regions), 1)), 0
    for z in range(0, len(regions), step):
        slab = slice(z, z + step)
        markers, found = _markers(interior[slab])
        if found == 0:
            continue
        height = evidence[slab].astype(np.float32)
        flooded = _library().segmentation.watershed(height, markers, mask=foreground[slab])
        np.add(flooded, np.uint32(count), out=regions[slab], where=flooded > 0)
        count += found
    return regions, count


def _markers(interior: Mask) -> tuple[Labels, int]:
    """Label the places farthest from the outside, in whole voxels.

    Rounded down, distances have few maxima of their own on rough surfaces, and none is lost: every
    6-connected part of the interior keeps one.
    """
    if not interior.any():
        return np.zeros(interior.shape, np.uint32), 0
    distance = _library().distance.distance_transform(interior)
    peaks: Mask = local_maxima(np.minimum(distance, 255).astype(np.uint8), connectivity=1)
    return connected_components(peaks & interior)


def _region_graph(regions: Labels, evidence: Map) -> tuple[Array, Floats]:
    """Return the pairs of regions that touch, (E, 2) from 0 on, and their mean evidence, (E,) 0 to 1."""
    graph = _library().graph
    touching = graph.region_adjacency_graph(regions, number_of_threads=1)
    mean = graph.features.edge_map_features(touching, regions, evidence, number_of_threads=1)[:, 0] / 255
    pairs: Array = touching.uv_ids()
    inside = pairs[:, 0] > 0  # the lower number comes first, and 0 is the background
    return pairs[inside] - 1, mean[inside]


def multicut(pairs: Array, evidence: Floats, count: int, beta: float) -> npt.NDArray[np.int32]:
    """Partition regions so that the cost of all edges between different parts is low.

    An edge with evidence p of a boundary costs ``log((1-p)/p) + log((1-beta)/beta)`` to cut: more than
    nothing where p is below 1 - beta. The partition is found by greedy additive edge contraction, and
    improved by Kernighan-Lin moves; regions between which nothing attracts are solved apart, which loses
    nothing. It is the same on every run, but not always the best there is, which is hard to find.

    Parameters
    ----------
    pairs : (E, 2) uint64
        The edges: regions from 0 on, the lower one first, each edge once.
    evidence : (E,) float64
        Probability of a boundary between the two.
    count : int
        The number of regions.
    beta : float
        Above 0 and below 1; a larger one cuts more.

    Returns
    -------
    (count,) int32
        Part of each region, from 0 on in the order of the parts' first regions. Each part is connected.

    References
    ----------
    T. Beier et al., Multicut brings automated neurite segmentation closer to human performance, Nature
    Methods 14, 2017 (costs). M. Keuper et al., Efficient decomposition of image and mesh graphs by lifted
    multicuts, ICCV 2015 (both solvers). A. Alush and J. Goldberger, Break and conquer: efficient correlation
    clustering for image segmentation, SIMBAD 2013 (solving apart).
    """
    graph = _library().graph
    cut = np.clip(evidence, CERTAIN, 1 - CERTAIN)
    costs = np.log((1 - cut) / cut) + np.log((1 - beta) / beta)
    edges = graph.UndirectedGraph.from_unique_edges(count, pairs)
    solver = graph.multicut.KernighanLinMulticut()  # which starts from the greedy contraction
    apart = graph.multicut.MulticutDecomposer(solver, number_of_threads=1)
    found = apart.optimize(graph.multicut.MulticutObjective(edges, costs))
    # Moves may leave a part in pieces without an edge between them: 8 of 300 random graphs had one.
    kept = pairs[found[pairs[:, 0]] == found[pairs[:, 1]]].astype(np.int64)
    uncut = coo_array((np.ones(len(kept), bool), kept.T), shape=(count, count))
    parts: npt.NDArray[np.int32] = csgraph.connected_components(uncut, directed=False)[1]
    return parts


def _library() -> ModuleType:
    with extra("method multicut", "the library bioimage-cpp", "multicut"):
        import bioimage_cpp  # noqa: PLC0415 (an extra)
    library: ModuleType = bioimage_cpp
    return library
