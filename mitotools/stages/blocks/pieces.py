"""Reading and writing a block in pieces, whole chunks of the file, on all threads of a process."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mitotools.run.engine import shared_pool
from mitotools.segment.runs import require_ids
from mitotools.volume.blocks import Box, block_shape, boxes_within, size3
from mitotools.volume.files import open_volume

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mitotools.conventions import Array, Labels, Size
    from mitotools.volume.base import VolumeSpec, Writer
    from mitotools.volume.path import VolumePath

PIECE_BYTES = 4 * 2**20
"""About what a thread reads or writes at once; a chunk at least."""

LOOKED_AT: Size = (1, 64, 64)
"""Voxels in the middle of a volume that tell whether it holds instances or an image."""

GREY_SHARE = 0.5
"""Of neighbouring voxels, so many differ in an image; in labels a few per cent do."""

LEAST_PAIRS = 100
"""Of fewer neighbours nothing is said."""


class Seen(Protocol):
    """A volume that can be read by blocks: one on disk, or a view of one."""

    @property
    def name(self) -> str:
        """What to call it in messages."""

    @property
    def spec(self) -> VolumeSpec:
        """What it is."""

    @property
    def offset(self) -> Size:
        """Where in its grid of chunks its first voxel lies."""

    def pieces(self, box: Box, voxels: int) -> list[Box]:
        """Cut `box` into pieces of about `voxels` voxels that cost least to read."""

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels."""


def read_pieces(volume: Seen, box: Box, threads: int) -> Array:
    """Return the voxels of `box`, all channels, its pieces read on the threads of this process."""
    pieces = volume.pieces(box, _voxels(volume.spec))
    if len(pieces) == 1:
        return volume.read(box)
    array = np.empty(volume.spec.shape[:-3] + box.shape, volume.spec.dtype)

    def read(piece: Box) -> None:
        array[(..., *piece.relative_to(box.start).slices)] = volume.read(piece)

    on_threads(read, pieces, threads)
    return array


def read_labels(volume: Seen, box: Box, threads: int) -> Labels:
    """Return the ids of `box`, read likewise; InputError, with the volume's name, where one is negative."""
    labels = read_pieces(volume, box, threads)
    require_ids(labels, volume.name)
    return labels


def warn_of_grey_values(*labels: VolumePath) -> None:
    """Say of what should be instances that it looks like an image: raw and labels are easily exchanged."""
    for path in labels:
        with open_volume(path, "labels") as volume:
            size = volume.spec.size
            start = [max(n - m, 0) // 2 for n, m in zip(size, LOOKED_AT, strict=True)]
            stop = [min(a + m, n) for a, m, n in zip(start, LOOKED_AT, size, strict=True)]
            ids = volume.read(Box(size3(start), size3(stop)))
        changes = ids[..., 1:] != ids[..., :-1]
        if changes.size >= LEAST_PAIRS and changes.mean() > GREY_SHARE:
            message = "%s looks like an image, not like labels: in its middle most neighbouring voxels differ"
            logging.getLogger(__name__).warning(message, volume.name)


def on_threads(function: Callable[[Box], None], pieces: Sequence[Box], threads: int) -> None:
    """Call a function for every piece of a block; an error is raised when no thread is at work any more."""
    if threads == 1 or len(pieces) == 1:
        for piece in pieces:
            function(piece)
        return
    pool = shared_pool(threads)
    futures = [pool.submit(function, piece) for piece in pieces]
    try:
        pool.wait(futures)
    finally:
        for future in futures:
            future.cancel()
        pool.wait(futures)
    for future in futures:
        future.result()


def write_pieces(writer: Writer, box: Box, array: Array, threads: int) -> None:
    """Write the voxels of `box`, all channels, likewise."""
    shape = block_shape(writer.spec.size, writer.spec.unit, _voxels(writer.spec))

    def write(piece: Box) -> None:
        writer.write(piece, array[(..., *piece.relative_to(box.start).slices)])

    on_threads(write, list(boxes_within(box, shape)), threads)


def _voxels(spec: VolumeSpec) -> int:
    return PIECE_BYTES // (spec.dtype.itemsize * (spec.channels or 1))
