"""Bend the grey values by a strong gamma that varies over the patch, as staining and detectors do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mitotools.conventions import Array
    from mitotools.learn.augment.context import Context, Parameters

OCTAVES = 1.0
NODES = (2, 3, 3)
"""The exponent is drawn at so many places along each axis, and interpolated between them."""


def draw(rng: np.random.Generator, context: Context, *, octaves: float = OCTAVES) -> Parameters:  # noqa: ARG001
    """Draw exponents 2^U(-1, 1), half of the range for the patch and half for each node."""
    whole = rng.uniform(-octaves, octaves) / 2
    return {"log2_gamma": (whole + rng.uniform(-octaves, octaves, NODES) / 2).tolist()}


def apply(image: Array, parameters: Parameters) -> None:
    """Raise each voxel of a (Z, Y, X) float32 array in 0..1 to its exponent, in place."""
    nodes = np.array(parameters["log2_gamma"], np.float32)
    to_z, to_y, to_x = (_weights(n, count) for n, count in zip(image.shape, nodes.shape, strict=True))
    planes = np.einsum("zk,kji->zji", to_z, nodes)
    for section, plane in zip(image, planes, strict=True):
        np.power(section, np.exp2(to_y @ plane @ to_x.T), out=section)


def _weights(length: int, count: int) -> Array:
    """Return the (length, count) weights of linear interpolation between equally spaced nodes."""
    place = np.linspace(0, count - 1, length, dtype=np.float32)[:, np.newaxis]
    return np.asarray(np.clip(1 - np.abs(place - np.arange(count, dtype=np.float32)), 0, 1))
