"""Profiles, the components of single slices, linked along z where they overlap (``iou``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mitotools.segment.blockwise.painting import paint
from mitotools.segment.blockwise.places import Place
from mitotools.segment.blockwise.profiles import ProfilesPart, block_profiles
from mitotools.segment.components import grey_level

if TYPE_CHECKING:
    from mitotools.conventions import Labels, Maps
    from mitotools.parameters import DecodeParameters


def decode(maps: Maps, parameters: DecodeParameters) -> Labels:
    """Split a mask into instances slice by slice, and track them by IoU.

    Profiles are the 8-connected components of each slice of the mask above `foreground`. Between neighbouring
    slices, pairs with an IoU of at least `link_iou` are linked, best first, one to one, ties to the lower
    numbers. Chains of profiles are instances.

    Parameters
    ----------
    maps : (1, Z, Y, X) array of uint8
        Mask: probabilities times 255.
    parameters : DecodeParameters
        `foreground`, `link_iou`, and the least size of an instance.

    Returns
    -------
    (Z, Y, X) array of the smallest unsigned type
        Instances numbered 1..n in raster order of their first voxel.

    References
    ----------
    C. Xiao et al., Automatic Mitochondria Segmentation for EM Data Using a 3D Supervised Convolutional
    Network, Frontiers in Neuroanatomy 12, 2018.
    """
    place = Place.whole(maps.shape[1:])
    part = block_part(maps, parameters, place)
    ids = part.known.ids  # ascending, and so in the order of first voxels
    labels = np.zeros(place.core, np.min_scalar_type(ids.size))
    paint(labels, part.runs, np.searchsorted(ids, part.runs["id"]) + 1, place.origin, place.volume)
    return labels


def block_part(maps: Maps, parameters: DecodeParameters, place: Place) -> ProfilesPart:
    """Link the profiles of a block of maps; see `block_profiles`."""
    mask = maps[0] > grey_level(parameters.foreground)
    return block_profiles(mask, parameters.link_iou, parameters.min_size_voxels, place)
