"""What a stage computes of every block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mitotools.conventions import Array
    from mitotools.stages.planning import Source
    from mitotools.volume.blocks import Box


@dataclass(frozen=True)
class Work:
    """What a stage computes.

    Parameters
    ----------
    block : callable
        Returns the voxels of a box, all channels, given the threads that it may use; sent to other processes
        as it is, volumes included.
    label : str
        The stage, as progress calls it.
    sources : sequence of Source
        The volumes that it reads.
    bytes_per_voxel : float
        Of a block, everything counted that is in memory while it is computed; None: twice the new voxel.
    """

    block: Callable[[Box, int], Array]
    label: str
    sources: Sequence[Source] = ()
    bytes_per_voxel: float | None = None
