"""Which instances are read together, and how coarse the mask of each is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mitotools.volume.blocks import Box, size3
from mitotools.volume.formats.pyramid import step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mitotools.conventions import Size, VoxelSize
    from mitotools.segment.measures.measure import Measurements
    from mitotools.volume.base import VolumeSpec

    BytesOf = Callable[[Size, VoxelSize | None], float]

MOST_VOXELS = 2**25
"""Of a mask whose voxels are cubes as long as their shortest side: a box of 17 um3 at 8 nm."""

CELL = (32, 128, 128)
"""Voxels (z, y, x): instances that begin in the same cell are read together."""

GROUP_VOXELS = 2**22
"""Of a box in which several instances are read together, at most."""


@dataclass(frozen=True)
class Instance:
    """Where an instance lies, and how coarse its mask is."""

    id: int
    box: Box
    factors: Size

    @property
    def is_coarse(self) -> bool:
        """Whether several voxels of the volume make one of the mask."""
        return self.factors != (1, 1, 1)

    @property
    def coarse(self) -> Box:
        """Its box in voxels of the mask, which lie on a grid from the volume's first voxel on."""
        start = size3([a // f for a, f in zip(self.box.start, self.factors, strict=True)])
        stop = size3([-(-b // f) for b, f in zip(self.box.stop, self.factors, strict=True)])
        return Box(start, stop)


@dataclass(frozen=True)
class Group:
    """Instances that are read together, and what that takes of memory."""

    members: tuple[Instance, ...]
    box: Box
    cost_bytes: float


def instances_of(measurements: Measurements, spec: VolumeSpec) -> list[Instance]:
    """Return the instances in the order in which they are read best: cell by cell."""
    cells = measurements.starts // np.array(CELL)
    order = np.lexsort((measurements.ids, *cells.T[::-1]))
    voxel_size = spec.voxel_size_nm
    found = []
    for i in order.tolist():
        box = Box(size3(measurements.starts[i]), size3(measurements.stops[i]))
        found.append(Instance(int(measurements.ids[i]), box, _factors(box.shape, voxel_size)))
    return found


def _factors(size: Size, voxel_size_nm: VoxelSize | None) -> Size:
    """Return by how much a mask is made coarser, along each axis, until it is small enough."""
    factors, lengths = (1, 1, 1), voxel_size_nm or (1.0, 1.0, 1.0)
    while cube_voxels(size, lengths) > MOST_VOXELS:
        shrinking = step(size, lengths)
        factors = size3([a * b for a, b in zip(factors, shrinking, strict=True)])
        size = size3([-(-n // f) for n, f in zip(size, shrinking, strict=True)])
        z, y, x = (v * f for v, f in zip(lengths, shrinking, strict=True))
        lengths = (z, y, x)
    return factors


def groups_of(instances: Iterable[Instance], spec: VolumeSpec, bytes_of: BytesOf) -> list[Group]:
    """Return the instances that are read together; one of coarse voxels is read alone, in pieces.

    Parameters
    ----------
    instances : iterable of Instance
        Cell by cell.
    spec : VolumeSpec
        Of the labels.
    bytes_of : callable
        What is made of a mask takes so much: its (z, y, x) voxels, and their size.
    """
    groups: list[Group] = []
    members: list[Instance] = []
    box = Box((0, 0, 0), (0, 0, 0))
    cell = None

    def close() -> None:
        if members:
            groups.append(Group(tuple(members), box, _cost(members, box, spec, bytes_of)))
            members.clear()

    for instance in instances:
        own_cell = (instance.factors, *(a // c for a, c in zip(instance.box.start, CELL, strict=True)))
        joint = _joint(box, instance.box)
        if not members or instance.is_coarse or own_cell != cell or math.prod(joint.shape) > GROUP_VOXELS:
            close()
            joint = instance.box
        members.append(instance)
        box, cell = joint, own_cell
    close()
    return groups


def _joint(box: Box, other: Box) -> Box:
    start = size3([min(a, b) for a, b in zip(box.start, other.start, strict=True)])
    stop = size3([max(a, b) for a, b in zip(box.stop, other.stop, strict=True)])
    return Box(start, stop)


def _cost(members: list[Instance], box: Box, spec: VolumeSpec, bytes_of: BytesOf) -> float:
    """Return the bytes of what is read, and of the largest mask with what is made of it."""
    itemsize = spec.dtype.itemsize
    largest = max(
        math.prod(one.coarse.shape) + bytes_of(one.coarse.shape, coarse_voxel_size(spec, one.factors))
        for one in members
    )
    first = members[0]
    if not first.is_coarse:
        return 2 * itemsize * math.prod(box.shape) + largest
    counts = 4 * math.prod(first.coarse.shape)
    return (2 * itemsize + 1) * math.prod(piece_of(spec, first.factors)) + counts + largest


def cube_voxels(size: Size, voxel_size_nm: VoxelSize | None) -> float:
    """Return how many cubes, as long as the shortest side of a voxel, fill a mask of (z, y, x) voxels."""
    lengths = voxel_size_nm or (1.0, 1.0, 1.0)
    return math.prod(size) * math.prod(lengths) / min(lengths) ** 3


def coarse_voxel_size(spec: VolumeSpec, factors: Size) -> VoxelSize | None:
    """Return the voxel size (z, y, x) of a mask of coarser voxels, in nm; None if unknown."""
    if spec.voxel_size_nm is None:
        return None
    z, y, x = (v * f for v, f in zip(spec.voxel_size_nm, factors, strict=True))
    return z, y, x


def piece_of(spec: VolumeSpec, factors: Size) -> Size:
    """Return the voxels that are read at once: whole chunks, and whole voxels of the mask."""
    return size3([math.lcm(c, f) for c, f in zip(spec.chunks, factors, strict=True)])
