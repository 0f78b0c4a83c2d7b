"""Connected components of the mask, or of the mask without its contours (``cc``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numba import njit
from scipy import ndimage

from mitotools.segment.blockwise.painting import paint
from mitotools.segment.blockwise.places import Place, core_runs, is_open, sizes_and_firsts
from mitotools.segment.blockwise.runs import components_of, runs_of
from mitotools.segment.blockwise.tables import Known, Shared, shared_table
from mitotools.segment.components import drop_small, grey_level, smallest_labels

if TYPE_CHECKING:
    from mitotools.conventions import Array, Labels, Maps, Mask
    from mitotools.parameters import DecodeParameters
    from mitotools.segment.blockwise.places import Integers

BYTES_PER_VOXEL = 20
"""Of a block, beside the maps: the mask, its runs, and labels of the second step."""

REACH_VOXELS = 2
"""How far a voxel may be from the component that it joins, along y and along x."""

WINDOW_VOXELS = (2 * REACH_VOXELS + 1) ** 2
"""A component grows to that many times its size at most."""


@dataclass(frozen=True, eq=False)
class ComponentsPart:
    """What a block knows of components; voxels are runs in the volume (see `RUN`).

    Parameters
    ----------
    runs : array of RUN
        Ids are the block's own numbers.
    known : Known
        The components in this block alone.
    shared : Shared
    firsts : (N + 1,) int64
        First voxel of every component in the block itself, by the block's own numbers.
    found : (1,) int64
        Voxels of all components in the block itself.
    """

    FILES: ClassVar = ("runs", "firsts")

    runs: Array
    known: Known
    shared: Shared
    firsts: Integers
    found: Integers


def decode(maps: Maps, parameters: DecodeParameters) -> Labels:
    """Split maps into instances by connected components (26).

    With a mask alone the instances are the components of the mask above `foreground`. With a contour map they
    are the components of the mask above `foreground` where the contour is below `seed_contour`, grown within
    the window (1, 5, 5) around each voxel (see `grown`).

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

    References
    ----------
    D. Wei et al., MitoEM Dataset: Large-scale 3D Mitochondria Instance Segmentation from EM Images, MICCAI
    2020 (U3D-B, U3D-BC).
    """
    place = Place.whole(maps.shape[1:])
    part = block_part(maps, parameters, place)
    labels = np.zeros(place.core, np.uint32)
    paint(labels, part.runs, part.runs["id"], place.origin, place.volume)
    if len(maps) > 1:
        labels = grown(labels, maps[0] > grey_level(parameters.foreground), parameters.as_program)
    count = drop_small(labels, part.firsts.size - 1, parameters.min_size_voxels)
    return smallest_labels(labels, count)


def block_part(maps: Maps, parameters: DecodeParameters, place: Place) -> ComponentsPart:
    """Find the 26-connected components of a block.

    Parameters
    ----------
    maps : (C, Z, Y, X) array of uint8
        Of the block and of the first plane of the next block along each axis, where there is one.
    parameters : DecodeParameters
    place : Place
    """
    mask: Mask = maps[0] > grey_level(parameters.foreground)
    if len(maps) > 1:
        mask &= maps[1] < grey_level(parameters.seed_contour)
    components = components_of(runs_of(mask), 26)
    sizes, firsts = sizes_and_firsts(components, place)
    open_components = is_open(components, place)
    ids = np.flatnonzero(~open_components & (sizes >= max(least_voxels(parameters, len(maps)), 1)))
    return ComponentsPart(
        core_runs(components, place, np.ones(components.count + 1, np.bool_)),
        Known(ids, firsts[ids], sizes[ids]),
        shared_table(components, open_components, sizes, firsts, place, mask),
        firsts,
        sizes.sum(keepdims=True),
    )


def least_voxels(parameters: DecodeParameters, channels: int) -> int:
    """Return the voxels of a component that may become a large enough instance."""
    return -(-parameters.min_size_voxels // (WINDOW_VOXELS if channels > 1 else 1))


def grown(labels: Labels, foreground: Mask, as_program: str) -> Labels:
    """Let voxels near components join them, in each slice.

    Parameters
    ----------
    labels : (Z, Y, X) unsigned integers
        Components; changed in place, as mitotools does it.
    foreground : (Z, Y, X) bool
        The voxels that may join, as mitotools does it.
    as_program : {"mitotools", "pytc"}
        mitotools: every voxel of the foreground that has a component in the window (1, 5, 5) around it joins
        the nearest one (Euclidean distance in voxels, ties to the lower number). Joined voxels draw in no
        others, and may be the only contact between two instances. pytc: a grey dilation, as PyTorch
        Connectomics does: every voxel takes the largest number in its window, labelled or background.

    Returns
    -------
    (Z, Y, X) unsigned integers
    """
    if as_program == "pytc":
        side = 2 * REACH_VOXELS + 1
        dilated: Labels = ndimage.maximum_filter(labels, (1, side, side), mode="constant")
        return dilated
    _join(labels, foreground)
    return labels


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
def _nearest(components: Array, y: int, x: int) -> np.uint32:
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
