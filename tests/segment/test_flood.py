"""A flood over runs is the flood over the volume that the runs were taken from."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mitotools.segment.blockwise.flood import flood
from mitotools.segment.blockwise.painting import paint, runs_of_labels, selected
from mitotools.segment.blockwise.places import RUN
from mitotools.segment.blockwise.run_sets import thinned


def runs(*rows):
    """Runs from (start, length, id)."""
    return np.array(list(rows), RUN)


def runs_in(volume, cuts=None):
    """Return the runs along x of equal values, not 0, cut where `cuts` says, as blocks' faces cut them."""
    found = []
    width = volume.shape[2]
    flat = volume.reshape(-1)
    cut = np.zeros(volume.size, bool) if cuts is None else cuts.reshape(-1)
    for i, value in enumerate(flat.tolist()):
        if value and i % width and flat[i - 1] == value and not cut[i]:
            found[-1][1] += 1
        elif value:
            found.append([i, 1, value])
    return runs(*map(tuple, found))


def flooded(landscape, markers):
    """Flood a volume as it is defined: one queue for each level, the highest first."""
    labels = np.where(landscape > 0, markers, 0)
    queues = [deque() for _ in range(257)]
    for position in zip(*np.nonzero(labels), strict=True):
        queues[landscape[position]].append(position)
    while any(queues):
        position = max((queue for queue in queues if queue), key=queues.index).popleft()
        for axis, step in [(0, -1), (1, -1), (2, -1), (2, 1), (1, 1), (0, 1)]:
            near = list(position)
            near[axis] += step
            near = tuple(near)
            if not 0 <= near[axis] < labels.shape[axis] or labels[near] or not landscape[near]:
                continue
            labels[near] = labels[position]
            queues[landscape[near]].append(near)
    return labels


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(1, 9)),
    levels=st.sampled_from([(0, 1), (0, 210, 256), tuple(range(257))]),
    share=st.sampled_from([0.1, 0.5, 0.9]),
)
def test_runs_are_flooded_as_the_volume_is(seed, shape, levels, share):
    rng = np.random.default_rng(seed)
    landscape = rng.choice(levels, shape).astype(np.uint16)
    markers = rng.integers(1, 6, shape).astype(np.uint32) * (rng.random(shape) < share) * (landscape > 0)
    cuts = rng.random(shape) < 0.2
    foreground = runs_in((landscape > 0).astype(int), cuts)
    reached = flood(foreground, landscape[landscape > 0], runs_in(markers, cuts), shape)
    labels = np.zeros(shape, np.uint32)
    paint(labels, reached, reached["id"], (0, 0, 0), shape)
    assert np.array_equal(labels, flooded(landscape, markers))
    of_run = np.searchsorted(foreground["start"], reached["start"], "right") - 1
    ends = foreground["start"][of_run] + foreground["length"][of_run]
    assert (reached["start"] + reached["length"] <= ends).all()  # each lies within one run


def test_rows_and_planes_that_follow_each_other_do_not_touch():
    """The last voxel of a row and the first of the next are no neighbours, nor those of two planes."""
    foreground = runs((3, 1, 1), (4, 1, 1), (12, 1, 1))  # voxels (0,0,3), (0,1,0) and (1,0,0) of (2, 3, 4)
    reached = flood(foreground, np.full(3, 9, np.uint8), runs((3, 1, 7)), (2, 3, 4))
    assert reached.tolist() == [(3, 1, 7)]


def test_runs_that_a_face_cuts_touch_and_stay_two():
    foreground = runs((0, 2, 1), (2, 2, 1))
    reached = flood(foreground, np.full(4, 9, np.uint8), runs((0, 1, 5)), (1, 1, 4))
    assert reached.tolist() == [(0, 2, 5), (2, 2, 5)]


def test_only_the_shell_of_a_marker_is_flooded():
    """A row: four voxels of marker 3, then one without a marker, then two of marker 4."""
    foreground, seeds = runs((0, 7, 1)), runs((0, 4, 3), (5, 2, 4))
    shell, inside = thinned(foreground, seeds, (1, 1, 7))
    assert shell.tolist() == [(3, 1, 3), (4, 1, 0), (5, 1, 4)]
    assert inside.tolist() == [(0, 3, 3), (6, 1, 4)]


def test_the_neighbours_of_free_voxels_are_the_shell_along_every_axis():
    markers = np.ones((3, 3, 3), int)
    markers[1, 1, 1] = 0
    shell, inside = thinned(runs_in(np.ones((3, 3, 3), int)), runs_in(markers), (3, 3, 3))
    found = np.zeros((3, 3, 3), int)
    paint(found, shell, shell["id"] + 1, (0, 0, 0), (3, 3, 3))
    faces = [(0, 1, 1), (2, 1, 1), (1, 0, 1), (1, 2, 1), (1, 1, 0), (1, 1, 2)]
    assert {tuple(position) for position in np.argwhere(found).tolist()} == {(1, 1, 1), *faces}
    assert shell["length"].sum() + inside["length"].sum() == 27


def test_a_flood_that_takes_more_than_there_is_says_how_much():
    with pytest.raises(MemoryError) as error:
        flood(runs((0, 4, 1)), np.full(4, 9, np.uint8), runs((0, 1, 5)), (1, 1, 4), room_bytes=100)
    assert error.value.args[0] > 100


def test_voxels_are_put_in_the_order_of_their_runs():
    voxels = np.array([1, 2, 3, 4, 5], np.uint8)
    assert selected(voxels, np.array([2, 1, 2]), np.array([2, 0])).tolist() == [4, 5, 1, 2]


def test_runs_are_painted_into_the_part_of_the_volume_that_is_there():
    block = np.zeros((1, 2, 3), np.uint8)
    # Of a volume of (2, 3, 5): row (1,1) from x 0, row (1,2) from x 3, and row (0,0), which is elsewhere.
    paint(block, runs((20, 4, 0), (28, 2, 0), (0, 5, 0)), np.array([7, 8, 9]), (1, 1, 1), (2, 3, 5))
    assert block.tolist() == [[[7, 7, 7], [0, 0, 8]]]


def test_labels_are_runs_in_the_volume():
    labels = np.array([[[0, 3, 3], [4, 0, 4]]])
    found = runs_of_labels(labels, (1, 1, 2), (2, 4, 5))
    assert found.tolist() == [(28, 2, 3), (32, 1, 4), (34, 1, 4)]
