"""`--memory` to block shapes: how much may be in memory at once, and which blocks suit the files."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mitotools.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

Size = tuple[int, int, int]

MIB = 2**20

WORKER_BYTES = 150 * MIB
"""Resident memory of a worker process that has the package and Dask loaded, and no voxels (measured: 120)."""

KERNEL_BYTES = 110 * MIB
"""What numba, its compiler and compiled kernels take more in a worker (measured: 100)."""

CLUSTER_BYTES = 50 * MIB
"""What this process and its helper take more when Dask is loaded and the workers are running."""

SLACK = 0.85
"""Part of the budget that is planned with: allocators and libraries keep some of what was freed."""

PREFERRED_BYTES = 64 * MIB
"""What one block costs where the budget leaves the choice: more only makes progress coarser."""

_NEARLY = 1.01
"""Reading or writing this much more than once counts as once."""

_FOR_EACH_PROCESS = 4
"""Blocks that keep all threads of a process at work: with fewer, some processes would wait for the last."""

_WORTH = 1.1
"""Fewer blocks at once have to save this much of decoding."""


@dataclass(frozen=True)
class Layout:
    """How one of the volumes that a stage touches is stored.

    Parameters
    ----------
    chunks : (z, y, x) voxels
        Read or written whole.
    offset : (z, y, x) voxels
        Where in the grid of chunks the stage's voxel 0 lies: the start of a crop.
    """

    chunks: Size
    offset: Size = (0, 0, 0)


@dataclass(frozen=True)
class Demand:
    """What the blocks of a stage need.

    Parameters
    ----------
    size : (z, y, x) voxels
        Of the volume that is cut into blocks.
    unit : (z, y, x) voxels
        Blocks are multiples of it.
    bytes_per_voxel : float
        Of a block, everything counted that is in memory while it is computed.
    sources : tuple of Layout
    thread_bytes : int
        What a thread needs: for the chunk that it decodes or encodes, or for what it computes with.
    base_bytes : int
        What is in memory anyway.
    worker_bytes : int
        What is in the memory of every worker process anyway.
    preferred_bytes : int
        What one block may well cost; 0: `PREFERRED_BYTES`.
    margin : (z, y, x) voxels
        What is computed around a block, for it alone, wherever it does not end with the volume.
    is_alone : bool
        Whether one block keeps all threads of a process at work, so that there is never more than one.
    most_voxels : int
        Of a block, where it need not be less; 0: as many as there is memory for.
    """

    size: Size
    unit: Size
    bytes_per_voxel: float
    sources: tuple[Layout, ...] = ()
    thread_bytes: int = 8 * MIB
    base_bytes: int = 0
    worker_bytes: int = WORKER_BYTES
    preferred_bytes: int = 0
    margin: Size = (0, 0, 0)
    is_alone: bool = False
    most_voxels: int = 0


@dataclass(frozen=True)
class BlockPlan:
    """Which blocks a stage computes, and how many at the same time."""

    block: Size
    slots: int
    threads: int
    """Of all processes together, that the budget leaves room for: they read and write the blocks' pieces."""
    memory_bytes: int
    """Expected peak, of all processes."""
    cost: float
    """How often a voxel of the sources is decoded, or computed, for the whole volume."""


def plan_blocks(demand: Demand, memory_bytes: int, threads: int, processes: int = 0) -> BlockPlan:
    """Return the blocks that read and write least, and keep every thread at work, within a budget.

    Parameters
    ----------
    demand : Demand
    memory_bytes : int
        The budget, for all processes together.
    threads : int
        Of all processes together; fewer are planned with where the budget has no room for more.
    processes : int
        Worker processes beside this one.

    Raises
    ------
    MachineError
        Where one block in one thread would exceed the budget: the error names the least that is enough.
    """
    check_enough([(demand, processes)], memory_bytes)
    fixed = _fixed_bytes(demand, processes)
    least_slots = max(processes, 1)
    room = int(memory_bytes * SLACK) - fixed
    if demand.is_alone:
        chosen = _for_one_at_a_time(demand, room, least_slots, max(threads, least_slots), processes)
        return replace(chosen, memory_bytes=chosen.memory_bytes + fixed)
    choice, slots = _choice_of(demand), range(max(threads, least_slots), least_slots - 1, -1)
    plans = _plans(demand, choice, room, slots, max(threads, least_slots))
    # With all threads there may be no room for a block: then for fewer threads, which is enough by now.
    plans = plans or _plans(demand, choice, room, slots, least_slots)
    chosen = plans[0]
    for plan in plans[1:]:
        if plan.cost < chosen.cost / _WORTH:
            chosen = plan
    return replace(chosen, memory_bytes=chosen.memory_bytes + fixed)


def _for_one_at_a_time(demand: Demand, room: int, slots: int, most_threads: int, processes: int) -> BlockPlan:
    """Return the blocks that are computed fastest: with many threads there is room for small blocks alone."""
    if processes:
        demand = replace(demand, most_voxels=math.prod(demand.size) // (processes * _FOR_EACH_PROCESS))
    choice = _choice_of(demand)
    plans = [
        plan
        for threads in range(most_threads, slots - 1, -1)
        for plan in _plans(demand, choice, room, range(slots, slots + 1), threads)
    ]
    return max(plans, key=lambda plan: plan.threads / plan.cost)


def check_enough(steps: Iterable[tuple[Demand, int]], memory_bytes: int) -> None:
    """Raise MachineError where a budget is too small for one of several steps, naming what is enough for all.

    Parameters
    ----------
    steps : iterable of (Demand, int)
        What a step needs, and its worker processes.
    memory_bytes : int
    """
    least = max(_least_bytes(demand, processes) for demand, processes in steps)
    if least > memory_bytes:
        raise MachineError(
            "--memory", f"{written(memory_bytes)} is too little for this", f"The least is {written(least)}"
        )


def _fixed_bytes(demand: Demand, processes: int) -> int:
    return demand.base_bytes + (CLUSTER_BYTES + processes * demand.worker_bytes if processes else 0)


def _least_bytes(demand: Demand, processes: int) -> int:
    """Return the budget in which one block at a time is computed in one thread of each process."""
    smallest = math.prod(min(u, n) for u, n in zip(demand.unit, demand.size, strict=True))
    block = demand.thread_bytes + math.ceil(smallest * demand.bytes_per_voxel)
    return math.ceil((_fixed_bytes(demand, processes) + max(processes, 1) * block + 1) / SLACK)


def _plans(demand: Demand, choice: _Choice, room: int, slots: range, fewest_threads: int) -> list[BlockPlan]:
    """Return the best blocks for each number of slots for which there is room beside what is fixed."""
    found = []
    for at_once in slots:
        threads = max(at_once, fewest_threads)
        voxels = (room - threads * demand.thread_bytes) / at_once / demand.bytes_per_voxel
        least = float(choice.voxels.min())
        if least <= voxels:
            block, cost = choice.best(max(least, min(voxels, demand.most_voxels or voxels)))
            needed = threads * demand.thread_bytes + at_once * math.prod(block) * demand.bytes_per_voxel
            found.append(BlockPlan(block, at_once, threads, math.ceil(needed), cost))
    return found


@dataclass(frozen=True)
class _Choice:
    """The shapes that a block may have, each with its voxels, and how often it has voxels decoded."""

    shapes: npt.NDArray[np.int64]
    voxels: npt.NDArray[np.float64]
    cost: npt.NDArray[np.float64]
    preferred_voxels: float

    def best(self, most_voxels: float) -> tuple[Size, float]:
        """Return the block of the least cost that is nearest to the preferred, and its cost."""
        possible = np.flatnonzero(self.voxels <= most_voxels)
        least = float(self.cost[possible].min())
        good = possible[self.cost[possible] <= least * _NEARLY]
        # Of equals the one nearest to the preferred size, long along x: contiguous in files that hold slices.
        distance = np.abs(np.log2(self.voxels[good] / self.preferred_voxels)).round(6)
        z, y, x = self.shapes[good].T
        first = good[np.lexsort((z, -y, -x, distance))[0]]
        z, y, x = self.shapes[first].tolist()
        return (z, y, x), float(self.cost[first])


def _choice_of(demand: Demand) -> _Choice:
    lengths = [np.array(sorted(_candidates(demand, axis)), np.int64) for axis in range(3)]
    shapes = np.stack(np.meshgrid(*lengths, indexing="ij"), axis=-1).reshape(-1, 3)
    cost = np.ones(len(shapes))
    for source in demand.sources:
        z, y, x = (
            np.array([_times_read(n, b, c, o) for b in of_axis.tolist()])
            for n, of_axis, c, o in zip(demand.size, lengths, source.chunks, source.offset, strict=True)
        )
        cost = np.maximum(cost, (z[:, None, None] * y[:, None] * x).ravel())
    for axis, (length, margin) in enumerate(zip(demand.size, demand.margin, strict=True)):
        blocks = -(-length // shapes[:, axis])
        cost = cost * (length + (blocks - 1) * margin) / length
    voxels = shapes.astype(np.float64).prod(axis=1)
    return _Choice(shapes, voxels, cost, (demand.preferred_bytes or PREFERRED_BYTES) / demand.bytes_per_voxel)


def _candidates(demand: Demand, axis: int) -> set[int]:
    """Return block lengths: the unit, its doubles, those that hold whole chunks of the sources, and all."""
    n, unit = demand.size[axis], demand.unit[axis]
    steps = {unit} | {math.lcm(unit, source.chunks[axis]) for source in demand.sources}
    doubles = itertools.product(steps, range(n.bit_length() + 1))
    return {n} | {step << times for step, times in doubles if step << times < n}


def _times_read(length: int, block: int, chunk: int, offset: int) -> float:
    """Return how often the voxels along an axis are decoded when blocks are read one by one.

    Every piece between two edges, of blocks or of chunks, is a chunk that is decoded for a block.
    """
    edges_of_chunks = (length + offset - 1) // chunk - offset // chunk
    edges_of_blocks = (length - 1) // block
    pieces = 1 + edges_of_chunks + edges_of_blocks - _shared_edges(length, block, chunk, offset)
    return pieces / (1 + edges_of_chunks)


def _shared_edges(length: int, block: int, chunk: int, offset: int) -> int:
    """Count the edges of blocks inside an axis that are edges of chunks too."""
    common = math.gcd(block, chunk)
    if offset % common:
        return 0
    # Block number k ends a chunk where k block + offset is a multiple of it: one k in `period`.
    period = chunk // common
    first = -(offset // common) * pow(block // common, -1, period) % period or period
    return ((length - 1) // block - first) // period + 1


def written(amount: float) -> str:
    """Return bytes as the option takes them, rounded up."""
    if amount >= 10 * 2**30:
        return f"{math.ceil(amount / 2**30)}G"
    return f"{math.ceil(amount / MIB)}M"
