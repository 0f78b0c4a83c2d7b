"""Runs of a block and their components are those of its voxels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mitotools.segment.blockwise.runs import components_of, runs_of

STRUCTURES = {
    6: ndimage.generate_binary_structure(3, 1),
    26: np.ones((3, 3, 3)),
    8: np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))]),
}


def voxels_of(components, shape):
    labels = np.zeros(shape, int)
    runs = components.runs
    for start, stop, number in zip(runs.starts, runs.stops, components.numbers, strict=True):
        labels.reshape(-1)[start:stop] = number
    return labels


def test_runs_end_where_rows_end():
    volume = np.array([[[1, 1, 0, 1], [1, 0, 0, 0]], [[0, 1, 1, 1], [1, 1, 1, 1]]], np.uint8)
    runs = runs_of(volume)
    pairs = list(zip(runs.starts.tolist(), runs.stops.tolist(), strict=True))
    assert pairs == [(0, 2), (3, 4), (4, 5), (9, 12), (12, 16)]


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 8), (2, 3, 7), (3, 4, 16), (40, 50, 33)], ids=str)
@pytest.mark.parametrize("share", [0, 0.02, 0.5, 1])
def test_runs_are_the_voxels_that_are_not_0(dtype, shape, share):
    volume = (np.random.default_rng(1).random(shape) < share).astype(dtype)
    volume *= dtype(1) if dtype is np.bool_ else dtype(200)
    runs = runs_of(volume)
    found = np.zeros(volume.size, bool)
    for start, stop in zip(runs.starts, runs.stops, strict=True):
        assert start // shape[2] == (stop - 1) // shape[2]
        found[start:stop] = True
    assert np.array_equal(found.reshape(shape), volume != 0)


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(1, 18)),
    share=st.sampled_from([0.05, 0.2, 0.4, 0.7]),
    connectivity=st.sampled_from([6, 8, 26]),
)
def test_components_are_numbered_by_their_first_voxel(seed, shape, share, connectivity):
    mask = np.random.default_rng(seed).random(shape) < share
    components = components_of(runs_of(mask), connectivity)
    expected, count = ndimage.label(mask, STRUCTURES[connectivity])
    firsts = [np.flatnonzero(expected == label)[0] for label in range(1, count + 1)]
    order = np.zeros(count + 1, int)
    order[1 + np.argsort(firsts)] = np.arange(1, count + 1)
    assert components.count == count
    assert np.array_equal(voxels_of(components, shape), order[expected])
