"""Random training patches from volumes that do not fit in memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools.errors import InputError
from mitotools.learn.augment.context import Context
from mitotools.learn.augment.patch import apply, draw, margin
from mitotools.learn.augment.recipes import MITOEM_2021
from mitotools.learn.normalise import normalisation_of, read_finite, to_network, to_unit
from mitotools.learn.windows import padded
from mitotools.volume.arrays import ArrayReader
from mitotools.volume.base import Volume
from mitotools.volume.blocks import Box, grid, size3
from mitotools.volume.same_size import require_same_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from mitotools.conventions import Array, Mask, Size, VoxelSize
    from mitotools.learn.augment.patch import Drawn
    from mitotools.learn.augment.recipes import Recipe

CELL: Size = (32, 64, 64)
"""Foreground is looked up in cells of this shape: one list of cells stands for the whole volume."""

SCANNED_VOXELS = 2**22
"""Voxels of the labels that are looked through at a time: 2**25, which no cache holds, took twice as long."""

HELD_BYTES = 2**29
"""So much of a training's volumes stays in memory, of each process that draws patches: decompressing patches
of the Lucchi volume took a seventh of the processor time of its training."""


@dataclass(frozen=True, eq=False)
class Patch:
    """What one augmented patch is.

    Parameters
    ----------
    image : (Z, Y, X) float32 in -1..1
    labels : (Z, Y, X) unsigned integer
    valid : (Z, Y, X) bool, or None
        Voxels that count in the loss; None: all.
    """

    image: npt.NDArray[np.float32]
    labels: Array
    valid: Mask | None


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
    recipe : Recipe
        What is done to patches.
    ignore : Volume, optional
        Of the same size: voxels that are not 0 do not count.
    held_out : Box, optional
        Does not count either, and patches do not lie in it.

    Attributes
    ----------
    voxel_size_nm : (z, y, x) nanometres, or None where it is unknown
    normalisation : Normalisation
        Of the raw volume's grey values.
    nbytes : int
        What the volumes take in memory.
    is_held : bool
        Whether they stay in memory from the first patch on; `Mixture` decides that.

    Raises
    ------
    InputError
        Where the volumes differ in size, an id is negative, or no foreground counts.
    """

    def __init__(
        self,
        raw: Volume,
        labels: Volume,
        patch: Size,
        uniform_share: float,
        recipe: Recipe = MITOEM_2021,
        ignore: Volume | None = None,
        held_out: Box | None = None,
    ) -> None:
        size = raw.spec.size
        for other in (labels, ignore):
            if other is not None:
                require_same_size(raw, other)
        self._held_out = held_out or Box((0, 0, 0), (0, 0, 0))
        if self._held_out.contains(Box.whole(size)):
            raise InputError(raw.name, "is held out as a whole", "Validate on a part of it")
        self._size = size
        self._patch = patch
        self._uniform_share = uniform_share
        self._recipe = recipe
        self.voxel_size_nm: VoxelSize | None = raw.spec.voxel_size_nm or labels.spec.voxel_size_nm
        self._context = Context(patch, self.voxel_size_nm)
        self.normalisation = normalisation_of(raw)
        self._volumes = _Volumes(raw, labels, ignore, self._held_out)
        self.nbytes = sum(volume.spec.nbytes for volume in (raw, labels, ignore) if volume is not None)
        self.is_held = False
        self._cells = _cells_with_foreground(self._volumes)
        if not self._cells:
            left = " outside what is held out or ignored" if held_out or ignore else ""
            raise InputError(labels.name, f"has no foreground to learn from{left}")

    @cached_property
    def _held(self) -> _Volumes:
        """The volumes, in memory where they stay there."""
        return self._volumes.held() if self.is_held else self._volumes

    def __getstate__(self) -> dict[str, Any]:
        """Leave what is in memory behind: another process reads it itself."""
        return {name: value for name, value in self.__dict__.items() if name != "_held"}

    def draw(self, rng: np.random.Generator) -> Patch:
        """Return one augmented patch."""
        box = self._anywhere(rng) if rng.random() < self._uniform_share else self._with_foreground(rng)
        return self.read(box, draw(rng, self._recipe, self._context))

    def read(self, box: Box, drawn: Drawn) -> Patch:
        """Return the patch of a box to which is done what was drawn."""
        held, window = self._held, _surroundings(box, margin(drawn, self._patch), self._patch)
        image = to_unit(padded(partial(read_finite, held.raw), window, self._size), self.normalisation)
        ids = padded(held.labels.read, window, self._size)
        valid = None if held.all_count else padded(held.counting, window, self._size)
        image, ids, valid = apply(drawn, image, ids, valid, self._patch)
        return Patch(to_network(image), ids, valid)

    def _anywhere(self, rng: np.random.Generator) -> Box:
        """Return a box that is not held out as a whole: there is one, as the volume is not."""
        while True:
            box = self._box([int(rng.integers(limit + 1)) for limit in self._highest])
            if not self._held_out.contains(box):
                return box

    def _with_foreground(self, rng: np.random.Generator) -> Box:
        """Return a box that holds a random voxel of the foreground of a random cell."""
        cell = self._cells[int(rng.integers(len(self._cells)))]
        inside = np.argwhere(self._held.foreground(cell))
        voxel = inside[int(rng.integers(len(inside)))] + cell.start
        wanted = [int(v) - int(rng.integers(p)) for v, p in zip(voxel, self._patch, strict=True)]
        return self._box([min(max(w, 0), limit) for w, limit in zip(wanted, self._highest, strict=True)])

    @property
    def _highest(self) -> Size:
        """Where a patch starts at most."""
        return size3([max(n - p, 0) for n, p in zip(self._size, self._patch, strict=True)])

    def _box(self, start: Sequence[int]) -> Box:
        stop = [min(a + p, n) for a, p, n in zip(start, self._patch, self._size, strict=True)]
        return Box(size3(start), size3(stop))


class Mixture:
    """Draws patches from several sources, equally often from each; the smallest stay in memory.

    Parameters
    ----------
    sources : sequence of PatchSource
    held_bytes : int
        What those that stay in memory take at most.
    """

    def __init__(self, sources: Sequence[PatchSource], held_bytes: int = HELD_BYTES) -> None:
        self.sources = list(sources)
        total = 0
        for source in sorted(self.sources, key=lambda one: one.nbytes):
            total += source.nbytes
            source.is_held = total <= held_bytes

    def draw(self, rng: np.random.Generator) -> tuple[Patch, PatchSource]:
        """Return one augmented patch, and where it comes from."""
        number = int(rng.integers(len(self.sources))) if len(self.sources) > 1 else 0
        source = self.sources[number]
        return source.draw(rng), source


@dataclass(frozen=True)
class _Volumes:
    """What is drawn from together."""

    raw: Volume
    labels: Volume
    ignore: Volume | None
    held_out: Box

    @property
    def all_count(self) -> bool:
        """Whether all voxels count."""
        return self.ignore is None and self.held_out.is_empty

    def counting(self, box: Box) -> Mask:
        """Return the voxels that count."""
        counting = np.ones(box.shape, bool) if self.ignore is None else self.ignore.read(box) == 0
        inside = self.held_out.intersection(box)
        if not inside.is_empty:
            counting[inside.relative_to(box.start).slices] = False
        return counting

    def foreground(self, box: Box) -> Mask:
        """Return where there is an instance that counts; InputError where an id is negative."""
        ids = self.labels.read(box)
        if ids.dtype.kind == "i" and ids.min() < 0:
            advice = "Ids are 0 and above; leave out what is not labelled with --ignore"
            raise InputError(self.labels.name, f"holds the negative id {ids.min()}", advice)
        inside: Mask = ids > 0
        if not self.all_count and inside.any():
            inside &= self.counting(box)
        return inside

    def held(self) -> _Volumes:
        """Return the volumes in memory."""
        ignore = None if self.ignore is None else _held(self.ignore)
        return _Volumes(_held(self.raw), _held(self.labels), ignore, self.held_out)


def _held(volume: Volume) -> Volume:
    return Volume(ArrayReader(volume.read(Box.whole(volume.spec.size)), volume.spec), volume.name)


def _surroundings(box: Box, around: Size, patch: Size) -> Box:
    """Return a patch with so many voxels around it; of a shorter volume, the box lies in its middle."""
    before = [(p - n) // 2 + m for p, n, m in zip(patch, box.shape, around, strict=True)]
    start = size3([a - b for a, b in zip(box.start, before, strict=True)])
    return Box(start, size3([a + p + 2 * m for a, p, m in zip(start, patch, around, strict=True)]))


def _cells_with_foreground(volumes: _Volumes) -> list[Box]:
    """Return the cells that hold an instance; the labels are read along their chunks, once."""
    size = volumes.labels.spec.size
    found = np.zeros([-(-n // c) for n, c in zip(size, CELL, strict=True)], dtype=bool)
    for box in volumes.labels.pieces(Box.whole(size), SCANNED_VOXELS):
        inside = volumes.foreground(box)
        if not inside.any():
            continue
        cells = []
        for axis, (start, stop, length) in enumerate(zip(box.start, box.stop, CELL, strict=True)):
            numbers = range(start // length, -(-stop // length))
            edges = [max(number * length - start, 0) for number in numbers]
            inside = np.logical_or.reduceat(inside, edges, axis)
            cells.append(slice(numbers.start, numbers.stop))
        found[tuple(cells)] |= inside
    return [cell for cell, hit in zip(grid(size, CELL), found.ravel(), strict=True) if hit]
