"""One block of a marker-controlled watershed that is computed block by block, exactly.

Floods never leave a component of the foreground (6-connected), and a component flooded alone gives what the
whole volume gives. So a block floods the components that it holds whole, and hands on the others, voxel by
voxel, to be flooded when all their voxels are together. A block is read with the first plane of the next
ones: what it sees of a component or a marker and what its neighbours see of it meet in the voxels that they
share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from mitotools.segment.components import connected_components, sizes_voxels
from mitotools.segment.flood import flood

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Array, Labels, Mask, Size

    Flags = npt.NDArray[np.bool_]
    Integers = npt.NDArray[np.int64]
    Landscape = npt.NDArray[np.uint8]

BYTES_PER_VOXEL = 22
"""Of a block, beside the maps: seeds, foreground, components, markers, what floods and the flood's queue."""

NOWHERE = np.iinfo(np.int64).max
"""First voxel of a marker that has none in the block itself."""


@dataclass(frozen=True)
class Place:
    """Where a block lies.

    Parameters
    ----------
    origin, core : (z, y, x)
        The block's first voxel, and its shape without the planes that it shares with the next blocks.
    volume : (Z, Y, X)
        Shape of the whole volume.
    """

    origin: Size
    core: Size
    volume: Size

    @property
    def has_before(self) -> tuple[bool, bool, bool]:
        """Whether there is a block before this one, along each axis."""
        z, y, x = (start > 0 for start in self.origin)
        return z, y, x

    @property
    def has_next(self) -> tuple[bool, bool, bool]:
        """Whether there is a block behind this one, along each axis."""
        z, y, x = (a + n < end for a, n, end in zip(self.origin, self.core, self.volume, strict=True))
        return z, y, x


@dataclass(frozen=True, eq=False)
class BlockPart:
    """What a block knows of the whole; positions are indices into the whole volume in C order.

    Parameters
    ----------
    labels : core-shaped uint32
        The markers, by numbers of the block's own, that reach each voxel of its closed components.
    ids, firsts, voxels : (I,) arrays
        The closed markers that stay: their numbers, the positions of their first voxels, the voxels reached.
    is_pending : (I,) bool
        Whether the marker reaches into components that are not closed as well.
    open_ids, open_firsts, open_voxels : (O,) arrays
        The markers that other blocks may share: their first voxels and numbers of voxels, in this block.
    marker_at, marker_ids : (M,) arrays
        Shared voxels, and the open markers there.
    component_at, component_ids : (N,) arrays
        Shared voxels, and the open components there.
    run_starts, run_lengths, run_components : (R,) arrays
        Open components, run by run along x.
    values, markers : (V,) uint8, uint32
        The landscape and the markers of those runs' voxels.
    """

    labels: Labels
    ids: Integers
    firsts: Integers
    voxels: Integers
    is_pending: Flags
    open_ids: Integers
    open_firsts: Integers
    open_voxels: Integers
    marker_at: Integers
    marker_ids: Integers
    component_at: Integers
    component_ids: Integers
    run_starts: Integers
    run_lengths: Integers
    run_components: Integers
    values: Landscape
    markers: Labels

    def table(self) -> BlockPart:
        """Return the part without anything of the size of the block: each open component is one run."""
        components, of_run = np.unique(self.run_components, return_inverse=True)
        voxels = np.zeros(components.size, np.int64)
        np.add.at(voxels, of_run, self.run_lengths)
        return replace(
            self,
            labels=np.zeros((0, 0, 0), np.uint32),
            run_starts=np.zeros(components.size, np.int64),
            run_lengths=voxels,
            run_components=components,
            values=np.zeros(0, np.uint8),
            markers=np.zeros(0, np.uint32),
        )


def block_watershed(
    landscape: Landscape,
    seeds: Mask,
    threshold: int,
    min_seed_voxels: int,
    min_size_voxels: int,
    place: Place,
) -> BlockPart:
    """Flood the components that lie within a block, and describe what does not.

    Parameters
    ----------
    landscape : (Z, Y, X) uint8
        Of the block and of the first plane of the next block along each axis, where there is one.
    seeds : (Z, Y, X) bool
        The markers' voxels.
    threshold : int
        The foreground is above it.
    min_seed_voxels, min_size_voxels : int
        Least sizes of a marker and of an instance.
    place : Place
    """
    foreground = landscape > threshold
    components, component_count = connected_components(foreground, 6)
    markers, marker_count = connected_components(seeds, 26)
    open_markers, open_components, touches_open = _open(
        components, component_count, markers, marker_count, place.core, place.has_before, place.has_next
    )
    sizes, firsts = _sizes_and_firsts(markers, marker_count, place.origin, place.core, place.volume)
    stays = ~open_markers & (sizes >= min_seed_voxels)
    stays[0] = False
    labels, closed = _closed(landscape, components, markers, open_components, stays, place.core)
    flood(closed, labels, threshold)
    voxels = sizes_voxels(labels, marker_count)
    # What is complete and too small is dropped here, and never heard of again.
    kept = stays & ((voxels >= max(min_size_voxels, 1)) | touches_open)
    if not kept[stays].all():
        _drop(labels.reshape(-1), kept)
    starts, lengths, of_run = _runs(components, open_components, place.origin, place.core, place.volume)
    values, of_voxel = _voxels(
        landscape, components, markers, open_components, open_markers | stays, place.core, int(lengths.sum())
    )
    open_ids, ids = np.flatnonzero(open_markers), np.flatnonzero(kept)
    return BlockPart(
        labels,
        ids, firsts[ids], voxels[ids], touches_open[ids],
        open_ids, firsts[open_ids], sizes[open_ids],
        *_shared(markers, place.origin, place.core, place.volume, place.has_before, place.has_next),
        *_shared(components, place.origin, place.core, place.volume, place.has_before, place.has_next),
        starts, lengths, of_run,
        values, of_voxel,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _closed(
    landscape: Landscape,
    components: Labels,
    markers: Labels,
    open_components: Flags,
    stays: Flags,
    core: Size,
) -> tuple[Labels, Landscape]:
    """Return the markers and the landscape of closed components, which have no voxel in another block."""
    labels = np.zeros(core, np.uint32)
    closed = np.zeros(core, np.uint8)
    for z in range(core[0]):
        for y in range(core[1]):
            for x in range(core[2]):
                component = components[z, y, x]
                if component != 0 and not open_components[component]:
                    closed[z, y, x] = landscape[z, y, x]
                    if stays[markers[z, y, x]]:
                        labels[z, y, x] = markers[z, y, x]
    return labels, closed


@njit(cache=True, nogil=True)
def _drop(labels: Labels, kept: Flags) -> None:
    for i in range(labels.size):
        if labels[i] != 0 and not kept[labels[i]]:
            labels[i] = 0


@njit(cache=True, nogil=True)
def _voxels(
    landscape: Landscape,
    components: Labels,
    markers: Labels,
    open_components: Flags,
    keeps: Flags,
    core: Size,
    count: int,
) -> tuple[Landscape, Labels]:
    """Return the landscape and the markers of open components, in raster order."""
    values, of_voxel = np.empty(count, np.uint8), np.zeros(count, np.uint32)
    end = 0
    for z in range(core[0]):
        for y in range(core[1]):
            for x in range(core[2]):
                component = components[z, y, x]
                if component != 0 and open_components[component]:
                    values[end] = landscape[z, y, x]
                    if keeps[markers[z, y, x]]:
                        of_voxel[end] = markers[z, y, x]
                    end += 1
    return values, of_voxel


@njit(cache=True, nogil=True)
def _is_shared(
    z: int, y: int, x: int, core: Size, before: tuple[bool, bool, bool], behind: tuple[bool, bool, bool]
) -> bool:
    """Whether another block sees this voxel as well."""
    return (
        (before[0] and z == 0) or (behind[0] and z == core[0])
        or (before[1] and y == 0) or (behind[1] and y == core[1])
        or (before[2] and x == 0) or (behind[2] and x == core[2])
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _open(
    components: Labels,
    component_count: int,
    markers: Labels,
    marker_count: int,
    core: Size,
    before: tuple[bool, bool, bool],
    behind: tuple[bool, bool, bool],
) -> tuple[Flags, Flags, Flags]:
    """Return which markers and components others may share, and which markers touch such components.

    A component that an open marker touches is open: whether the marker stays is not known here.
    """
    open_markers = np.zeros(marker_count + 1, np.bool_)
    open_components = np.zeros(component_count + 1, np.bool_)
    depth, height, width = components.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if _is_shared(z, y, x, core, before, behind):
                    open_markers[markers[z, y, x]] = True
                    open_components[components[z, y, x]] = True
    open_markers[0] = open_components[0] = False
    flat_markers, flat_components = markers.reshape(-1), components.reshape(-1)
    for i in range(flat_markers.size):
        if flat_components[i] != 0 and open_markers[flat_markers[i]]:
            open_components[flat_components[i]] = True
    touches_open = np.zeros(marker_count + 1, np.bool_)
    for i in range(flat_markers.size):
        if flat_markers[i] != 0 and open_components[flat_components[i]]:
            touches_open[flat_markers[i]] = True
    return open_markers, open_components, touches_open


@njit(cache=True, nogil=True)
def _sizes_and_firsts(
    markers: Labels, count: int, origin: Size, core: Size, volume: Size
) -> tuple[Integers, Integers]:
    """Count each marker's voxels in the block itself, and find the first."""
    sizes = np.zeros(count + 1, np.int64)
    firsts = np.full(count + 1, NOWHERE, np.int64)
    for z in range(core[0]):
        for y in range(core[1]):
            row = ((origin[0] + z) * volume[1] + origin[1] + y) * volume[2] + origin[2]
            for x in range(core[2]):
                marker = markers[z, y, x]
                if marker != 0:
                    if sizes[marker] == 0:
                        firsts[marker] = row + x
                    sizes[marker] += 1
    return sizes, firsts


@njit(cache=True, nogil=True)
def _shared(
    labels: Labels,
    origin: Size,
    core: Size,
    volume: Size,
    before: tuple[bool, bool, bool],
    behind: tuple[bool, bool, bool],
) -> tuple[Array, Array]:
    """Return labelled voxels that other blocks see as well: of each run along a shared plane the first one.

    Runs are cut alike by all blocks that see them, because they see all of them, save at the block's edges:
    there every voxel is named. Planes of one x have runs along y.
    """
    depth, height, width = labels.shape
    found = [(np.int64(0), np.int64(0)) for _ in range(0)]
    for z in range(depth):
        on_z = (before[0] and z == 0) or (behind[0] and z == core[0])
        for y in range(height):
            on_zy = on_z or (before[1] and y == 0) or (behind[1] and y == core[1])
            step = 1 if on_zy else max(width - 1, 1)
            for x in range(0, width, step):
                label = labels[z, y, x]
                on_x = (before[2] and x == 0) or (behind[2] and x == core[2])
                if label == 0 or not (on_zy or on_x):
                    continue
                starts_x = x == 0 or x == width - 1 or labels[z, y, x - 1] == 0
                starts_y = y == 0 or y == height - 1 or labels[z, y - 1, x] == 0
                if (on_zy and starts_x) or (on_x and starts_y):
                    at = ((origin[0] + z) * volume[1] + origin[1] + y) * volume[2] + origin[2] + x
                    found.append((np.int64(at), np.int64(label)))
    positions, ids = np.empty(len(found), np.int64), np.empty(len(found), np.int64)
    for i, (position, label) in enumerate(found):
        positions[i], ids[i] = position, label
    return positions, ids


@njit(cache=True, nogil=True)
def _runs(
    components: Labels, is_open: Flags, origin: Size, core: Size, volume: Size
) -> tuple[Array, Array, Array]:
    """Return the runs along x of open components in the block itself: start, length, component."""
    found = [(np.int64(0), np.int64(0), np.int64(0)) for _ in range(0)]
    for z in range(core[0]):
        for y in range(core[1]):
            row = ((origin[0] + z) * volume[1] + origin[1] + y) * volume[2] + origin[2]
            x = 0
            while x < core[2]:
                component = components[z, y, x]
                first = x
                while x < core[2] and components[z, y, x] == component:
                    x += 1
                if is_open[component]:
                    found.append((np.int64(row + first), np.int64(x - first), np.int64(component)))
    starts, lengths = np.empty(len(found), np.int64), np.empty(len(found), np.int64)
    of_run = np.empty(len(found), np.int64)
    for i, (start, length, component) in enumerate(found):
        starts[i], lengths[i], of_run[i] = start, length, component
    return starts, lengths, of_run
