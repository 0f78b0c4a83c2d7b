"""Arrays in memory as volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitotools.volume.base import Volume, VolumeSpec
from mitotools.volume.blocks import size3

if TYPE_CHECKING:
    from mitotools.conventions import Array, VoxelSize
    from mitotools.volume.blocks import Box


class ArrayReader:
    """The voxels of an array.

    Parameters
    ----------
    array : (Z, Y, X) or (C, Z, Y, X) array
    spec : VolumeSpec
    """

    def __init__(self, array: Array, spec: VolumeSpec) -> None:
        self.spec = spec
        self._array = array

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`."""
        found: Array = self._array[(..., *box.slices)]
        return found

    def close(self) -> None:
        """Nothing is open."""


def volume_of(array: Array, voxel_size_nm: VoxelSize | None = None, name: str = "array") -> Volume:
    """Return an array as a volume.

    Parameters
    ----------
    array : (Z, Y, X) or (C, Z, Y, X) array
    voxel_size_nm : (z, y, x) nanometres, or None where it is unknown
    name : str
        What to call it in messages.
    """
    spec = VolumeSpec(array.shape, array.dtype, voxel_size_nm, chunks=size3(array.shape[-3:]))
    return Volume(ArrayReader(array, spec), name)
