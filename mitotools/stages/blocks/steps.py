"""The steps of a stage, whose budget is checked for all of them before the first."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mitotools.errors import TargetError
from mitotools.run.budget import check_enough
from mitotools.run.memory import resident_bytes
from mitotools.stages.blocks.planning import Stored, demand_of, memory_of
from mitotools.stages.blocks.staging import is_staged, staged_of
from mitotools.volume.outputs import planned
from mitotools.volume.path import VolumePath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mitotools.run.budget import Demand
    from mitotools.run.running import Running
    from mitotools.stages.blocks.planning import Source
    from mitotools.volume.base import VolumeSpec

LEFT_BYTES = 16 * 2**20
"""What each step leaves in memory to the next, tables of instances not counted (measured: 6 to 13 MiB)."""

Step = tuple["Demand", int]
"""What a step needs, and the processes that compute it beside this one."""


def check_steps(steps: Iterable[Step], running: Running) -> None:
    """Refuse a budget that is too little for any of the steps, before the first of them.

    What they compute with has to be loaded by now, so that its memory is seen.

    Raises
    ------
    MachineError
        Which names the least that is enough for all of them.
    """
    if running.scheduler:  # whose memory is not this machine's
        return
    base = resident_bytes()
    demands = [
        (replace(demand, base_bytes=base + (LEFT_BYTES if number else 0)), count)
        for number, (demand, count) in enumerate(steps)
    ]
    check_enough(demands, memory_of(running))


def steps_to_write(
    target: VolumePath,
    spec: VolumeSpec,
    sources: Sequence[Source],
    bytes_per_voxel: Callable[[VolumeSpec], float],
    running: Running,
) -> list[Step]:
    """Return the steps of writing a volume without levels.

    Parameters
    ----------
    target : VolumePath
    spec : VolumeSpec
        With the largest type that the voxels may turn out to need. Where the format does not have it, there
        are no steps: they may as well not need it.
    sources : sequence of Source
    bytes_per_voxel : callable
        Returns what a voxel takes, of the volume that it is given.
    running : Running
    """
    try:
        spec = planned(target, spec)
    except TargetError:
        return []
    if not is_staged(target, running):
        return [(demand_of(spec, sources, bytes_per_voxel(spec)), running.workers)]
    staged = planned(VolumePath(str(staged_of(target))), replace(spec, compression="default"))
    return [
        (demand_of(staged, sources, bytes_per_voxel(staged)), running.workers),
        (demand_of(spec, [Stored(staged)]), 0),
    ]
