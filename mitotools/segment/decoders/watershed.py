"""Marker-controlled watershed: markers far from the contours grow through the mask (``mw``, ``bcd``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mitotools.errors import UsageError
from mitotools.segment.blockwise.painting import paint
from mitotools.segment.blockwise.places import Place
from mitotools.segment.blockwise.watershed import WatershedPart, block_watershed
from mitotools.segment.components import grey_level

if TYPE_CHECKING:
    from mitotools.conventions import Array, Labels, Maps, Mask
    from mitotools.parameters import DecodeParameters

LANDSCAPES = {"mask": np.uint8, "mask-contour": np.uint16}
"""What is flooded, and the type that holds it."""


def decode(maps: Maps, parameters: DecodeParameters) -> Labels:
    """Split maps into instances by a marker-controlled watershed.

    Markers are the 26-connected components of the voxels with a high mask, a low contour and a high signed
    distance, as far as there are these maps. They grow through the foreground, highest values of the
    landscape first (see `segment.blockwise.flood`): the mask, or, for `landscape` mask-contour,
    max(mask - contour, 0), so that fronts meet at the membrane rather than where plateaus run out.

    Parameters
    ----------
    maps : (C, Z, Y, X) array of uint8
        Mask; contour; signed distance: probabilities times 255, a distance d from -1 to 1 as 255 (d + 1) / 2.
    parameters : DecodeParameters
        The thresholds of seeds and of the foreground, and the least sizes of a marker (counted before the cut
        by the foreground) and of an instance. An instance has at least one voxel, even where no least size is
        asked for.

    Returns
    -------
    (Z, Y, X) array of the smallest unsigned type
        Instances numbered 1..n in raster order of their marker's first voxel.

    Raises
    ------
    UsageError

    References
    ----------
    D. Wei et al., MitoEM Dataset: Large-scale 3D Mitochondria Instance Segmentation from EM Images, MICCAI
    2020 (U3D-BC+MW).
    """
    place = Place.whole(maps.shape[1:])
    part = block_part(maps, parameters, place, flooded_part=1)
    ids = part.markers.ids  # ascending, and so in the order of first voxels
    labels = np.zeros(place.core, np.min_scalar_type(ids.size))
    paint(labels, part.runs, np.searchsorted(ids, part.runs["id"]) + 1, place.origin, place.volume)
    return labels


def block_part(
    maps: Maps, parameters: DecodeParameters, place: Place, flooded_part: float | None = None
) -> WatershedPart:
    """Flood what lies within a block of maps; see `block_watershed`."""
    mask = maps[0] > grey_level(parameters.foreground)
    seeds: Mask = maps[0] > grey_level(parameters.seed_foreground)
    if len(maps) > 1:
        seeds &= maps[1] < grey_level(parameters.seed_contour)
    if len(maps) > 2:
        mask &= maps[2] > _distance_level(parameters.foreground_distance)
        seeds &= maps[2] > _distance_level(parameters.seed_distance)
    landscape = _landscape(maps, mask, parameters.landscape)
    del mask
    sizes = parameters.min_seed_voxels, parameters.min_size_voxels
    if flooded_part is None:
        return block_watershed(landscape, seeds, *sizes, place)
    return block_watershed(landscape, seeds, *sizes, place, flooded_part)


def _landscape(maps: Maps, mask: Mask, name: str) -> Array:
    """Return what is flooded: 0 outside the foreground, 1 to 256 inside."""
    if name == "mask":
        landscape: Array = maps[0] * mask  # the foreground is above a threshold of 0 or more
        return landscape
    if len(maps) < 2:
        raise UsageError("--landscape mask-contour", "the maps have no contour")
    difference = np.where(maps[0] > maps[1], maps[0] - maps[1], 0).astype(np.uint16)
    difference += 1
    difference *= mask
    return difference


def _distance_level(distance: float) -> int:
    """Return the map value that stands for a signed distance: x > level exactly where 2 x / 255 - 1 > d."""
    return grey_level((distance + 1) / 2)
