"""The flood of the marker-controlled watershed: a hierarchical queue of 256 first-in-first-out levels.

The labels are those of F. Meyer's flooding (Traitement du Signal 7, 1990; hierarchical queues: Beucher and
Meyer, 1993), turned upside down, from high to low values. A voxel enters the queue once, at the level of its
own value, so a histogram gives every level its place in one array, and the flood is linear in the voxels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Array, Labels, Size

    Landscape = npt.NDArray[np.uint8]
    Positions = npt.NDArray[np.int64]

LEVELS = 256


def flood(landscape: Landscape, labels: Labels, threshold: int) -> None:
    """Grow markers through the foreground, highest values first, in place.

    Always the voxel of the highest value is taken, among equals the one that entered first; its 6-neighbours
    are visited in raster order, and each that is foreground and not yet labelled takes its label and enters.
    The markers' voxels enter first, in raster order. The level is never clamped: a voxel above the current
    level is the next one.

    The order of one voxel's neighbours is fixed, but decides nothing: they carry one label, and nothing of
    another label comes between them in any level. Floods do not cross between 6-connected components of the
    foreground, so each of them flooded alone gives the same labels.

    Parameters
    ----------
    landscape : (Z, Y, X) array of uint8
        The voxels' priorities, C-contiguous.
    labels : (Z, Y, X) array of uint32
        The markers, C-contiguous; changed in place. Marker voxels outside the foreground become background;
        foreground that no marker reaches is and stays background.
    threshold : int
        The foreground are the voxels above it; 0 or more.
    """
    voxels = landscape.reshape(-1)
    starts = _starts(voxels, threshold)
    # Half the memory where four bytes hold an index, which is nearly always.
    index_type = np.uint32 if voxels.size <= 2**32 else np.int64
    queue = np.empty(starts[-1], index_type)
    ends = _enter_markers(voxels, labels.reshape(-1), threshold, queue, starts)
    _spread(voxels, labels.reshape(-1), threshold, landscape.shape, queue, starts[:LEVELS], ends)


@njit(cache=True, nogil=True)
def _starts(voxels: Landscape, threshold: int) -> Positions:
    """Where each level's part of the queue starts; at the end, the length of the queue."""
    starts = np.zeros(LEVELS + 1, np.int64)
    for value in voxels:
        starts[value + 1] += 1
    starts[: threshold + 2] = 0
    return np.cumsum(starts)


@njit(cache=True, nogil=True)
def _enter_markers(
    voxels: Landscape, labels: Labels, threshold: int, queue: Array, starts: Positions
) -> Positions:
    """Queue the markers' voxels in raster order, and return where each level ends."""
    ends = starts[:LEVELS].copy()
    for i in range(voxels.size):
        if labels[i] == 0:
            continue
        value = voxels[i]
        if value > threshold:
            queue[ends[value]] = i
            ends[value] += 1
        else:
            labels[i] = 0
    return ends


@njit(cache=True, nogil=True)
def _spread(
    voxels: Landscape,
    labels: Labels,
    threshold: int,
    shape: Size,
    queue: Array,
    heads: Positions,
    ends: Positions,
) -> None:
    """Take voxel after voxel, and enter its neighbours, until the queue is empty."""
    depth, height, width = shape
    plane = height * width
    level = LEVELS - 1
    while level > threshold:
        if heads[level] == ends[level]:
            level -= 1
            continue
        i = np.int64(queue[heads[level]])
        heads[level] += 1
        row = i // width
        x = i - row * width
        y = row % height
        label = labels[i]
        if i >= plane:
            level = _enter(i - plane, label, level, voxels, labels, threshold, queue, ends)
        if y > 0:
            level = _enter(i - width, label, level, voxels, labels, threshold, queue, ends)
        if x > 0:
            level = _enter(i - 1, label, level, voxels, labels, threshold, queue, ends)
        if x < width - 1:
            level = _enter(i + 1, label, level, voxels, labels, threshold, queue, ends)
        if y < height - 1:
            level = _enter(i + width, label, level, voxels, labels, threshold, queue, ends)
        if i < (depth - 1) * plane:
            level = _enter(i + plane, label, level, voxels, labels, threshold, queue, ends)


@njit(cache=True, nogil=True)
def _enter(
    i: np.int64,
    label: int,
    level: int,
    voxels: Landscape,
    labels: Labels,
    threshold: int,
    queue: Array,
    ends: Positions,
) -> int:
    """Label and queue a voxel that is free, and return the highest level that may hold a voxel."""
    value = voxels[i]
    if labels[i] != 0 or value <= threshold:
        return level
    labels[i] = label
    queue[ends[value]] = i
    ends[value] += 1
    raised: int = max(level, value)
    return raised
