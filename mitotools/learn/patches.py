"""Random training patches from volumes that do not fit in memory."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mitotools.errors import InputError
from mitotools.learn.augment import apply_all, draw_all
from mitotools.learn.augment.symmetry import Symmetry
from mitotools.learn.normalise import normalisation_of, read_finite, to_network, to_unit
from mitotools.volume.base import Volume
from mitotools.volume.blocks import Box, block_shape, grid, size3

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import numpy.typing as npt

    from mitotools.conventions import Array, Size
    from mitotools.learn.targets import ContourShape, Target
    from mitotools.volume.base import VolumeSpec

CELL: Size = (32, 64, 64)
"""Foreground is looked up in cells of this shape: one list of cells stands for the whole volume."""

SCANNED_VOXELS = 2**25
"""Voxels of the labels that are looked through at a time."""

HELD_BYTES = 2**29
"""A volume of at most this size stays in memory: decompressing patches of the Lucchi volume took a seventh of
the processor time of its training."""

BATCHES_AHEAD = 2
"""Batches that wait to be used, besides those in the making."""


@dataclass(frozen=True)
class Batch:
    """What one step of the training sees.

    Parameters
    ----------
    images : (N, 1, Z, Y, X) float32 in -1..1
    targets : (N, T, Z, Y, X) float32 of 0 and 1
    """

    images: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]


class PatchSource:
    """Draws patches from a raw volume and its labels.

    Parameters
    ----------
    raw, labels : Volume
        Of the same size.
    patch : (z, y, x) voxels
        Longer than the volume: the patch is padded by mirroring.
    uniform_share : float
        Part of the patches drawn anywhere; the others hold a random voxel of the foreground.

    Raises
    ------
    InputError
        Where the volumes differ in size, or there is no foreground.
    """

    def __init__(self, raw: Volume, labels: Volume, patch: Size, uniform_share: float) -> None:
        if raw.spec.size != labels.spec.size:
            raise InputError(labels.name, f"has size {labels.spec.size}, but {raw.name} has {raw.spec.size}")
        self._raw = _held(raw)
        self._labels = _held(labels)
        self._patch = patch
        self._uniform_share = uniform_share
        self._normalisation = normalisation_of(self._raw)
        self._symmetry = Symmetry.of(patch, raw.spec.voxel_size_nm or labels.spec.voxel_size_nm)
        self._cells = _cells_with_foreground(self._labels)
        if not self._cells:
            raise InputError(labels.name, "has no foreground to learn from")

    def draw(self, rng: np.random.Generator) -> tuple[npt.NDArray[np.float32], Array]:
        """Return one augmented patch: image in -1..1 and labels, both (Z, Y, X)."""
        box = self._box(rng)
        image = to_unit(self._filled(read_finite(self._raw, box)), self._normalisation)
        labels = self._filled(self._labels.read(box))
        image, labels = apply_all(draw_all(rng, self._symmetry), image, labels)
        return to_network(image), labels

    def _box(self, rng: np.random.Generator) -> Box:
        size = self._raw.spec.size
        highest = [max(n - p, 0) for n, p in zip(size, self._patch, strict=True)]
        start = [int(rng.integers(limit + 1)) for limit in highest]
        if rng.random() >= self._uniform_share:
            wanted = [v - int(rng.integers(p)) for v, p in zip(self._voxel(rng), self._patch, strict=True)]
            start = [min(max(w, 0), limit) for w, limit in zip(wanted, highest, strict=True)]
        stop = [min(a + p, n) for a, p, n in zip(start, self._patch, size, strict=True)]
        return Box(size3(start), size3(stop))

    def _voxel(self, rng: np.random.Generator) -> Size:
        """Return a random voxel of the foreground of a random cell."""
        cell = self._cells[int(rng.integers(len(self._cells)))]
        inside = np.argwhere(self._labels.read(cell) > 0)
        return size3(inside[int(rng.integers(len(inside)))] + cell.start)

    def _filled(self, array: Array) -> Array:
        """Return what was read as a whole patch: where the volume is smaller, it is mirrored."""
        missing = [p - n for p, n in zip(self._patch, array.shape, strict=True)]
        if any(missing):
            array = np.pad(array, [(m // 2, m - m // 2) for m in missing], mode="symmetric")
        return array


class _Held:
    """The voxels of a volume, in memory."""

    def __init__(self, volume: Volume) -> None:
        self.spec: VolumeSpec = volume.spec
        self._voxels = volume.read(Box.whole(volume.spec.size))

    def read(self, box: Box) -> Array:
        return self._voxels[box.slices]

    def close(self) -> None:
        """Nothing is open."""


def _held(volume: Volume) -> Volume:
    return Volume(_Held(volume), volume.name) if volume.spec.nbytes <= HELD_BYTES else volume


def _cells_with_foreground(labels: Volume) -> list[Box]:
    """Return the cells that hold an instance; the volume is read along its chunks, once."""
    size = labels.spec.size
    found = np.zeros([-(-n // c) for n, c in zip(size, CELL, strict=True)], dtype=bool)
    for box in grid(size, block_shape(size, labels.spec.chunks, SCANNED_VOXELS)):
        inside = labels.read(box) > 0
        cells = []
        for axis, (start, stop, length) in enumerate(zip(box.start, box.stop, CELL, strict=True)):
            numbers = range(start // length, -(-stop // length))
            edges = [max(number * length - start, 0) for number in numbers]
            inside = np.logical_or.reduceat(inside, edges, axis)
            cells.append(slice(numbers.start, numbers.stop))
        found[tuple(cells)] |= inside
    return [cell for cell, hit in zip(grid(size, CELL), found.ravel(), strict=True) if hit]


def batches(
    source: PatchSource,
    targets: Sequence[Target],
    contour: ContourShape,
    count: int,
    seed: int,
    threads: int = 1,
) -> Generator[Batch]:
    """Yield batches for ever, prepared ahead on other threads; closing the iterator ends these.

    Each batch has a generator of its own, seeded by its number: what is drawn depends on nothing else.
    """

    def prepared(number: int) -> Batch:
        rng = np.random.default_rng([seed, number])
        drawn = [source.draw(rng) for _ in range(count)]
        images = np.stack([image for image, _ in drawn])[:, np.newaxis]
        truths = [np.stack([target.make(labels, contour) for target in targets]) for _, labels in drawn]
        return Batch(images, np.stack(truths).astype(np.float32))

    first = threads + BATCHES_AHEAD
    with ThreadPoolExecutor(threads) as pool:
        ahead = [pool.submit(prepared, number) for number in range(first)]
        try:
            for number in itertools.count(first):
                batch = ahead.pop(0).result()
                ahead.append(pool.submit(prepared, number))
                yield batch
        finally:
            for future in ahead:
                future.cancel()
