"""What a block tells of its components, in tables that grow with what crosses its faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mitotools.segment.blockwise.places import shared_voxels

if TYPE_CHECKING:
    from mitotools.conventions import Array
    from mitotools.segment.blockwise.places import Flags, Integers, Place
    from mitotools.segment.blockwise.runs import Components


@dataclass(frozen=True, eq=False)
class Known:
    """Instances of which a block knows all.

    Parameters
    ----------
    ids : (N,) int64, ascending
        The block's own numbers.
    firsts : (N,) int64
        Index in the volume of the voxel that decides their order.
    voxels : (N,) int64
    """

    ids: Integers
    firsts: Integers
    voxels: Integers


@dataclass(frozen=True, eq=False)
class Shared:
    """Components of which other blocks may hold a part.

    Parameters
    ----------
    ids : (N,) int64, ascending
        The block's own numbers.
    firsts : (N,) int64
        Index in the volume of the first voxel in the block itself.
    voxels : (N,) int64
        In the block itself.
    at, at_ids : (S,) int64
        Voxels that other blocks see as well, and the component at each.
    """

    ids: Integers
    firsts: Integers
    voxels: Integers
    at: Integers
    at_ids: Integers


def shared_table(
    components: Components, is_shared: Flags, sizes: Integers, firsts: Integers, place: Place, volume: Array
) -> Shared:
    """Describe the components that are shared; `volume` is what their runs were found in."""
    ids = np.flatnonzero(is_shared)
    return Shared(ids, firsts[ids], sizes[ids], *shared_voxels(components, place, volume))
