"""Seeded maps with known truth, as networks would predict them: blurred, unsure at membranes, and noisy."""

from __future__ import annotations

import numpy as np
from phantom import phantom
from scipy import ndimage

SHAPE = (48, 160, 160)

KEPT = 3
"""One of so many instances is kept: 68 of them, a tenth of the voxels, in about 37 clumps that touch."""

BLUR_VOXELS = (0.5, 1.5, 1.5)
"""Standard deviation (z, y, x); sections are thick."""

NOISE, NOISE_VOXELS = 0.06, (0.7, 2.0, 2.0)
"""Standard deviation of the noise of a probability, and of its blur (z, y, x)."""

DIP = 0.8
"""How much less a mask is sure where two instances touch: it is no contour, yet membranes look different."""

EDGE = 0.8
"""What a mask says at the edge of an instance: the threshold of the foreground was tuned on such maps."""

STEEPNESS = 8.0
"""How soon a mask is sure, as logits a unit of the blurred truth."""

SECTION_PIXELS = 4
"""Thickness of a section: what is as long as wide in nm is a quarter as long in voxels."""

DISTANCE_PIXELS = 4.0
"""The distance where the signed distance, a hyperbolic tangent, is that of 1."""


def phantom_truth(seed: int) -> np.ndarray:
    """Return instances of `SHAPE`, uint16: ellipsoids, half of them touching others."""
    depth, height, width = SHAPE
    labels = phantom((depth, height // 2, width // 2), seed)[1]
    return np.where(labels % KEPT == 0, labels, 0).repeat(2, 1).repeat(2, 2)


def slice_mask_maps(truth: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the mask of a network that sees one slice at a time (U2D-B): (1, Z, Y, X) uint8."""
    return _quantised(_mask(truth, in_plane=True) + _noise(truth.shape, seed, in_plane=True))


def mask_maps(truth: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the mask (U3D-B): (1, Z, Y, X) uint8."""
    return _quantised(_mask(truth) + _noise(truth.shape, seed))


def mask_contour_maps(truth: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return mask and contour (U3D-BC): (2, Z, Y, X) uint8, the mask that of `mask_maps`."""
    contour = _quantised(_contour(truth) + _noise(truth.shape, seed + 1000))
    return np.concatenate([mask_maps(truth, seed), contour])


def mask_contour_distance_maps(truth: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return mask, contour and signed distance (U3D-BCD): (3, Z, Y, X) uint8, the first two as above."""
    distance = _quantised((1 + _distance(truth)) / 2 + _noise(truth.shape, seed + 2000))
    return np.concatenate([mask_contour_maps(truth, seed), distance])


def _quantised(probability: np.ndarray) -> np.ndarray:
    return np.floor(255 * np.clip(probability, 0, 1)).astype(np.uint8)[None]


def _noise(shape: tuple[int, ...], seed: int, *, in_plane: bool = False) -> np.ndarray:
    white = np.random.default_rng(seed).standard_normal(shape, np.float32)
    noise = ndimage.gaussian_filter(white, (0, *NOISE_VOXELS[1:]) if in_plane else NOISE_VOXELS)
    return noise * (NOISE / noise.std())


def _mask(truth: np.ndarray, *, in_plane: bool = False) -> np.ndarray:
    """Return a sigmoid of the blurred truth; a network that sees one slice sees no contact with the next."""
    sure = (truth > 0) - np.float32(DIP) * _borders(truth, in_plane=in_plane, contacts=True)
    blurred = ndimage.gaussian_filter(sure, (0, *BLUR_VOXELS[1:]) if in_plane else BLUR_VOXELS)
    at_edge = np.float32(np.log(EDGE / (1 - EDGE)))
    return 1 / (1 + np.exp(-STEEPNESS * (blurred - 0.5) - at_edge))


def _contour(truth: np.ndarray) -> np.ndarray:
    """Return the border, two pixels wide and drawn slice by slice; blurred, about 1 in the middle."""
    border = _borders(truth, in_plane=True).astype(np.float32)
    return 2 * ndimage.gaussian_filter(border, BLUR_VOXELS)


def _distance(truth: np.ndarray) -> np.ndarray:
    """Return the signed distance to the border in pixels, as a hyperbolic tangent: above 0 inside."""
    sampling = (SECTION_PIXELS, 1, 1)
    pixels = 0.5 + ndimage.distance_transform_edt(~_borders(truth), sampling=sampling).astype(np.float32)
    return np.tanh(np.where(truth > 0, pixels, -pixels) / DISTANCE_PIXELS)


def _borders(truth: np.ndarray, *, in_plane: bool = False, contacts: bool = False) -> np.ndarray:
    """Return the voxels on both sides of every face between different ids, background apart if `contacts`."""
    border = np.zeros(truth.shape, bool)
    for axis in (1, 2) if in_plane else (0, 1, 2):
        labels, found = np.moveaxis(truth, axis, 0), np.moveaxis(border, axis, 0)
        differ = labels[:-1] != labels[1:]
        if contacts:
            differ &= (labels[:-1] > 0) & (labels[1:] > 0)
        found[:-1] |= differ
        found[1:] |= differ
    return border
