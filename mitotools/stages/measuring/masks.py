"""One instance after another, as a mask: for what cannot be added up from blocks.

Instances that begin near each other are read together. One whose mask would be too large comes in coarser
voxels, which depends on the instance alone: the result is the same in whatever memory.
"""

from __future__ import annotations

import itertools
import logging
import math
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mitotools.run.budget import PREFERRED_BYTES, plan_blocks
from mitotools.stages.blocks.pieces import read_pieces
from mitotools.stages.blocks.planning import demand_of, memory_of
from mitotools.stages.measuring.mask_plan import coarse_voxel_size, groups_of, instances_of, piece_of
from mitotools.volume.blocks import Box, boxes_within, size3

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from mitotools.conventions import Array, Size, VoxelSize
    from mitotools.run.engine import Engine
    from mitotools.run.running import Running
    from mitotools.segment.measures.measure import Measurements
    from mitotools.stages.measuring.mask_plan import BytesOf, Group, Instance
    from mitotools.volume.base import Volume

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Masked:
    """One instance.

    Parameters
    ----------
    id : int
    mask : (Z, Y, X) bool
        Its box.
    voxel_size_nm : (z, y, x) or None
        Of the mask; None if unknown.
    first : (z, y, x) float
        The middle of the mask's first voxel, in voxels of the volume, whose first one has its middle at 0.
    factors : (z, y, x)
        The voxels of the volume that make one of the mask: (1, 1, 1) unless the instance is very large.
    """

    id: int
    mask: Array
    voxel_size_nm: VoxelSize | None
    first: tuple[float, float, float]
    factors: Size


@dataclass(frozen=True)
class _Call:
    """Looks at the instances of a group, wherever it is sent."""

    volume: Volume
    function: Callable[[Masked], Any]
    threads: int

    def __call__(self, group: Group) -> list[Any]:
        return [self.function(masked) for masked in _masks(self.volume, group, self.threads)]


def map_masks(
    volume: Volume,
    measurements: Measurements,
    function: Callable[[Masked], Result],
    label: str,
    running: Running,
    bytes_of: BytesOf,
) -> Generator[Result]:
    """Yield `function(masked)` of every instance, in no particular order.

    Parameters
    ----------
    volume : Volume
        (Z, Y, X) labels.
    measurements : Measurements
        Of the whole volume: where instances lie.
    function : callable
        Sent to other processes as it is; called on several threads at once.
    label : str
        The step, as progress calls it.
    running : Running
    bytes_of : callable
        What the function takes of memory for a mask of (z, y, x) voxels of a size in nm, or of unknown size.

    Raises
    ------
    MachineError
        Where the budget is too small for the largest instance.
    """
    instances = instances_of(measurements, volume.spec)
    _tell_of_coarse(instances, label)
    groups = groups_of(instances, volume.spec, bytes_of)
    with running.engine() as engine:
        results = _mapped(volume, groups, function, running, engine)
        with closing(results):
            yield from running.track(results, len(measurements), label, "instances")


def _tell_of_coarse(instances: list[Instance], label: str) -> None:
    coarse = [one.id for one in instances if one.is_coarse]
    if coarse:
        logging.getLogger(__name__).warning(
            "%s: %d instances are so large that coarser voxels are used, %d for instance.",
            label,
            len(coarse),
            min(coarse),
        )


def _mapped(
    volume: Volume,
    groups: list[Group],
    function: Callable[[Masked], Result],
    running: Running,
    engine: Engine,
) -> Generator[Result]:
    """Begin with the most expensive groups, few at a time; the many cheap ones come last."""
    for _, alike in itertools.groupby(sorted(groups, key=_rank, reverse=True), _rank):
        at_once = list(alike)
        cost = max(group.cost_bytes for group in at_once)
        demand = replace(demand_of(volume.spec, [volume], cost), size=(1, 1, 1), unit=(1, 1, 1), sources=())
        plan = plan_blocks(demand, memory_of(running, engine), engine.threads, engine.processes)
        call = _Call(volume, function, plan.threads // max(engine.processes, 1))
        with closing(engine.map(call, at_once, plan.slots)) as results:
            for _, found in results:
                yield from found


def _rank(group: Group) -> int:
    return int(max(group.cost_bytes, PREFERRED_BYTES)).bit_length()


def _masks(volume: Volume, group: Group, threads: int) -> Iterator[Masked]:
    if group.members[0].is_coarse:
        yield from (_masked(volume, one, _coarse_mask(volume, one, threads)) for one in group.members)
        return
    labels = read_pieces(volume, group.box, threads)
    for one in group.members:
        own = labels[one.box.relative_to(group.box.start).slices]
        yield _masked(volume, one, own == labels.dtype.type(one.id))


def _masked(volume: Volume, instance: Instance, mask: Array) -> Masked:
    corner = zip(instance.coarse.start, instance.factors, strict=True)
    z, y, x = (a * f + (f - 1) / 2 for a, f in corner)
    return Masked(
        instance.id, mask, coarse_voxel_size(volume.spec, instance.factors), (z, y, x), instance.factors
    )


def _coarse_mask(volume: Volume, instance: Instance, threads: int) -> Array:
    """Return where half of the voxels are the instance's; where any is, if it would vanish otherwise."""
    coarse, factors = instance.coarse, instance.factors
    counts = np.zeros(coarse.shape, np.uint32)
    start = size3([a * f for a, f in zip(coarse.start, factors, strict=True)])
    stop = size3([b * f for b, f in zip(coarse.stop, factors, strict=True)])
    whole = Box(start, stop).intersection(Box.whole(volume.spec.size))
    for piece in boxes_within(whole, piece_of(volume.spec, factors)):
        inside = read_pieces(volume, piece, threads) == volume.spec.dtype.type(instance.id)
        place = Box(
            size3([a // f for a, f in zip(piece.start, factors, strict=True)]),
            size3([-(-b // f) for b, f in zip(piece.stop, factors, strict=True)]),
        )
        counts[place.relative_to(coarse.start).slices] = _counted(inside, factors)
    mask: Array = 2 * counts >= math.prod(factors)
    return mask if mask.any() else counts > 0


def _counted(inside: Array, factors: Size) -> Array:
    """Return how many voxels are inside, of each voxel of the mask."""
    for axis, factor in enumerate(factors):
        starts = np.arange(0, inside.shape[axis], factor)
        inside = np.add.reduceat(inside, starts, axis=axis, dtype=np.uint32)
    return inside
