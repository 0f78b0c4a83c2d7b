"""Volumes of any format and size, as Neuroglancer asks for them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools.stages.blocks.planning import memory_of
from mitotools.view.neuroglancer_server import Served, served
from mitotools.volume.blocks import Box, size3
from mitotools.volume.files import open_volume
from mitotools.volume.same_size import require_same_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mitotools.conventions import Array
    from mitotools.run.running import Running
    from mitotools.volume.base import Volume
    from mitotools.volume.path import VolumePath

PART_OF_MEMORY = 4
"""Surfaces are made of label volumes that take at most this part of the budget: all of them is read."""

SHOWN = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "float32")
"""Types that Neuroglancer knows."""


@contextmanager
def serving(raw: VolumePath, labels: Sequence[VolumePath], running: Running, port: int = 0) -> Iterator[str]:
    """Serve a volume and its labels on this machine, and yield the address that a browser opens.

    Parameters
    ----------
    raw : VolumePath
        (Z, Y, X) grey values.
    labels : sequence of VolumePath
        (Z, Y, X) instances of the same size.
    running : Running
    port : int
        0: any that is free.

    Raises
    ------
    InputError, MitotoolsError
    """
    with ExitStack() as stack:
        image = stack.enter_context(open_volume(raw, "image"))
        volumes = [stack.enter_context(open_volume(path, "labels")) for path in labels]
        for volume in volumes:
            require_same_size(volume, image)
        room = memory_of(running) // PART_OF_MEMORY
        layers = [Served(Path(str(raw)).name, _Sliced(image, is_labels=False))]
        for path, volume in zip(labels, volumes, strict=True):
            small = volume.spec.nbytes <= room
            data = _Sliced(volume, is_labels=True)
            layers.append(Served(_free_name(path, layers), data, is_labels=True, has_meshes=small))
        yield stack.enter_context(served(layers, image.spec.voxel_size_nm, port))


def _free_name(path: VolumePath, layers: Sequence[Served]) -> str:
    """Return the name of a file, numbered where another layer has it."""
    name, taken = Path(str(path)).name, {layer.name for layer in layers}
    return next(
        one for n in range(1, len(taken) + 2) if (one := name if n == 1 else f"{name} {n}") not in taken
    )


class _Sliced:
    """A volume that is indexed like an array."""

    def __init__(self, volume: Volume, *, is_labels: bool) -> None:
        self._volume = volume
        self.shape = volume.spec.shape
        self.dtype: np.dtype[Any] = volume.spec.dtype
        if is_labels:
            self.dtype = np.dtype(f"u{max(self.dtype.itemsize, 1)}")
        elif self.dtype.name not in SHOWN:
            self.dtype = np.dtype(np.float32)

    def __getitem__(self, ranges: tuple[slice, ...]) -> Array:
        """Read a box."""
        bounds = [one.indices(n) for one, n in zip(ranges, self.shape, strict=True)]
        box = Box(size3([int(start) for start, _, _ in bounds]), size3([int(stop) for _, stop, _ in bounds]))
        return self._volume.read(box).astype(self.dtype, copy=False)

    def transpose(self) -> Array:
        """Read all of it, x first: surfaces are made of this."""
        return self[tuple(slice(None) for _ in self.shape)].T
