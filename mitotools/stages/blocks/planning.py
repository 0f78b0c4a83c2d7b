"""What a stage needs of memory and disk, before it starts."""

from __future__ import annotations

import logging
import math
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mitotools.errors import InputError, TargetError
from mitotools.run.budget import KERNEL_BYTES, WORKER_BYTES, Demand, Layout, written
from mitotools.run.memory import free_bytes, resident_bytes
from mitotools.stages.blocks.pieces import PIECE_BYTES
from mitotools.volume.blocks import grid
from mitotools.volume.formats import is_glob

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mitotools.conventions import Size
    from mitotools.run.budget import BlockPlan
    from mitotools.run.engine import Engine
    from mitotools.run.running import Running
    from mitotools.volume.base import VolumeSpec
    from mitotools.volume.path import VolumePath


@dataclass(frozen=True)
class Stored:
    """A volume that is not there yet, as something that will be read from its first voxel on."""

    spec: VolumeSpec
    offset: Size = (0, 0, 0)


MOST_BLOCKS = 10**7
"""Of one volume; at some 20 Mvoxel each, 200 Tvoxel."""


class Source(Protocol):
    """What a stage reads, a `Volume` for instance: how it is stored decides which blocks cost least."""

    @property
    def spec(self) -> VolumeSpec:
        """What it is."""

    @property
    def offset(self) -> Size:
        """Where in its grid of chunks the stage's first voxel lies."""


def check_count(name: object, size: Size, block: Size) -> None:
    """Raise InputError where there are absurdly many blocks: a file is not what it says it is."""
    count = math.prod(-(-n // b) for n, b in zip(size, block, strict=True))
    if count > MOST_BLOCKS:
        why = f"{' x '.join(map(str, size))} voxels are {count} blocks, more than any disk holds"
        raise InputError(str(name), why, "Is the file what it says it is?")


def memory_of(running: Running, engine: Engine | None = None) -> int:
    """Return the budget: the one given, or half of what is free where the engine computes."""
    return running.memory_bytes or (engine.free_bytes if engine else free_bytes()) // 2


def demand_of(spec: VolumeSpec, sources: Sequence[Source], bytes_per_voxel: float | None = None) -> Demand:
    """Return what the blocks of a new volume need; by default twice its voxels."""
    if bytes_per_voxel is None:
        bytes_per_voxel = 2 * spec.dtype.itemsize * (spec.channels or 1)
    return Demand(
        size=spec.size,
        unit=spec.unit,
        bytes_per_voxel=bytes_per_voxel,
        sources=tuple(Layout(source.spec.chunks, source.offset) for source in sources),
        thread_bytes=_thread_bytes([spec, *(source.spec for source in sources)]),
        base_bytes=resident_bytes(),
        worker_bytes=WORKER_BYTES + (KERNEL_BYTES if "numba" in sys.modules else 0),
    )


def demand_to_read(volumes: Sequence[Source], bytes_per_voxel: float) -> Demand:
    """Return what computing something of every block of volumes of one shape needs, where none is written."""
    unsharded = replace(volumes[0].spec, shards=None)  # which only writing is bound to
    return demand_of(unsharded, volumes, bytes_per_voxel)


def _thread_bytes(specs: Iterable[VolumeSpec]) -> int:
    """Return what a thread holds of a piece: as it lies in the file, decoded, and in the order of memory."""
    return 3 * max(
        max(math.prod(spec.unit) * spec.dtype.itemsize * (spec.channels or 1), PIECE_BYTES) for spec in specs
    )


def needs(target: VolumePath, spec: VolumeSpec, plans: list[BlockPlan]) -> dict[str, str]:
    """Return what --dry-run prints: of the first plan, but the memory of all."""
    return {
        "target": str(target),
        **needs_to_read(spec, plans[0]),
        "memory": written(max(plan.memory_bytes for plan in plans)),
        **_disk_needs(target, spec.nbytes),
    }


def needs_of_tiles(target: VolumePath, count: int, plan: BlockPlan, nbytes: int) -> dict[str, str]:
    """Return what --dry-run prints of so many tiles: the blocks are those of the largest."""
    return {"target": str(target), "tiles": str(count), **_blocks_of(plan), **_disk_needs(target, nbytes)}


def needs_to_read(spec: VolumeSpec, plan: BlockPlan) -> dict[str, str]:
    """Return what --dry-run prints of the blocks of a volume, and of memory."""
    return {
        "shape": "x".join(map(str, spec.shape)),
        "blocks": str(len(grid(spec.size, plan.block))),
        **_blocks_of(plan),
    }


def _blocks_of(plan: BlockPlan) -> dict[str, str]:
    return {
        "block": "x".join(map(str, plan.block)),
        "at_once": str(plan.slots),
        "memory": written(plan.memory_bytes),
    }


def _disk_needs(target: VolumePath, nbytes: int) -> dict[str, str]:
    free = _free_disk(target)
    return {
        "disk_uncompressed": written(nbytes),
        "disk_free": written(free) if free is not None else "unknown",
    }


def _free_disk(target: VolumePath) -> int | None:
    """Return the bytes that are free where a volume will be; behind a URL that is not known."""
    if target.is_remote:
        return None
    folder = Path(target.file).absolute().parent  # of a label image, that of the image around it
    return shutil.disk_usage(folder.parent if is_glob(target.file) else folder).free


def check_disk(target: VolumePath, nbytes: int, compression: str) -> None:
    """Refuse what cannot fit; warn where it depends on how far it can be compressed.

    Parameters
    ----------
    target : VolumePath
        A volume, or a folder of tiles.
    nbytes : int
        What it takes uncompressed.
    compression : str
        Of `VolumeSpec`.

    Raises
    ------
    TargetError
    """
    free = _free_disk(target)
    if free is None or nbytes <= free:
        return
    why = f"needs {written(nbytes)} of disk uncompressed, and {written(free)} are free"
    if compression == "none":
        raise TargetError(str(target), why, "Choose a --compression, or another disk")
    logging.getLogger(__name__).warning("%s %s", target, why)
