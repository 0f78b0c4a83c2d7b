"""What `convert` makes of a volume, as volumes that are computed when they are read: by blocks, anywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools.errors import InputError
from mitotools.segment.images.footprint import scaled_size, scaled_voxel_size, source_extent
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box, block_shape, boxes_within, size3
from mitotools.volume.voxel_size import known_voxel_size
from mitotools.volume.world import moved

if TYPE_CHECKING:
    from mitotools.conventions import Array, Size, VoxelSize
    from mitotools.stages.blocks.pieces import Seen

RGB = 3
"""Channels of a colour."""


@dataclass(frozen=True)
class View:
    """A view with the voxels of its volume where they are."""

    seen: Seen
    spec: VolumeSpec

    @property
    def name(self) -> str:
        """What to call the volume in messages."""
        return self.seen.name

    @property
    def offset(self) -> Size:
        """Where in its grid of chunks the first voxel lies."""
        return self.seen.offset

    def pieces(self, box: Box, voxels: int) -> list[Box]:
        """Cut `box` as the volume below would be cut."""
        return self.seen.pieces(box, voxels)


@dataclass(frozen=True)
class Typed(View):
    """The same values in another type."""

    @classmethod
    def of(cls, seen: Seen, dtype: np.dtype[Any]) -> Seen:
        """Return the volume in a type; a value that the type cannot hold is an InputError when it is read."""
        return seen if seen.spec.dtype == dtype else cls(seen, replace(seen.spec, dtype=dtype))

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels."""
        return as_type(self.seen.read(box), self.spec.dtype, self.name)


@dataclass(frozen=True)
class RgbIds(View):
    """Ids that are stored as colours."""

    @classmethod
    def of(cls, seen: Seen) -> Seen:
        """Return the ids; a volume that holds no colours is returned as it is.

        Raises
        ------
        InputError
            Where channels are no colours.
        """
        channels = seen.spec.channels
        if channels is None:
            return seen
        if channels != RGB or seen.spec.dtype != np.uint8:
            why = f"expected ids, or RGB colours of ids, found {channels} channels of {seen.spec.dtype}"
            raise InputError(seen.name, why, f"Select one: {seen.name}[0]")
        load_kernels()
        return cls(seen, replace(seen.spec, shape=seen.spec.size, dtype=np.dtype(np.uint32)))

    def read(self, box: Box) -> Array:
        """Return the ids of `box`."""
        from mitotools.segment.images.grey_values import ids_of_rgb  # noqa: PLC0415 (numba loads slowly)

        return ids_of_rgb(self.seen.read(box))


@dataclass(frozen=True)
class Clipped(View):
    """Grey values stretched from low..high to 0..255."""

    low: float
    high: float

    @classmethod
    def of(cls, seen: Seen, low: float, high: float) -> Seen:
        """Return the volume in uint8."""
        load_kernels()
        return cls(seen, replace(seen.spec, dtype=np.dtype(np.uint8)), low, high)

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels."""
        from mitotools.segment.images.grey_values import clip_to_uint8  # noqa: PLC0415 (numba loads slowly)

        return clip_to_uint8(self.seen.read(box), self.low, self.high, self.name)


class Regridded(View):
    """A view on another grid."""

    @property
    def offset(self) -> Size:
        """Chunks are counted from the view's own first voxel."""
        return (0, 0, 0)

    def pieces(self, box: Box, voxels: int) -> list[Box]:
        """Cut `box` along the view's own grid."""
        return list(boxes_within(box, block_shape(self.spec.size, self.spec.chunks, voxels)))


@dataclass(frozen=True)
class Scaled(Regridded):
    """A volume on a finer or coarser grid."""

    @classmethod
    def of(cls, seen: Seen, scale: tuple[float, float, float], *, is_labels: bool) -> Seen:
        """Return the volume resampled, its voxel size changed to fit.

        Parameters
        ----------
        seen : Seen
        scale : (z, y, x)
            Voxels of the view for every one of the volume.
        is_labels : bool
            Whether voxels are ids, which are voted on and never averaged.
        """
        load_kernels()
        old, new = seen.spec.size, scaled_size(seen.spec.size, scale)
        chunks = [max(round(c * b / a), 1) for c, a, b in zip(seen.spec.chunks, old, new, strict=True)]
        spec = replace(
            seen.spec,
            shape=seen.spec.shape[:-3] + new,
            voxel_size_nm=voxel_size_on(new, seen.spec),
            chunks=size3(chunks),
            is_labels=is_labels,
            attributes={},  # which are about voxels of another size
        )
        return cls(seen, spec)

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels."""
        from mitotools.segment.images.resample import (  # noqa: PLC0415 (numba loads slowly)
            resample_image,
            resample_labels,
        )

        old, new = self.seen.spec.size, self.spec.size
        is_labels = self.spec.is_labels
        array = self.seen.read(source_box(box, old, new, labels=is_labels))
        resample = resample_labels if is_labels else resample_image
        return resample(array, box.start, box.stop, old, new)


@dataclass(frozen=True)
class Halved(Regridded):
    """The next level of a pyramid."""

    factors: Size

    @classmethod
    def of(cls, seen: Seen, factors: Size, spec: VolumeSpec) -> Seen:
        """Return the volume with every 2 voxels along some axes made one: what `spec` says."""
        return cls(seen, replace(seen.spec, shape=spec.shape, is_labels=spec.is_labels), factors)

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels."""
        from mitotools.segment.images.halve import halve_image, halve_labels  # noqa: PLC0415 (numba loads slowly)

        start, stop = (
            size3([a * f for a, f in zip(corner, self.factors, strict=True)])
            for corner in (box.start, box.stop)
        )
        array = self.seen.read(Box(start, stop).intersection(Box.whole(self.seen.spec.size)))
        return (halve_labels if self.spec.is_labels else halve_image)(array, self.factors)


@dataclass(frozen=True)
class Padded(Regridded):
    """A volume with a margin of zeros around it."""

    margin: Size

    @classmethod
    def of(cls, seen: Seen, margin: Size) -> Seen:
        """Return the volume with `margin` voxels more on both sides of each axis."""
        size = size3([n + 2 * m for n, m in zip(seen.spec.size, margin, strict=True)])
        attributes = moved(seen.spec.attributes, size3([-m for m in margin]), seen.spec.voxel_size_nm)
        return cls(seen, replace(seen.spec, shape=seen.spec.shape[:-3] + size, attributes=attributes), margin)

    @property
    def offset(self) -> Size:
        """Where in the grid of chunks of the volume below the first voxel lies."""
        pairs = zip(self.seen.offset, self.margin, self.spec.chunks, strict=True)
        return size3([(offset - margin) % chunk for offset, margin, chunk in pairs])

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels."""
        array = np.zeros(self.spec.shape[:-3] + box.shape, self.spec.dtype)
        back = size3([-m for m in self.margin])
        inside = box.shifted(back).intersection(Box.whole(self.seen.spec.size))
        if not inside.is_empty:
            array[(..., *inside.relative_to(box.shifted(back).start).slices)] = self.seen.read(inside)
        return array


def source_box(box: Box, old: Size, new: Size, *, labels: bool) -> Box:
    """Return the voxels of the old grid that those of `box`, in the new one, are made of.

    Parameters
    ----------
    box : Box
    old, new : (z, y, x) voxels
        Of the whole grids.
    labels : bool
        Whether voxels are ids (else they are grey values or probabilities).
    """
    axes = [
        source_extent(a, b, n, m, labels=labels)
        for a, b, n, m in zip(box.start, box.stop, old, new, strict=True)
    ]
    return Box(size3([a for a, _ in axes]), size3([b for _, b in axes]))


def voxel_size_on(size: Size, spec: VolumeSpec) -> VoxelSize | None:
    """Return the voxel size of a volume on a grid of another size, if it is known."""
    if spec.voxel_size_nm is None:
        return None
    return known_voxel_size(scaled_voxel_size(spec.voxel_size_nm, spec.size, size))


def load_kernels() -> None:
    """Import what views compute with, so that its memory is seen when blocks are planned."""
    for name in ("grey_values", "halve", "resample"):
        import_module(f"mitotools.segment.images.{name}")


def as_type(array: Array, dtype: np.dtype[Any], name: str) -> Array:
    """Return the array in another type; a value that the type cannot hold is an InputError."""
    if array.dtype == dtype:
        return array
    low, high = array.min(), array.max()
    if dtype.kind in "ui" and array.dtype.kind == "f" and not np.array_equal(array, np.trunc(array)):
        raise InputError(name, f"values from {low} to {high} are no whole numbers, as {dtype} has them")
    if not _fits(array, dtype):
        raise InputError(name, f"values from {low} to {high} do not fit {dtype}")
    return array.astype(dtype)


def _fits(array: Array, dtype: np.dtype[Any]) -> bool:
    """Whether a type holds the values: whole numbers as they are, others rounded."""
    if array.dtype.kind == dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.array_equal(np.isfinite(array.astype(dtype)), np.isfinite(array))
    if dtype.kind in "ui":
        least, most = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    else:
        most = 2 ** (np.finfo(dtype).nmant + 1)  # beyond, a float skips whole numbers
        least = -most
    # Compared as Python numbers: NumPy would compare uint64 with int64 as floats.
    return bool(least <= array.min().item() and array.max().item() <= most)
