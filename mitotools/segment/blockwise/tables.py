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
    is_next : (S,) bool
        Whether the voxel is another block's.
    """

    ids: Small
    firsts: Integers
    voxels: Small
    at: Integers
    at_ids: Small
    is_next: Flags

    def part(self, matters: Flags, elsewhere: Integers) -> Shared:
        """Return what is left when components that matter to nobody else are left out.

        Parameters
        ----------
        matters : (N,) bool
            Components that stay even where no other block has a part of them.
        elsewhere : (M,) int64, ascending
            The voxels of this block that others have something to say about.
        """
        is_met = self.is_next | _is_among(self.at, elsewhere)
        stays = matters | np.isin(self.ids, self.at_ids[is_met])
        return Shared(
            self.ids[stays], self.firsts[stays], self.voxels[stays],
            self.at[is_met], self.at_ids[is_met], self.is_next[is_met],
        )  # fmt: skip

    @property
    def rows(self) -> int:
        """Rows of both kinds."""
        return int(self.ids.size + self.at.size)


def _is_among(values: Integers, ascending: Integers) -> Flags:
    """Return which values are among others, which NumPy's isin would sort anew for every block."""
    if ascending.size == 0:
        return np.zeros(values.size, np.bool_)
    found: Flags = ascending[np.minimum(np.searchsorted(ascending, values), ascending.size - 1)] == values
    return found


def shared_table(
    components: Components, is_shared: Flags, sizes: Integers, firsts: Integers, place: Place, volume: Array
) -> Shared:
    """Describe the components that are shared; `volume` is what their runs were found in."""
    ids = np.flatnonzero(is_shared)
    at, at_ids = shared_voxels(components, place, volume)
    at, at_ids = at[is_shared[at_ids]], at_ids[is_shared[at_ids]]
    positions = np.unravel_index(at, place.volume)
    is_next = np.zeros(at.size, np.bool_)
    for position, start, length in zip(positions, place.origin, place.core, strict=True):
        is_next |= position == start + length
    return Shared(
        ids.astype(np.uint32),
        firsts[ids],
        sizes[ids].astype(np.uint32),
        at,
        at_ids.astype(np.uint32),
        is_next,
    )
