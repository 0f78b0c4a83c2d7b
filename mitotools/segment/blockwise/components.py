"""One block of connected components that are found block by block (``cc``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mitotools.segment.blockwise.places import core_runs, is_open, sizes_and_firsts
from mitotools.segment.blockwise.runs import components_of, runs_of
from mitotools.segment.blockwise.tables import Known, Shared, shared_table

if TYPE_CHECKING:
    from mitotools.conventions import Array, Mask
    from mitotools.segment.blockwise.places import Integers, Place

BYTES_PER_VOXEL = 20
"""Of a block, beside the maps: the mask, its runs, and labels of the second step."""


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


def block_components(mask: Mask, least_voxels: int, place: Place) -> ComponentsPart:
    """Find the 26-connected components of a block.

    Parameters
    ----------
    mask : (Z, Y, X) bool
        Of the block and of the first plane of the next block along each axis, where there is one.
    least_voxels : int
        Components in this block alone with fewer are not among the known ones.
    place : Place
    """
    components = components_of(runs_of(mask), 26)
    sizes, firsts = sizes_and_firsts(components, place)
    open_components = is_open(components, place)
    ids = np.flatnonzero(~open_components & (sizes >= max(least_voxels, 1)))
    return ComponentsPart(
        core_runs(components, place, np.ones(components.count + 1, np.bool_)),
        Known(ids, firsts[ids], sizes[ids]),
        shared_table(components, open_components, sizes, firsts, place, mask),
        firsts,
        sizes.sum(keepdims=True),
    )
