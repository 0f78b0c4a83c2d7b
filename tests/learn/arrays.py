"""Arrays shown as volumes."""

from __future__ import annotations

from mitotools.volume.base import Volume, VolumeSpec


class ArrayReader:
    """Reads from an array, and remembers what was asked for."""

    def __init__(self, array, voxel_size_nm, chunks):
        self.array = array
        self.spec = VolumeSpec(array.shape, array.dtype, voxel_size_nm, chunks=chunks)
        self.boxes = []

    def read(self, box):
        self.boxes.append(box)
        return self.array[box.slices]

    def close(self):
        pass


def volume(array, voxel_size_nm=None, chunks=(8, 8, 8), name="cell.h5"):
    return Volume(ArrayReader(array, voxel_size_nm, chunks), name)
