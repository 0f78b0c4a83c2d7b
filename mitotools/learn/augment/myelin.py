"""Paint myelin over the tissue: a dark sheath around an axon or, cut obliquely, a dark body with lobes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mitotools.conventions import Array, Mask
    from mitotools.learn.augment.context import Context, Parameters

RADII_NM = (50.0, 700.0)
"""Of what is inside."""

THICKNESS_NM = (60.0, 800.0)

PERIOD_PIXELS = (3.0, 6.0)
"""Of stripes along the sheath: finer layers blur into one, as in the microscope."""

STRIPES = 0.3
"""By up to which part of the shade they are lighter and darker."""

SHADE = (0.08, 0.35)
"""Grey value of the sheath, from 0, black, to 1."""

SHOWN = (0.15, 0.5)
"""Part of the contrast of the tissue that stays, as the sheath's own texture."""

HARMONICS = 5
ROUGHNESS = 0.35
"""Up to how much of its radius the sheath leaves the circle, by the first of its waves."""

LEAST_WAVE = 0.3
"""Of the radius, where waves add up."""

EDGE_PIXELS = 2.0

DRIFT = 0.3
"""Pixels by which the axon moves from slice to slice, per pixel that slices are apart."""

PLACES = 8
MOST_COVERED = 0.25
"""Myelin of which more than this part would lie on instances is not painted."""

USUAL_NM = 8.0
"""Size of a pixel where it is unknown."""


def draw(rng: np.random.Generator, context: Context) -> Parameters:
    """Draw a sheath, how it looks, and places where it may go."""
    _, height, width = context.patch
    z_nm, *plane_nm = context.voxel_size_nm or (USUAL_NM * 4, USUAL_NM, USUAL_NM)
    pixel_nm = sum(plane_nm) / 2
    return {
        "places": (rng.random((PLACES, 2)) * (height, width)).tolist(),
        "radius": float(np.exp(rng.uniform(*np.log(RADII_NM))) / pixel_nm),
        "thickness": float(np.exp(rng.uniform(*np.log(THICKNESS_NM))) / pixel_nm),
        "waves": [
            [float(rng.uniform(0, ROUGHNESS / k)), float(rng.uniform(0, 2 * np.pi))]
            for k in range(1, HARMONICS + 1)
        ],
        "period": float(rng.uniform(*PERIOD_PIXELS)),
        "stripes": float(rng.uniform(0, STRIPES)),
        "shade": float(rng.uniform(*SHADE)),
        "shown": float(rng.uniform(*SHOWN)),
        "drift": (rng.uniform(-DRIFT, DRIFT, 2) * z_nm / pixel_nm).tolist(),
    }


def apply(image: Array, labels: Array, valid: Mask | None, parameters: Parameters) -> None:  # noqa: ARG001
    """Paint in place, where few instances are in the way; what is hidden of them is no instance any more."""
    for place in parameters["places"]:
        if _fits(labels, parameters, place):
            for z, (section, ids) in enumerate(zip(image, labels, strict=True)):
                cover, depth = _sheath(section.shape, parameters, place, z - len(image) / 2)
                wave = np.cos(np.float32(2 * np.pi / parameters["period"]) * depth)
                texture = np.float32(parameters["shown"]) * (section - section.mean())
                over = (
                    np.float32(parameters["shade"]) * (1 + np.float32(parameters["stripes"]) * wave) + texture
                )
                section += cover * (np.clip(over, 0, 1) - section)
                ids[_hides(cover)] = 0
            return


def _fits(labels: Array, parameters: Parameters, place: list[float]) -> bool:
    """Return whether few instances are in the way in the first, the middle and the last slice."""
    painted = hidden = 0
    for z in (0, len(labels) // 2, len(labels) - 1):
        hides = _hides(_sheath(labels.shape[1:], parameters, place, z - len(labels) / 2)[0])
        painted += int(np.count_nonzero(hides))
        hidden += int(np.count_nonzero(hides & (labels[z] > 0)))
    return painted > 0 and hidden <= MOST_COVERED * painted


def _hides(cover: Array) -> Mask:
    hidden: Mask = cover > 0.5
    return hidden


def _sheath(
    shape: tuple[int, ...], parameters: Parameters, place: list[float], z: float
) -> tuple[Array, Array]:
    """Return how much of each pixel of a slice is covered, 0 to 1, and how deep in the sheath it lies."""
    drift = parameters["drift"]
    y = np.arange(shape[0], dtype=np.float32)[:, np.newaxis] - np.float32(place[0] + drift[0] * z)
    x = np.arange(shape[1], dtype=np.float32) - np.float32(place[1] + drift[1] * z)
    angle, distance = np.arctan2(y, x), np.hypot(y, x)
    wave = np.ones_like(angle)
    for number, (height, phase) in enumerate(parameters["waves"], start=1):
        wave += np.float32(height) * np.cos(np.float32(number) * angle + np.float32(phase))
    depth = distance / np.maximum(wave, np.float32(LEAST_WAVE)) - np.float32(parameters["radius"])
    to_edge = np.minimum(depth, np.float32(parameters["thickness"]) - depth)
    return np.clip(to_edge / np.float32(EDGE_PIXELS), 0, 1), depth
