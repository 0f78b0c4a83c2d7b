"""What a stage computes of every block."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mitotools.stages.blocks.planning import demand_of
from mitotools.volume.blocks import size3

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mitotools.conventions import Array, Size
    from mitotools.run.budget import Demand
    from mitotools.stages.blocks.planning import Source
    from mitotools.volume.base import VolumeSpec


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
    process_bytes : int
        What a process that computes takes beside its blocks.
    thread_bytes : int
        What each of its threads takes beside.
    unit : (z, y, x), optional
        Blocks are multiples of it, and of the new volume's own unit.
    margin : (z, y, x)
        What is computed around a block, for it alone.
    is_alone : bool
        Whether one block keeps all threads of a process at work. `block` may then be given a tracker and a
        label as well, to show how far it has come.
    """

    block: Callable[..., Array]
    label: str
    sources: Sequence[Source] = ()
    bytes_per_voxel: float | None = None
    process_bytes: int = 0
    thread_bytes: int = 0
    unit: Size = (1, 1, 1)
    margin: Size = (0, 0, 0)
    is_alone: bool = False

    def demand(self, spec: VolumeSpec, *, is_distributed: bool) -> Demand:
        """Return what the blocks of the new volume need."""
        own = demand_of(spec, self.sources, self.bytes_per_voxel)
        here, elsewhere = (0, self.process_bytes) if is_distributed else (self.process_bytes, 0)
        return replace(
            own,
            unit=size3([math.lcm(a, b) for a, b in zip(spec.unit, self.unit, strict=True)]),
            base_bytes=own.base_bytes + here,
            worker_bytes=own.worker_bytes + elsewhere,
            thread_bytes=own.thread_bytes + self.thread_bytes,
            margin=self.margin,
            is_alone=self.is_alone,
        )
