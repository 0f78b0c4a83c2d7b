"""Colours of verdicts as people see them who lack one kind of cone."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageColor
from skimage.color import deltaE_ciede2000, rgb2lab

from mitotools.stages.scoring.judging import LEGEND

SIMULATED = {
    "trichromacy": np.eye(3),
    "protanopia": (
        (0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)
    ),
}  # fmt: skip
"""Matrices of Machado, Oliveira and Fernandes (2009), at full severity, for linear RGB."""


def as_seen(vision: str) -> np.ndarray:
    """Return the colours in CIELAB."""
    values = np.array([ImageColor.getrgb(colour) for colour in LEGEND.values()]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.array(SIMULATED[vision]).T, 0, 1)
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return rgb2lab(shown[np.newaxis])[0]


@pytest.mark.parametrize("vision", SIMULATED)
def test_kinds_are_told_apart_whichever_cones_there_are(vision):
    lab = as_seen(vision)
    first, second = np.triu_indices(len(lab), 1)
    assert deltaE_ciede2000(lab[first], lab[second]).min() >= 17.8


@pytest.mark.parametrize("vision", SIMULATED)
def test_kinds_are_seen_on_dark_mitochondria_and_are_no_greys(vision):
    lab = as_seen(vision)
    assert lab[:, 0].min() > 40
    assert np.hypot(lab[:, 1], lab[:, 2]).min() > 11
