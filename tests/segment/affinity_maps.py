"""Affinity maps with a known truth, for the decoders that read them."""

from __future__ import annotations

from functools import cache

import numpy as np
from phantom import phantom
from scipy import ndimage

from mitotools.parameters import PROTOCOLS
from mitotools.segment.scores.average_precision import average_precision
from mitotools.segment.scores.instances import instances_of
from mitotools.segment.scores.overlap import overlap_of_block

NEAREST = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))
MIN_SIZE_VOXELS = 100


def true_affinities(labels, offsets):
    """1 where a voxel and the one an offset away are of one instance, else 0, as beyond the volume."""
    affinities = np.zeros((len(offsets), *labels.shape))
    for channel, offset in zip(affinities, offsets, strict=True):
        margin = [(abs(step), abs(step)) for step in offset]
        padded = np.pad(labels, margin)
        there = tuple(
            slice(before + step, before + step + size)
            for (before, _), step, size in zip(margin, offset, labels.shape, strict=True)
        )
        channel[...] = (labels == padded[there]) & (labels > 0)
    return affinities


def as_maps(affinities):
    return np.floor(255 * np.clip(affinities, 0, 1)).astype(np.uint8)


@cache
def blurred_phantom(offsets):
    """Maps as of a network that is unsure at borders, and the truth; most of the instances touch another."""
    _, truth = phantom((32, 96, 96), seed=1)
    rng = np.random.default_rng(0)
    affinities = ndimage.gaussian_filter(true_affinities(truth, offsets), (0, 0.4, 0.7, 0.7))
    return as_maps(affinities + rng.normal(0, 0.1, affinities.shape)), truth


def ap75(labels, truth):
    """AP-75 over the instances of at least `MIN_SIZE_VOXELS`."""
    overlap = overlap_of_block(labels, truth).without_small_truths(MIN_SIZE_VOXELS)
    return average_precision(instances_of(overlap), PROTOCOLS[0])["0.75"]["all"]


def raster_order(labels):
    """Whether the labels are 1..n by their first voxels."""
    numbers, firsts = np.unique(labels[labels > 0], return_index=True)
    return np.array_equal(numbers, np.arange(1, len(numbers) + 1)) and (np.diff(firsts) > 0).all()
