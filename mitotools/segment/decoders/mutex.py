"""Mutex watershed of affinities near and far (``mutex``)."""

from __future__ import annotations

from operator import lt
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from mitotools.errors import InputError, UsageError, extra
from mitotools.segment.affinities import as_instances, number_by_first_voxel
from mitotools.segment.components import connected_components, drop_small, grey_level

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Labels, Maps, Mask, Size
    from mitotools.parameters import DecodeParameters

    Offsets = tuple[Size, ...]
    Slices = tuple[slice, ...]
    Strengths = npt.NDArray[np.float64]

LEVELS = 256


def decode(maps: Maps, parameters: DecodeParameters) -> Labels:
    """Split affinity maps into instances by the mutex watershed of the mwatershed library.

    Channel c holds the edges from each voxel to the one at `affinity_offsets` [c] from it. Edges to a nearest
    neighbour attract, the others repel. Edges that attract at most `affinity_low` are cut; a voxel without
    any other is background, and its edges are cut too. The edges are taken in the order of their strength,
    p - `mutex_bias` for one that attracts, `mutex_bias` - p for one that repels; equal ones in the order of
    the channels, then of their voxels. An edge that attracts joins its two clusters unless they were kept
    apart; one that repels keeps its two clusters apart unless they are one.

    Equal edges being put in order here, the labels depend on the maps and the parameters alone. The whole
    maps are taken in memory. Clusters do not leave the 6-connected components of the foreground, so each
    component is decoded alone, in its bounding box: the library's memory is that of the largest.

    Parameters
    ----------
    maps : (C, Z, Y, X) array of uint8
        Affinities, one channel an offset: probabilities times 255. Edges that leave the volume are ignored.
    parameters : DecodeParameters
        `affinity_offsets`, `affinity_low`, `mutex_bias` and `min_size_voxels`.

    Returns
    -------
    (Z, Y, X) array of the smallest unsigned type
        Instances numbered 1..n in raster order of their first voxel.

    Raises
    ------
    InputError
        If the maps have not one channel for each offset.
    UsageError
        If no offset is that of a nearest neighbour.
    MitotoolsError
        If the library is not installed.

    References
    ----------
    S. Wolf et al., The Mutex Watershed: Efficient, Parameter-Free Image Partitioning, ECCV 2018.
    """
    offsets = parameters.affinity_offsets
    _require(maps, offsets)
    low, bias = grey_level(parameters.affinity_low), grey_level(parameters.mutex_bias)
    with extra("method mutex", "the library mwatershed", "affinities"):
        import mwatershed  # noqa: PLC0415 (an extra)
    foreground = _foreground(maps, offsets, low)
    components, count = connected_components(foreground)
    # What is too small as a whole has no part that is large enough.
    drop_small(components, count, parameters.min_size_voxels)
    labels = np.zeros_like(components)
    largest = 0
    for component, box in enumerate(ndimage.find_objects(components), start=1):
        inside = components[box] == component
        fitting, strengths = _strengths(maps[:, *box], inside, offsets, low, bias)
        # The library numbers clusters from 0 on, which is its background too; inside there is none.
        clusters = mwatershed.agglom(strengths, fitting)[inside] + 1
        count = number_by_first_voxel(clusters, inside.size)
        labels[box][inside] = clusters + largest
        largest += count
    return as_instances(labels, largest, parameters.min_size_voxels)


def _require(maps: Maps, offsets: Offsets) -> None:
    if not any(map(_attracts, offsets)):
        raise UsageError(
            "affinity offsets", "none is that of a nearest neighbour", "Add -1,0,0 0,-1,0 0,0,-1"
        )
    if len(maps) != len(offsets):
        names = " ".join(",".join(map(str, offset)) for offset in offsets)
        raise InputError(
            "decoder mutex",
            f"needs {len(offsets)} channels, one for each offset ({names}), and the maps have {len(maps)}",
        )


def _attracts(offset: Size) -> bool:
    return sum(map(abs, offset)) == 1


def _foreground(maps: Maps, offsets: Offsets, low: int) -> Mask:
    """Return the voxels at either end of an edge that attracts and is not cut."""
    foreground = np.zeros(maps.shape[1:], bool)
    for channel, offset in zip(maps, offsets, strict=True):
        if _attracts(offset):
            here, there = _ends(offset)
            joined = channel[here] > low
            foreground[here] |= joined
            foreground[there] |= joined
    return foreground


def _ends(offset: Size) -> tuple[Slices, Slices]:
    """Return the voxels whose edges stay in the volume, and those at their other ends."""
    here = tuple(slice(-step, None) if step < 0 else slice(None, -step or None) for step in offset)
    there = tuple(slice(None, step) if step < 0 else slice(step, None) for step in offset)
    return here, there


def _strengths(
    maps: Maps, inside: Mask, offsets: Offsets, low: int, bias: int
) -> tuple[list[Size], Strengths]:
    """Return the offsets that fit in a box, and the edges' strengths, all different; below 0 they repel.

    Edges that are cut have strength 0: the library takes them last, when they change nothing.
    """
    fits = [all(map(lt, map(abs, offset), inside.shape)) for offset in offsets]
    fitting = [offset for offset, does in zip(offsets, fits, strict=True) if does]
    count = len(fitting) * inside.size
    # A part below 1 puts equal strengths in order.
    strengths = (np.arange(count, 0, -1) / (count + 1)).reshape(-1, *inside.shape)
    for strength, channel, offset in zip(strengths, maps[fits], fitting, strict=True):
        here, there = _ends(offset)
        whole = np.zeros(inside.shape, bool)
        whole[here] = inside[here] & inside[there]
        if _attracts(offset):
            strength += 2.0 * channel + (2 * LEVELS - 2 * bias - 1)
            whole &= channel > low
        else:
            strength += (2 * LEVELS + 2 * bias + 1) - 2.0 * channel
            np.negative(strength, out=strength)
        strength[~whole] = 0
    return fitting, strengths
