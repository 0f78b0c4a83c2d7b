"""What a volume is, whatever its format."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from mitotools.errors import InputError
from mitotools.volume.blocks import Box, block_shape, boxes_within, size3
from mitotools.volume.world import kept, moved

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import EllipsisType, TracebackType
    from typing import Any

    from mitotools.conventions import Array, Size, VoxelSize
    from mitotools.history import History

MOST_CHANNELS = 16
"""Of maps: an array with more of them in front, and at most so many at its end, has its channels last."""


@dataclass(frozen=True)
class VolumeSpec:
    """The properties of a volume.

    Parameters
    ----------
    shape : tuple of int
        (Z, Y, X), or (C, Z, Y, X) for a volume with channels.
    dtype : numpy.dtype
    voxel_size_nm : (z, y, x) nanometres, or None where it is unknown
    history : History
        How the volume came to be, oldest record first.
    chunks : (z, y, x) voxels
        The unit in which the file compresses voxels.
    shards : (z, y, x) voxels, optional
        The chunks that share a file (zarr v3); None: every chunk has its own.
    levels : int
        Number of resolutions of an OME-Zarr image, the full one included.
    zarr_format : int
        2 (NGFF 0.4) or 3 (NGFF 0.5) of a zarr.
    is_labels : bool
        Whether voxels are ids, which NGFF calls a label image.
    compression : str
        Name of the compression of new files; "default" leaves it to the format.
    attributes : mapping of str to tuple of numbers
        Further attributes: `core` and `volume_size` of a tile, which HDF5 alone keeps, and those of
        `volume.world`.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    voxel_size_nm: VoxelSize | None = None
    history: History = ()
    chunks: Size = (32, 128, 128)
    shards: Size | None = None
    levels: int = 1
    zarr_format: int = 3
    is_labels: bool = False
    compression: str = "default"
    attributes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def size(self) -> Size:
        """Number of voxels along (z, y, x)."""
        return size3(self.shape[-3:])

    @property
    def unit(self) -> Size:
        """The voxels (z, y, x) that are stored together: blocks in multiples of it are written once."""
        return self.shards or self.chunks

    @property
    def channels(self) -> int | None:
        """Number of channels, or None for a volume without a channel axis."""
        return self.shape[0] if len(self.shape) == 4 else None

    @property
    def voxels(self) -> int:
        """Number of voxels, channels counted once each."""
        z, y, x = self.size
        return z * y * x * (self.channels or 1)

    @property
    def nbytes(self) -> int:
        """Bytes of the volume uncompressed."""
        return self.voxels * self.dtype.itemsize

    def on_same_grid(
        self, leading: tuple[int, ...], dtype: np.dtype[Any], history: History, *, is_labels: bool = False
    ) -> VolumeSpec:
        """Return what a new volume is whose voxels lie in the world where those of this one do.

        Parameters
        ----------
        leading : tuple of int
            The number of its channels, where it has channels.
        dtype : numpy.dtype
        history : History
        is_labels : bool
        """
        shape, place = leading + self.size, kept(self.attributes)
        return VolumeSpec(shape, dtype, self.voxel_size_nm, history, is_labels=is_labels, attributes=place)


class Reader(Protocol):
    """An open volume that can be read by blocks, from several threads at once.

    `spec.chunks` is the unit in which reading costs least: a box that is read in parts is cut along it.
    """

    @property
    def spec(self) -> VolumeSpec:
        """What the volume is."""

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels: (Z, Y, X) or (C, Z, Y, X), native byte order."""

    def close(self) -> None:
        """Let go of the file."""


class Writer(Protocol):
    """A new volume that can be written by blocks, each voxel once.

    The format table says who may write: `Format.writers`.
    """

    @property
    def spec(self) -> VolumeSpec:
        """What the volume is; blocks written are aligned to its `unit`."""

    def write(self, box: Box, array: Array) -> None:
        """Store the voxels of `box`, all channels."""

    def close(self) -> None:
        """Finish the file."""


class Volume:
    """An open volume seen through a crop, a selected channel and the axes that a command expects.

    Parameters
    ----------
    reader : Reader
    name : str
        What to call the volume in messages.
    box : Box, optional
        The part of the volume that is seen; all of it by default.
    channels : slice or int, optional
        The channels that are seen, all by default; an integer drops the channel axis.
    """

    def __init__(
        self,
        reader: Reader,
        name: str,
        box: Box | None = None,
        channels: slice | int | EllipsisType = ...,
    ) -> None:
        self._reader = reader
        self._box = box or Box.whole(reader.spec.size)
        self._channels: tuple[Any, ...] = (channels,)
        self.name = name
        self.spec = replace(
            reader.spec,
            shape=_seen(reader.spec.shape[:-3], channels) + self._box.shape,
            attributes=moved(reader.spec.attributes, self._box.start, reader.spec.voxel_size_nm),
        )

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, counted from the corner of the crop: (Z, Y, X) or (C, Z, Y, X)."""
        array = self._reader.read(box.shifted(self._box.start))
        for channels in self._channels:
            array = array[channels]
        return array

    def pieces(self, box: Box, voxels: int) -> list[Box]:
        """Cut `box` along the file's chunks, into pieces of about `voxels` voxels that cost least to read."""
        spec = self._reader.spec
        shape = block_shape(spec.size, spec.chunks, voxels)
        back = size3([-start for start in self._box.start])
        return [piece.shifted(back) for piece in boxes_within(box.shifted(self._box.start), shape)]

    @property
    def offset(self) -> Size:
        """Where in the file the volume starts: (z, y, x) voxels."""
        return self._box.start

    def crop_of(self, box: Box) -> str:
        """Return `box`, counted from the corner of the crop, as a crop of the file: ``[2:4,:,:]``."""
        box = box.shifted(self._box.start)
        parts = [
            ":" if (a, b) == (0, n) else f"{a}:{b}"
            for a, b, n in zip(box.start, box.stop, self._reader.spec.size, strict=True)
        ]
        channels = self._channels[0]
        if isinstance(channels, slice):
            parts.insert(0, f"{channels.start}:{channels.stop}")
        elif channels is not ...:
            parts.insert(0, str(channels))
        return f"[{','.join(parts)}]"

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs to read the volume: not how it came to be, which may be long."""
        return {**self.__dict__, "spec": replace(self.spec, history=())}

    def with_voxel_size(self, voxel_size_nm: VoxelSize) -> Self:
        """Return the volume with another voxel size."""
        other = copy(self)
        other.spec = replace(self.spec, voxel_size_nm=voxel_size_nm)
        return other

    def with_channels(self, channels: tuple[int, ...]) -> Self:
        """Return the volume with some of its channels, in the order that they are named.

        Raises
        ------
        InputError
            Where there is no such channel.
        """
        count = self.spec.channels or 1
        if max(channels) >= count:
            raise InputError(self.name, f"has channels 0 to {count - 1}, and no channel {max(channels)}")
        return self.with_channel_axis()._with(list(channels))

    def with_channel_axis(self) -> Self:
        """Return the volume with a channel axis, which may have been there before."""
        return self if self.spec.channels is not None else self._with(np.newaxis)

    def without_channel_axis(self) -> Self:
        """Return a volume of one channel without its channel axis."""
        return self if self.spec.channels is None else self._with(0)

    def _with(self, channels: list[int] | int | None) -> Self:
        other = copy(self)
        other._channels += (channels,)
        other.spec = replace(self.spec, shape=_seen(self.spec.shape[:-3], channels) + self.spec.size)
        return other

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()

    def __enter__(self) -> Self:
        """Return the volume itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the volume."""
        self.close()


def _seen(leading: tuple[int, ...], channels: Any) -> tuple[int, ...]:
    """Return the shape of the axis of channels, or of none, that is seen of one."""
    shape: tuple[int, ...] = np.broadcast_to(0, leading)[channels].shape
    return shape


def has_channels_last(shape: tuple[int, ...]) -> bool:
    """Whether an array is (Z, Y, X, C), as other programs write maps, in formats that do not say it."""
    return len(shape) == 4 and shape[0] > MOST_CHANNELS >= shape[3]


def channels_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that a (Z, Y, X, C) array has with its channels in front."""
    return (shape[3], *shape[:3])


def read_box(array: Array, box: Box, *, channels_last: bool) -> Array:
    """Return the voxels of `box`, channels in front, from an array or what is indexed like one."""
    if channels_last:
        return np.moveaxis(array[(*box.slices, slice(None))], 3, 0)
    found: Array = array[(..., *box.slices)]
    return found
