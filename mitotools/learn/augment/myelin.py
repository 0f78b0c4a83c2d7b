"""Paint myelin into the background: dark layers around a smooth closed curve, which are no mitochondrion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mitotools.conventions import Array, Mask
    from mitotools.learn.augment.context import Context, Parameters

RADII_NM = (150.0, 700.0)
THICKNESS_NM = (40.0, 200.0)
LAYERS = (2, 7)
LEAST_PERIOD_PIXELS = 3.0
"""Layers nearer to each other than this blur into one, as in the microscope."""

DARKNESS = (0.3, 0.7)
"""The part of the light that the middle of a layer takes."""

CONTRAST = 0.6
"""Between layers it takes less by this part: compact myelin is dark throughout."""

HARMONICS = 4
ROUGHNESS = 0.15
"""Up to how much of its radius the curve leaves the circle, by the first of its waves."""

DRIFT = 0.3
"""Pixels by which the axon moves from slice to slice, per pixel that slices are apart."""

PLACES = 6
MOST_COVERED = 0.1
"""Myelin of which more than this part would lie on instances is not painted."""

USUAL_NM = 8.0
"""Size of a pixel where it is unknown."""


def draw(rng: np.random.Generator, context: Context) -> Parameters:
    """Draw a curve, its layers, and places where it may go."""
    _, height, width = context.patch
    z_nm, *plane_nm = context.voxel_size_nm or (USUAL_NM * 4, USUAL_NM, USUAL_NM)
    pixel_nm = sum(plane_nm) / 2
    thickness = rng.uniform(*THICKNESS_NM) / pixel_nm
    period = max(thickness / rng.integers(LAYERS[0], LAYERS[1] + 1), LEAST_PERIOD_PIXELS)
    return {
        "places": (rng.random((PLACES, 2)) * (height, width)).tolist(),
        "radius": float(np.exp(rng.uniform(*np.log(RADII_NM))) / pixel_nm),
        "waves": [
            [float(rng.uniform(0, ROUGHNESS / k)), float(rng.uniform(0, 2 * np.pi))]
            for k in range(1, HARMONICS + 1)
        ],
        "layers": max(round(thickness / period), 1),
        "period": float(period),
        "darkness": float(rng.uniform(*DARKNESS)),
        "drift": (rng.uniform(-DRIFT, DRIFT, 2) * z_nm / pixel_nm).tolist(),
    }


def apply(image: Array, labels: Array, valid: Mask | None, parameters: Parameters) -> None:  # noqa: ARG001
    """Darken the background of the image, in place, at the first place with few instances in the way."""
    for place in parameters["places"]:
        if _fits(labels, parameters, place):
            for z, (section, ids) in enumerate(zip(image, labels, strict=True)):
                ink = _ink(section.shape, parameters, place, z - len(image) / 2)
                section *= np.where(ids > 0, np.float32(1), 1 - ink)
            return


def _fits(labels: Array, parameters: Parameters, place: list[float]) -> bool:
    """Return whether few instances are in the way in the first, the middle and the last slice."""
    inked = covered = 0
    for z in (0, len(labels) // 2, len(labels) - 1):
        ink = _ink(labels.shape[1:], parameters, place, z - len(labels) / 2) > 0
        inked += int(np.count_nonzero(ink))
        covered += int(np.count_nonzero(ink & (labels[z] > 0)))
    return inked > 0 and covered <= MOST_COVERED * inked


def _ink(shape: tuple[int, ...], parameters: Parameters, place: list[float], z: float) -> Array:
    """Return how dark each pixel of a slice becomes, 0 to 1."""
    drift = parameters["drift"]
    y = np.arange(shape[0], dtype=np.float32)[:, np.newaxis] - np.float32(place[0] + drift[0] * z)
    x = np.arange(shape[1], dtype=np.float32) - np.float32(place[1] + drift[1] * z)
    angle, distance = np.arctan2(y, x), np.hypot(y, x)
    radius = np.ones_like(angle)
    for number, (height, phase) in enumerate(parameters["waves"], start=1):
        radius += np.float32(height) * np.cos(np.float32(number) * angle + np.float32(phase))
    layer = (distance - radius * np.float32(parameters["radius"])) / np.float32(parameters["period"])
    wave = 1 - CONTRAST / 2 - CONTRAST / 2 * np.cos(np.float32(2 * np.pi) * layer)
    dark = wave * np.float32(parameters["darkness"])
    return np.where((layer >= 0) & (layer <= parameters["layers"]), dark, np.float32(0))
