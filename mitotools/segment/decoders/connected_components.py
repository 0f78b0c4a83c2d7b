"""Connected components of the mask, or of the mask without its contours (``cc``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from mitotools.segment.components import connected_components, drop_small, grey_level, smallest_labels
from mitotools.segment.decoders import decoder

if TYPE_CHECKING:
    from mitotools.conventions import Labels, Maps, Mask
    from mitotools.parameters import DecodeParameters

REACH_VOXELS = 2
"""How far a voxel may be from the component that it joins, along y and along x."""


def decode(maps: Maps, parameters: DecodeParameters) -> Labels:
    """Split maps into instances by connected components (26).

    With a mask alone the instances are the components of the mask above `foreground`. With a contour map they
    are the components of the mask above `foreground` where the contour is below `seed_contour`; then every
    other voxel of the mask that has a component in the window (1, 5, 5) around it joins the nearest one
    (Euclidean distance in voxels, ties to the lower number). Joined voxels draw in no others, and may be the
    only contact between two instances.

    Parameters
    ----------
    maps : (C, Z, Y, X) array of uint8
        Mask, or mask and contour: probabilities times 255.
    parameters : DecodeParameters
        The thresholds `foreground` and `seed_contour`, and the least size of an instance, joined voxels
        included.

    Returns
    -------
    (Z, Y, X) array of the smallest unsigned type
        Instances numbered 1..n in raster order of the first voxel of their component, joined voxels not
        counted.

    Raises
    ------
    InputError
        If the maps have other channels.

    References
    ----------
    D. Wei et al., MitoEM Dataset: Large-scale 3D Mitochondria Instance Segmentation from EM Images, MICCAI
    2020 (U3D-B, U3D-BC).
    """
    decoder("cc").require(maps)
    foreground: Mask = maps[0] > grey_level(parameters.foreground)
    if len(maps) == 1:
        labels, count = connected_components(foreground, 26)
    else:
        cores = foreground & (maps[1] < grey_level(parameters.seed_contour))
        labels, count = connected_components(cores, 26)
        _join(labels, foreground)
    count = drop_small(labels, count, parameters.min_size_voxels)
    return smallest_labels(labels, count)


@njit(cache=True, nogil=True)
def _join(labels: Labels, foreground: Mask) -> None:
    """Label the foreground near components, in place."""
    depth, height, width = labels.shape
    for z in range(depth):
        components = labels[z].copy()  # joined voxels must draw in no others
        for y in range(height):
            for x in range(width):
                if foreground[z, y, x] and components[y, x] == 0:
                    labels[z, y, x] = _nearest(components, y, x)


@njit(cache=True, nogil=True)
def _nearest(components: Labels, y: int, x: int) -> np.uint32:
    """Return the nearest component in the window, the lowest of those equally near, or 0."""
    height, width = components.shape
    found = np.uint32(0)
    found_distance = 2 * REACH_VOXELS**2 + 1
    for near_y in range(max(y - REACH_VOXELS, 0), min(y + REACH_VOXELS + 1, height)):
        for near_x in range(max(x - REACH_VOXELS, 0), min(x + REACH_VOXELS + 1, width)):
            component = components[near_y, near_x]
            distance = (near_y - y) ** 2 + (near_x - x) ** 2
            if component == 0 or distance > found_distance:
                continue
            if distance < found_distance or component < found:
                found, found_distance = component, distance
    return found
