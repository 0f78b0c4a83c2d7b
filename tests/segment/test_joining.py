"""Parts of markers and components in different blocks are one where they were seen at the same voxel."""

from __future__ import annotations

import numpy as np

from mitotools.segment.blockwise.across import Crossing, batched
from mitotools.segment.blockwise.joining import Groups, Markers, Numbers, joined, names_of
from mitotools.segment.blockwise.tables import Shared
from mitotools.segment.blockwise.watershed import SEVERAL


def integers(*values):
    return np.array(values, np.int64)


def shared(ids, at=(), at_ids=()):
    return Shared(integers(*ids), integers(), integers(), integers(*at), integers(*at_ids), integers())


def test_parts_seen_at_one_voxel_are_one():
    # Voxel 10 is part 1 of block 0 and part 1 of block 1, voxel 20 the latter and part 1 of block 2.
    groups = joined([shared([1, 2], [10], [1]), shared([1], [10, 20], [1, 1]), shared([1], [20], [1])])
    assert groups.count == 2
    one = groups.of(np.concatenate([names_of(block, integers(1)) for block in range(3)]))
    assert len(set(one.tolist())) == 1
    assert groups.of(names_of(0, integers(2)))[0] != one[0]


def test_parts_that_nobody_shares_stay_alone():
    assert sorted(joined([shared([1, 2, 3])]).group_of.tolist()) == [0, 1, 2]


def test_nothing_joined_is_nothing():
    assert joined([shared([]), shared([])]).count == 0


def test_instances_are_numbered_by_the_first_voxel_of_their_marker():
    markers = Markers(Numbers(integers(), integers()), integers(-1, 50, 10, 30), integers(0, 0, 0, 0))
    assert markers.final(integers(0, 5, 5, 5), 5).tolist() == [0, 3, 1, 2]
    assert markers.final(integers(0, 5, 4, 5), 5).tolist() == [0, 2, 0, 1]
    assert markers.final(integers(9, 1, 0, 0), 0).tolist() == [0, 1, 0, 0]


def test_a_block_finds_its_markers_by_its_own_numbers():
    names = np.concatenate([names_of(0, integers(2, 5)), names_of(1, integers(2))])
    numbers = Numbers(names, integers(1, 2, 3))
    assert numbers.of(0, integers(0, 1, 2, 5, 6)).tolist() == [0, 0, 1, 2, 0]
    assert numbers.of(1, integers(0, 2)).tolist() == [0, 3]
    assert Numbers(integers(), integers()).of(0, integers(0, 1)).tolist() == [0, 0]


def test_parts_whose_number_stands_for_nothing_are_left_out():
    numbers = Numbers(integers(4, 5, 6), integers(1, 2, 1)).through(integers(0, 9, 0))
    assert numbers.names.tolist() == [4, 6]
    assert numbers.numbers.tolist() == [9, 9]


def test_batches_hold_whole_components_of_several_markers_the_largest_first():
    names = np.concatenate([names_of(0, integers(1, 2, 3)), names_of(1, integers(1, 4))])
    # Group 0 lies in both blocks, groups 1, 2 and 3 in one each; group 3 has one marker, and is not flooded.
    groups = Groups(names, integers(0, 1, 3, 0, 2), 4)
    nbytes = integers(10, 3, 4, 99)
    crossing = Crossing(groups, nbytes, nbytes, integers(SEVERAL, SEVERAL, SEVERAL, 7))
    found = batched(crossing, most=10)
    as_lists = [{block: own.tolist() for block, own in batch.items()} for batch in found]
    assert as_lists == [{0: [1], 1: [1]}, {0: [2], 1: [4]}]
    assert [crossing.bytes_of(batch) for batch in found] == [10, 7]
    assert crossing.alone().tolist() == [0, 0, 7, 0, 0]
