"""What a block tells of its components, in tables that grow with what crosses its faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mitotools.segment.blockwise.places import shared_voxels

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Array
    from mitotools.segment.blockwise.places import Flags, Integers, Place
    from mitotools.segment.blockwise.runs import Components

    Small = npt.NDArray[np.uint32]


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
    ids : (N,) uint32, ascending
        The block's own numbers.
    firsts : (N,) int64
        Index in the volume of the first voxel in the block itself.
    voxels : (N,) uint32
        In the block itself.
    at : (S,) int64
        Voxels that other blocks see as well.
    at_ids : (S,) uint32
        The component at each.
    """

    ids: Small
    firsts: Integers
    voxels: Small
    at: Integers
    at_ids: Small

    @property
    def rows(self) -> int:
        """Rows of both kinds."""
        return int(self.ids.size + self.at.size)


def shared_table(
    components: Components, is_shared: Flags, sizes: Integers, firsts: Integers, place: Place, volume: Array
) -> Shared:
    """Describe the components that are shared; `volume` is what their runs were found in."""
    ids = np.flatnonzero(is_shared)
    at, at_ids = shared_voxels(components, place, volume)
    return Shared(
        ids.astype(np.uint32), firsts[ids], sizes[ids].astype(np.uint32), at, at_ids.astype(np.uint32)
    )
