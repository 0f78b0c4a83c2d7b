"""Seeded synthetic mitochondria with known truth."""

from __future__ import annotations

import numpy as np

CYTOPLASM, MATRIX, MEMBRANE = 170, 110, 50
"""Grey values, before noise."""

NOISE = 10.0
"""Standard deviation of the grey values."""

VOXELS_AN_INSTANCE = 1500


def phantom(shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return grey values (uint8) and instances (uint16): ellipsoids with a membrane, many of them touching.

    Where two ellipsoids overlap, a voxel belongs to the one whose middle is nearer in units of its radii.
    """
    rng = np.random.default_rng(seed)
    count = max(int(np.prod(shape)) // VOXELS_AN_INSTANCE, 3)
    centres = rng.uniform(0, shape, (count, 3))
    radii = rng.uniform((2, 4, 5), (5, 7, 10), (count, 3))
    coordinates = np.indices(shape, sparse=True)
    nearest, labels = np.ones(shape), np.zeros(shape, np.uint16)
    for number in range(count):
        distance = sum(
            ((axis - centre) / radius) ** 2
            for axis, centre, radius in zip(coordinates, centres[number], radii[number], strict=True)
        )
        labels[distance < nearest] = number + 1
        nearest = np.minimum(nearest, distance)
    clean = np.where(labels > 0, MATRIX, CYTOPLASM)
    clean[_membrane(labels)] = MEMBRANE
    grey = clean + rng.normal(0, NOISE, shape)
    return np.clip(grey, 0, 255).astype(np.uint8), labels


def _membrane(labels: np.ndarray) -> np.ndarray:
    """Return the voxels of instances that have another neighbour in the plane."""
    edge = np.zeros(labels.shape, bool)
    for axis in (1, 2):
        for step in (-1, 1):
            edge |= np.roll(labels, step, axis) != labels
    return edge & (labels > 0)
