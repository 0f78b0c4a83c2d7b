"""A flood over runs is the flood over the volume that the runs were taken from."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mitotools.segment.flood import flood
from mitotools.segment.sparse_flood import flood_runs, painted, reached_runs, selected


def runs_of(foreground, cuts):
    """Return starts and lengths of runs along x, cut where `cuts` says, as blocks' faces cut them."""
    starts, lengths = [], []
    width = foreground.shape[2]
    flat, cut = foreground.reshape(-1), cuts.reshape(-1)
    for i in range(flat.size):
        if not flat[i]:
            continue
        if i % width and flat[i - 1] and not cut[i]:
            lengths[-1] += 1
        else:
            starts.append(i)
            lengths.append(1)
    return np.array(starts, np.int64), np.array(lengths, np.int64)


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shape=st.tuples(st.integers(1, 7), st.integers(1, 8), st.integers(1, 9)),
    values=st.sampled_from([(0, 255), (0, 210, 255), tuple(range(256))]),
    threshold=st.integers(0, 254),
)
def test_runs_are_flooded_as_the_volume_is(seed, shape, values, threshold):
    rng = np.random.default_rng(seed)
    landscape = rng.choice(values, shape).astype(np.uint8)
    markers = (rng.integers(1, 6, shape) * (rng.random(shape) < 0.1)).astype(np.uint32)
    expected = markers.copy()
    flood(landscape, expected, threshold)
    foreground = landscape > threshold
    starts, lengths = runs_of(foreground, rng.random(shape) < 0.2)
    labels = flood_runs(starts, lengths, landscape[foreground], markers[foreground], shape)
    assert np.array_equal(labels, expected[foreground])


def test_rows_and_planes_that_follow_each_other_do_not_touch():
    """The last voxel of a row and the first of the next are no neighbours, nor those of two planes."""
    starts, lengths = np.array([3, 4, 12]), np.array([1, 1, 1])
    labels = flood_runs(starts, lengths, np.full(3, 9, np.uint8), np.array([7, 0, 0], np.uint32), (2, 3, 4))
    assert labels.tolist() == [7, 0, 0]  # voxels (0,0,3), (0,1,0) and (1,0,0)


def test_runs_that_a_face_cuts_touch():
    starts, lengths = np.array([0, 2]), np.array([2, 2])
    labels = flood_runs(
        starts, lengths, np.full(4, 9, np.uint8), np.array([5, 0, 0, 0], np.uint32), (1, 1, 4)
    )
    assert labels.tolist() == [5, 5, 5, 5]


def test_reached_runs_end_where_the_label_changes():
    starts, lengths, labels, runs = reached_runs(
        np.array([10, 20]), np.array([5, 2]), np.array([0, 3, 3, 4, 0, 4, 4], np.uint32)
    )
    assert starts.tolist() == [11, 13, 20]
    assert lengths.tolist() == [2, 1, 2]
    assert labels.tolist() == [3, 4, 4]
    assert runs.tolist() == [0, 0, 1]


def test_voxels_are_put_in_the_order_of_their_runs():
    voxels = np.array([1, 2, 3, 4, 5], np.uint8)
    assert selected(voxels, np.array([2, 1, 2]), np.array([2, 0, 1])).tolist() == [4, 5, 1, 2, 3]


def test_runs_are_painted_into_the_part_of_the_volume_that_is_there():
    block = np.zeros((1, 2, 3), np.uint8)
    # Of a volume of (2, 3, 5): row (1,1) from x 0, row (1,2) from x 3, and row (0,0), which is elsewhere.
    painted(block, np.array([20, 28, 0]), np.array([4, 2, 5]), np.array([7, 8, 9]), (1, 1, 1), (2, 3, 5))
    assert block.tolist() == [[[7, 7, 7], [0, 0, 8]]]
