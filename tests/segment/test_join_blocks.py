"""Parts of markers and components in different blocks are one where they were seen at the same voxel."""

from __future__ import annotations

import numpy as np

from mitotools.segment.join_blocks import Groups, Markers, batched, final_numbers, joined, names_of


def integers(*values):
    return np.array(values, np.int64)


def test_parts_seen_at_one_voxel_are_one():
    a, b, c = names_of(0, integers(1, 2)), names_of(1, integers(1)), names_of(2, integers(1))
    # Voxel 10 is part 1 of block 0 and part 1 of block 1, voxel 20 the latter and part 1 of block 2.
    shared = np.concatenate([a[:1], b, b, c])
    groups = joined(np.concatenate([a, b, c]), integers(10, 10, 20, 20), shared)
    assert groups.count == 2
    of = dict(zip(groups.names.tolist(), groups.group_of.tolist(), strict=True))
    assert of[a[0]] == of[b[0]] == of[c[0]] != of[a[1]]


def test_parts_that_nobody_shares_stay_alone():
    groups = joined(names_of(0, integers(1, 2, 3)), integers(), integers())
    assert sorted(groups.group_of.tolist()) == [0, 1, 2]


def test_nothing_joined_is_nothing():
    assert joined(integers(), integers(), integers()).count == 0


def test_instances_are_numbered_by_the_first_voxel_of_their_marker():
    markers = Markers(integers(), integers(), firsts=integers(-1, 50, 10, 30), voxels=integers(0, 0, 0, 0))
    assert final_numbers(markers, integers(0, 5, 5, 5), 5).tolist() == [0, 3, 1, 2]
    assert final_numbers(markers, integers(0, 5, 4, 5), 5).tolist() == [0, 2, 0, 1]
    assert final_numbers(markers, integers(9, 1, 0, 0), 0).tolist() == [0, 1, 0, 0]


def test_a_block_finds_its_markers_by_its_own_numbers():
    names = np.concatenate([names_of(0, integers(2, 5)), names_of(1, integers(2))])
    markers = Markers(names, integers(1, 2, 3), integers(), integers())
    assert markers.of(0, integers(0, 1, 2, 5, 6)).tolist() == [0, 0, 1, 2, 0]
    assert markers.of(1, integers(0, 2)).tolist() == [0, 3]
    assert Markers(integers(), integers(), integers(), integers()).of(0, integers(0, 1)).tolist() == [0, 0]


def test_batches_hold_whole_components_the_largest_first():
    names = np.concatenate([names_of(0, integers(1, 2)), names_of(1, integers(1, 4))])
    # Group 0 lies in both blocks, groups 1 and 2 in one each.
    groups = Groups(names, integers(0, 1, 0, 2), 3)
    found = batched(groups, integers(10, 3, 4), most=10)
    as_lists = [{block: own.tolist() for block, own in batch.items()} for batch in found]
    assert as_lists == [{0: [1], 1: [1]}, {0: [2], 1: [4]}]
