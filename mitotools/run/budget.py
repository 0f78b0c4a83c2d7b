"""`--memory` to block shapes: how much may be in memory at once, and which blocks suit the files."""

from __future__ import annotations

import itertools
import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from mitotools.errors import UsageError

Size = tuple[int, int, int]

MIB = 2**20

WORKER_BYTES = 150 * MIB
"""Resident memory of a worker process that has the package and Dask loaded, and no voxels (measured: 120)."""

SLACK = 0.85
"""Part of the budget that is planned with: allocators and libraries keep some of what was freed."""

PREFERRED_BYTES = 64 * MIB
"""What one block costs where the budget leaves the choice: more only makes progress coarser."""

_NEARLY = 1.01
"""Reading or writing this much more than once counts as once."""


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
        What a thread needs for the chunk that it decodes or encodes.
    base_bytes : int
        What is in memory anyway.
    """

    size: Size
    unit: Size
    bytes_per_voxel: float
    sources: tuple[Layout, ...] = ()
    thread_bytes: int = 8 * MIB
    base_bytes: int = 0


@dataclass(frozen=True)
class BlockPlan:
    """Which blocks a stage computes, and how many at the same time."""

    block: Size
    slots: int
    memory_bytes: int
    """Expected peak, of all processes."""


def plan_blocks(demand: Demand, memory_bytes: int, threads: int, processes: int = 0) -> BlockPlan:
    """Return the blocks that read and write least, and keep every thread at work, within a budget.

    Parameters
    ----------
    demand : Demand
    memory_bytes : int
        The budget, for all processes together.
    threads : int
        Of all processes together.
    processes : int
        Worker processes beside this one.

    Raises
    ------
    UsageError
        Where one block in one thread would exceed the budget: the error names the least that is enough.
    """
    fixed = demand.base_bytes + processes * WORKER_BYTES
    smallest = math.prod(min(u, n) for u, n in zip(demand.unit, demand.size, strict=True))
    least_slots = max(processes, 1)
    least = (fixed + least_slots * (demand.thread_bytes + smallest * demand.bytes_per_voxel)) / SLACK
    if least > memory_bytes:
        raise UsageError(
            "--memory", f"{written(memory_bytes)} is too little for this", f"The least is {written(least)}"
        )
    best: tuple[float, int, Size] | None = None
    for slots in range(max(threads, least_slots), least_slots - 1, -1):
        left = memory_bytes * SLACK - fixed - max(slots, threads if slots > 1 else 1) * demand.thread_bytes
        voxels = left / slots / demand.bytes_per_voxel
        if voxels < smallest:
            continue
        cost, block = _best_block(demand, voxels)
        if best is None or cost < best[0] / 1.1:
            best = (cost, slots, block)
    if best is None:  # fewer threads at work: what the pool of pieces takes is no longer counted
        best = (1.0, least_slots, _unit_block(demand))
    _, slots, block = best
    peak = fixed + threads * demand.thread_bytes + slots * math.prod(block) * demand.bytes_per_voxel
    return BlockPlan(block, slots, int(peak))


def _unit_block(demand: Demand) -> Size:
    z, y, x = (min(u, n) for u, n in zip(demand.unit, demand.size, strict=True))
    return z, y, x


def _best_block(demand: Demand, most_voxels: float) -> tuple[float, Size]:
    """Return how often voxels are decoded, and the block of that cost that is nearest to the preferred."""
    axes = [_candidates(demand, axis) for axis in range(3)]
    lengths = [np.array(sorted(of_axis)) for of_axis in axes]
    voxels = lengths[0][:, None, None] * lengths[1][:, None] * lengths[2].astype(np.float64)
    cost = np.ones(voxels.shape)
    for source in demand.sources:
        z, y, x = (
            np.array([_times_read(n, int(b), c, o) for b in of_axis])
            for n, of_axis, c, o in zip(demand.size, lengths, source.chunks, source.offset, strict=True)
        )
        cost = np.maximum(cost, z[:, None, None] * y[:, None] * x)
    possible = voxels <= most_voxels
    cost = np.where(possible, cost, np.inf)
    preferred = PREFERRED_BYTES / demand.bytes_per_voxel
    # Of equals the one nearest to the preferred volume, long along x: contiguous in files that hold slices.
    distance = np.abs(np.log2(voxels / preferred))
    good = cost <= cost.min() * _NEARLY
    shapes = [[int(of_axis[i]) for of_axis, i in zip(lengths, at, strict=True)] for at in np.argwhere(good)]
    distances = distance[good].round(6).tolist()
    _, _, _, shape = min((d, -s[2], -s[1], s) for d, s in zip(distances, shapes, strict=True))
    return float(cost.min()), (shape[0], shape[1], shape[2])


def _candidates(demand: Demand, axis: int) -> set[int]:
    """Return block lengths: the unit, its doubles, those that hold whole chunks of the sources, and all."""
    n, unit = demand.size[axis], demand.unit[axis]
    steps = {unit} | {math.lcm(unit, source.chunks[axis]) for source in demand.sources}
    doubles = itertools.product(steps, range(n.bit_length() + 1))
    return {n} | {step << times for step, times in doubles if step << times < n}


def _times_read(length: int, block: int, chunk: int, offset: int) -> float:
    """Return how often the voxels along an axis are decoded when blocks are read one by one."""
    starts = np.arange(0, length, block)
    stops = np.minimum(starts + block, length)
    touched = -(-(stops + offset) // chunk) - (starts + offset) // chunk
    once = -(-(length + offset) // chunk) - offset // chunk
    return float(touched.sum()) / once


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    return int(psutil.Process().memory_info().rss)


def free_bytes() -> int:
    """Return the memory that this process could get: of the machine, or of its control group."""
    free = int(psutil.virtual_memory().available)
    group = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):
        own = Path("/proc/self/cgroup").read_text().strip().rpartition(":")[2].lstrip("/")
        for folder in (group / own, *(group / own).parents[: len(Path(own).parts)]):
            with suppress(OSError, ValueError):
                limit = int((folder / "memory.max").read_text())
                used = int((folder / "memory.current").read_text())
                free = min(free, limit - used)
    return max(free, 0)


def written(amount: float) -> str:
    """Return bytes as the option takes them, rounded up."""
    if amount >= 10 * 2**30:
        return f"{math.ceil(amount / 2**30)}G"
    return f"{math.ceil(amount / MIB)}M"
