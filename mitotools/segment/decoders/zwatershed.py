"""Size-dependent single linkage of the basins of an affinity watershed (``zwatershed``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mitotools.segment.affinities import watershed_levels
from mitotools.segment.basins import merge_basins, watershed_basins
from mitotools.segment.components import drop_small, grey_level, smallest_labels

if TYPE_CHECKING:
    from mitotools.conventions import Labels, Maps
    from mitotools.parameters import DecodeParameters


def decode(maps: Maps, parameters: DecodeParameters) -> Labels:
    """Split affinity maps into instances by a watershed and size-dependent single linkage.

    1. Edges at most `affinity_low` are cut; a voxel without any other is background. Edges above
       `affinity_high` count as equally high.
    2. Every voxel points along all its highest edges. One that points to a voxel that does not point back
       keeps the first such direction in the order z-1, y-1, x-1, x+1, y+1, z+1. Such voxels, in raster order,
       start a breadth-first search through those that point to each other; a voxel that it reaches keeps the
       direction back to where it was reached from. Basins are the components of what the voxels point to.
    3. Edges above `merge_affinity` between two basins are taken from high to low, equal ones in raster order
       of their later voxel, then in the order z, y, x. The basins on either side, as merged so far, merge
       unless both have `merge_size_voxels` or more. This is single linkage of the basin graph weighted by the
       highest edge of each pair: after that one, the pair is one basin or two that stay apart.
    4. Instances below `min_size_voxels` are dropped.

    The labels depend on the maps and the parameters alone. It takes linear time, but for the union-find, and
    the whole maps in memory.

    Parameters
    ----------
    maps : (3, Z, Y, X) array of uint8
        Affinities z, y, x to the neighbour before: probabilities times 255. Edges that leave the volume are
        ignored.
    parameters : DecodeParameters
        `affinity_low` (T_min), `affinity_high` (T_max), `merge_affinity` (T_e), `merge_size_voxels` (T_s) and
        `min_size_voxels`.

    Returns
    -------
    (Z, Y, X) array of the smallest unsigned type
        Instances numbered 1..n in raster order of their first voxel.

    Raises
    ------
    UsageError
        If `affinity_low` is not below `affinity_high`.

    References
    ----------
    A. Zlateski, H. S. Seung, Image Segmentation by Size-Dependent Single Linkage Clustering of a Watershed
    Basin Graph, arXiv 1505.00249, 2015. There, a function of the affinity says below which size basins merge;
    here it is T_s above T_e and 0 below.
    """
    low, high = watershed_levels(parameters)
    edges = np.array(maps, order="C")
    edges[0, :1] = edges[1, :, :1] = edges[2, :, :, :1] = 0
    labels, count = watershed_basins(edges, low, high)
    level = max(low, grey_level(parameters.merge_affinity))
    count = merge_basins(edges, labels, count, level, parameters.merge_size_voxels)
    count = drop_small(labels, count, parameters.min_size_voxels)
    return smallest_labels(labels, count)
