"""Marker-controlled watershed: markers far from the contours grow through the mask (``mw``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mitotools.segment.components import connected_components, drop_small, grey_level, smallest_labels
from mitotools.segment.decoders import decoder
from mitotools.segment.flood import flood

if TYPE_CHECKING:
    from mitotools.conventions import Labels, Maps, Mask
    from mitotools.parameters import DecodeParameters


def decode(maps: Maps, parameters: DecodeParameters) -> Labels:
    """Split maps into instances by a marker-controlled watershed.

    Markers are the 26-connected components of the voxels with a high mask and, if there is a contour map, a
    low contour. They grow through the foreground, highest mask first (see `flood`). The contour shapes the
    markers only.

    Parameters
    ----------
    maps : (C, Z, Y, X) array of uint8
        Mask, or mask and contour: probabilities times 255.
    parameters : DecodeParameters
        The thresholds `seed_foreground`, `seed_contour` and `foreground`, and the least sizes of a marker
        (counted before the cut by the foreground) and of an instance. An instance has at least one voxel,
        even where no least size is asked for.

    Returns
    -------
    (Z, Y, X) array of the smallest unsigned type
        Instances numbered 1..n in raster order of their marker's first voxel.

    Raises
    ------
    InputError
        If the maps have other channels.

    References
    ----------
    D. Wei et al., MitoEM Dataset: Large-scale 3D Mitochondria Instance Segmentation from EM Images, MICCAI
    2020 (U3D-BC+MW).
    """
    decoder("mw").require(maps)
    labels, count = connected_components(_seeds(maps, parameters), 26)
    count = drop_small(labels, count, parameters.min_seed_voxels)
    flood(np.ascontiguousarray(maps[0]), labels, grey_level(parameters.foreground))
    count = drop_small(labels, count, parameters.min_size_voxels)
    return smallest_labels(labels, count)


def _seeds(maps: Maps, parameters: DecodeParameters) -> Mask:
    seeds: Mask = maps[0] > grey_level(parameters.seed_foreground)
    if len(maps) == 2:
        seeds &= maps[1] < grey_level(parameters.seed_contour)
    return seeds
