"""Passes over the voxels of one block of a watershed; `block_watershed` says what for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Array, Labels, Size

    Flags = npt.NDArray[np.bool_]
    Integers = npt.NDArray[np.int64]
    Landscape = npt.NDArray[np.uint8]

NOWHERE = np.iinfo(np.int64).max
"""First voxel of a marker that has none in the block itself."""


@njit(cache=True, nogil=True)
def closed_part(
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
def drop(labels: Labels, kept: Flags) -> None:
    """Set voxels of the labels that are not kept to 0, in place."""
    for i in range(labels.size):
        if labels[i] != 0 and not kept[labels[i]]:
            labels[i] = 0


@njit(cache=True, nogil=True)
def open_voxels(
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
def is_shared(
    z: int, y: int, x: int, core: Size, before: tuple[bool, bool, bool], behind: tuple[bool, bool, bool]
) -> bool:
    """Whether another block sees this voxel as well."""
    return (
        (before[0] and z == 0) or (behind[0] and z == core[0])
        or (before[1] and y == 0) or (behind[1] and y == core[1])
        or (before[2] and x == 0) or (behind[2] and x == core[2])
    )  # fmt: skip


@njit(cache=True, nogil=True)
def open_parts(
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
                if is_shared(z, y, x, core, before, behind):
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
def sizes_and_firsts(
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
def shared_voxels(
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
def open_runs(
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
