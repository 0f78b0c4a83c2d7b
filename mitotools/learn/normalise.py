"""Grey values of any type to what a network takes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mitotools.errors import InputError
from mitotools.learn.metadata import Normalisation
from mitotools.volume.blocks import grid

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Array, Size
    from mitotools.volume.base import Volume
    from mitotools.volume.blocks import Box

PERCENTILES = (0.5, 99.5)
SAMPLED_BLOCKS = 32
SAMPLE: Size = (16, 128, 128)
"""Shape of a block: the same whatever the file's chunks are, so that these do not change the result."""

CONSTANT = "has the same value everywhere it was looked at"


def normalisation_of(volume: Volume) -> Normalisation:
    """Return how a volume's grey values are scaled: 0 to 255 for uint8, else by percentiles .5 and 99.5.

    The percentiles are taken over blocks spread evenly through the volume, padding left out: constant
    blocks, and the least and the largest value where they fill whole regions. A volume of uint8 that has one
    value in all these blocks is warned of.

    Raises
    ------
    InputError
        Where the volume holds NaN or infinities, or, where it is no uint8, one value only.
    """
    boxes = grid(volume.spec.size, SAMPLE)
    chosen = [boxes[i] for i in np.linspace(0, len(boxes) - 1, SAMPLED_BLOCKS).round().astype(int)]
    samples = (read_finite(volume, box) for box in dict.fromkeys(chosen))
    not_constant = (sample for sample in samples if sample.min() < sample.max())
    if volume.spec.dtype == np.uint8:
        if next(not_constant, None) is None:
            logging.getLogger(__name__).warning("%s %s", volume.name, CONSTANT)
        return Normalisation(0.0, 255.0)
    varied = [sample.astype(np.float64) for sample in not_constant]
    if not varied:
        raise InputError(volume.name, CONSTANT)
    values = np.concatenate([sample.ravel() for sample in varied])
    padding = [value for value in (values.min(), values.max()) if _fills_regions(value, varied)]
    tissue = values[~np.isin(values, padding)]
    low, high = np.percentile(tissue if tissue.size else values, PERCENTILES)
    if low == high:  # nearly all voxels have one value
        low, high = values.min(), values.max()
    return Normalisation(float(low), float(high))


def _fills_regions(value: float, samples: list[Array]) -> bool:
    """Return whether most voxels of this value lie among their like: above, below, left and right."""
    count = among_their_like = 0
    for sample in samples:
        has = sample == value
        inner = has[:, 1:-1, 1:-1]
        count += int(np.count_nonzero(inner))
        beside = has[:, :-2, 1:-1] & has[:, 2:, 1:-1] & has[:, 1:-1, :-2] & has[:, 1:-1, 2:]
        among_their_like += int(np.count_nonzero(inner & beside))
    return 2 * among_their_like > count


class Readable(Protocol):
    """What grey values are read from."""

    @property
    def name(self) -> str:
        """What to call it in messages."""

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`."""


def read_finite(volume: Readable, box: Box) -> Array:
    """Read grey values.

    Raises
    ------
    InputError
        Where they hold NaN or infinities, of which a network would make more.
    """
    values = volume.read(box)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(volume.name, f"holds NaN or infinite values in {box}")
    return values


def to_unit(array: Array, normalisation: Normalisation) -> npt.NDArray[np.float32]:
    """Return grey values in 0..1, float32."""
    span = normalisation.high - normalisation.low
    if np.can_cast(array.dtype, np.float32):
        above = array.astype(np.float32) - np.float32(normalisation.low)
    else:  # float32 would round large values before their common offset is taken away
        above = np.empty(array.shape, np.float32)
        np.subtract(array, normalisation.low, out=above, dtype=np.float64, casting="same_kind")
    scaled = above / np.float32(span)
    clipped: npt.NDArray[np.float32] = np.clip(scaled, 0, 1)
    return clipped


def to_network(unit: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return values in 0..1 as the network takes them, (x - .5) / .5."""
    centred: npt.NDArray[np.float32] = (unit - np.float32(0.5)) / np.float32(0.5)
    return centred
