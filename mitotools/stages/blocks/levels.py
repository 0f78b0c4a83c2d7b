"""The coarser levels of an image: each is computed from the one before, when nothing of that is missing."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

from mitotools.stages.blocks.pieces import read_pieces
from mitotools.stages.blocks.planning import Stored, demand_of
from mitotools.stages.blocks.views import Halved, load_kernels
from mitotools.stages.blocks.work import Work
from mitotools.volume.files import open_volume
from mitotools.volume.formats.pyramid import pyramid, step
from mitotools.volume.path import VolumePath

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mitotools.run.budget import Demand
    from mitotools.volume.base import VolumeSpec
    from mitotools.volume.outputs import OpenWriter


def level_demands(spec: VolumeSpec) -> list[Demand]:
    """Return what the blocks of each coarser level need, the finest of them first."""
    if spec.levels == 1:
        return []
    load_kernels()
    specs = pyramid(spec)
    return [_demand(finer, coarser) for finer, coarser in pairwise(specs)]


def _demand(finer: VolumeSpec, coarser: VolumeSpec) -> Demand:
    voxel_bytes = (2 + finer.voxels / coarser.voxels) * finer.dtype.itemsize * (finer.channels or 1)
    return demand_of(coarser, [Stored(coarser)], voxel_bytes)


@contextmanager
def level_work(writer: OpenWriter, level: int) -> Iterator[Work]:
    """Yield how a level of an unfinished image is computed."""
    # What is not finished behind a URL does not state its voxel size: the writer knows it.
    finer, coarser = (writer.at_level(number).spec for number in (level - 1, level))
    factors = step(finer.size, finer.voxel_size_nm)
    with open_volume(VolumePath(str(writer.path), str(level - 1)), unfinished=True) as volume:
        halved = Halved.of(volume, factors, coarser)
        yield Work(lambda box, threads: read_pieces(halved, box, threads), f"level {level}", [halved])
