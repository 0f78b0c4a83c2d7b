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
from mitotools.learn.normalise import normalisation_of, to_network, to_unit
from mitotools.volume.blocks import Box, grid, size3

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from mitotools.conventions import Array, Size
    from mitotools.learn.targets import ContourShape, Target
    from mitotools.volume.base import Volume

CELL: Size = (32, 64, 64)
"""Foreground is looked up in cells of this shape: one list of cells stands for the whole volume."""

BATCHES_AHEAD = 4


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
        Part of the patches drawn anywhere; the others hold a random cell with foreground.

    Raises
    ------
    InputError
        Where the volumes differ in size, or there is no foreground.
    """

    def __init__(self, raw: Volume, labels: Volume, patch: Size, uniform_share: float) -> None:
        if raw.spec.size != labels.spec.size:
            raise InputError(labels.name, f"has size {labels.spec.size}, but {raw.name} has {raw.spec.size}")
        self._raw = raw
        self._labels = labels
        self._patch = patch
        self._uniform_share = uniform_share
        self._normalisation = normalisation_of(raw)
        self._symmetry = Symmetry.of(patch, raw.spec.voxel_size_nm)
        size = raw.spec.size
        self._cells = [box for box in grid(size, CELL) if labels.read(box).any()]
        if not self._cells:
            raise InputError(labels.name, "has no foreground to learn from")

    def draw(self, rng: np.random.Generator) -> tuple[npt.NDArray[np.float32], Array]:
        """Return one augmented patch: image in -1..1 and labels, both (Z, Y, X)."""
        box = self._box(rng)
        image = to_unit(self._read(self._raw, box), self._normalisation)
        image, labels = apply_all(draw_all(rng, self._symmetry), image, self._read(self._labels, box))
        return to_network(image), labels

    def _box(self, rng: np.random.Generator) -> Box:
        size = self._raw.spec.size
        highest = [max(n - p, 0) for n, p in zip(size, self._patch, strict=True)]
        start = [int(rng.integers(limit + 1)) for limit in highest]
        if rng.random() >= self._uniform_share:
            cell = self._cells[int(rng.integers(len(self._cells)))]
            centre = [int(rng.integers(a, b)) for a, b in zip(cell.start, cell.stop, strict=True)]
            wanted = (c - p // 2 for c, p in zip(centre, self._patch, strict=True))
            start = [min(max(w, 0), limit) for w, limit in zip(wanted, highest, strict=True)]
        stop = [min(a + p, n) for a, p, n in zip(start, self._patch, size, strict=True)]
        return Box(size3(start), size3(stop))

    def _read(self, volume: Volume, box: Box) -> Array:
        missing = [p - n for p, n in zip(self._patch, box.shape, strict=True)]
        array = volume.read(box)
        if any(missing):
            array = np.pad(array, [(m // 2, m - m // 2) for m in missing], mode="symmetric")
        return array


def batches(
    source: PatchSource,
    targets: Sequence[Target],
    contour: ContourShape,
    count: int,
    seed: int,
) -> Iterator[Batch]:
    """Yield batches for ever, prepared ahead on another thread.

    Each batch has a generator of its own, seeded by its number: what is drawn depends on nothing else.
    """

    def prepared(number: int) -> Batch:
        rng = np.random.default_rng([seed, number])
        drawn = [source.draw(rng) for _ in range(count)]
        images = np.stack([image for image, _ in drawn])[:, np.newaxis]
        truths = [np.stack([target.make(labels, contour) for target in targets]) for _, labels in drawn]
        return Batch(images, np.stack(truths).astype(np.float32))

    with ThreadPoolExecutor(1) as pool:
        ahead = [pool.submit(prepared, number) for number in range(BATCHES_AHEAD)]
        try:
            for number in itertools.count(BATCHES_AHEAD):
                batch = ahead.pop(0).result()
                ahead.append(pool.submit(prepared, number))
                yield batch
        finally:
            for future in ahead:
                future.cancel()
