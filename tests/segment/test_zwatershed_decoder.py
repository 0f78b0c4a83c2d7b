import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment.affinity_maps import MIN_SIZE_VOXELS, NEAREST, ap75, blurred_phantom

from mitotools.errors import UsageError
from mitotools.parameters import DecodeParameters
from mitotools.segment import basins
from mitotools.segment.decoders.zwatershed import decode

# Edges above 51 are kept, and those above 204 are as good as any; basins above 102 merge, if one has 1 voxel.
EASY = DecodeParameters(
    min_size_voxels=1, affinity_low=0.2, affinity_high=0.8, merge_affinity=0.4, merge_size_voxels=1
)


def row(*values, axis=2):
    """A row of voxels along an axis, from the affinities between each voxel and the one before."""
    shape = [1, 1, 1]
    shape[axis] = len(values)
    maps = np.zeros((3, *shape), np.uint8)
    maps[axis] = np.reshape(values, shape)
    return maps


def decoded(*values, axis=2, **parameters):
    return "".join(map(str, decode(row(*values, axis=axis), replace(EASY, **parameters)).ravel()))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_voxels_follow_their_highest_affinity(axis):
    assert decoded(0, 90, 80, 70, 100, axis=axis) == "11122"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_affinities_that_leave_the_volume_are_ignored(axis):
    maps = np.zeros((3, 2, 2, 2), np.uint8)
    first = tuple(0 if step == axis else slice(None) for step in range(3))
    maps[(axis, *first)] = 255
    assert not decode(maps, EASY).any()


def test_voxels_without_an_affinity_above_the_low_threshold_are_background():
    assert decoded(255, 51, 52, 51, 51) == "01100"
    assert decoded(0, 51, 52, 51, 51, affinity_low=0) == "11111"


def test_affinities_above_the_high_threshold_are_equal():
    assert decoded(0, 255, 204, 255) == "1122"
    assert decoded(0, 255, 205, 255) == "1111"


def test_a_plateau_is_shared_by_the_ways_out_of_it():
    # Voxels 1 to 6 are joined by 100; 110 leads out on the left and 120 on the right.
    assert decoded(0, 110, 100, 100, 100, 100, 100, 120) == "11112222"


def test_the_middle_of_a_plateau_joins_the_side_that_comes_first():
    assert decoded(0, 110, 100, 100, 100, 100, 120) == "1111222"


def test_a_plateau_with_no_way_out_is_one_basin():
    assert decoded(0, 60, 100, 100, 100, 60, 120) == "1111122"


def test_of_two_ways_up_the_first_is_taken():
    # The middle voxel is joined by 90 to two pairs of 100.
    assert decoded(0, 100, 90, 90, 100) == "11122"
    maps = np.zeros((3, 2, 2, 2), np.uint8)
    maps[0, 1, 1, 0], maps[2, 1, 1, 1] = 90, 90  # from (1, 1, 0) to z before, and x after
    maps[1, 0, 1, 0], maps[1, 1, 1, 1] = 100, 100
    assert decode(maps, EASY)[1, 1].tolist() == [1, 2]


def test_a_basin_below_the_size_merges_along_its_highest_affinity():
    maps = (0, 200, 200, 110, 200, 120, 200, 200)
    assert decoded(*maps, merge_size_voxels=2) == "11122333"
    assert decoded(*maps, merge_size_voxels=3) == "11122222"
    assert decoded(*maps, merge_size_voxels=4) == "11111111"
    assert decoded(*maps, merge_size_voxels=10**20) == "11111111"


def test_merging_counts_the_voxels_of_what_has_merged():
    # 2 + 2 voxels merge first, and then are not small any more: the last 4 stay apart.
    assert decoded(0, 200, 120, 200, 110, 200, 200, 200, merge_size_voxels=4) == "11112222"


def test_basins_merge_above_the_merge_affinity_only():
    assert decoded(0, 200, 102, 200, merge_size_voxels=9) == "1122"
    assert decoded(0, 200, 103, 200, merge_size_voxels=9) == "1111"


def test_a_merge_affinity_below_the_low_threshold_does_not_bring_edges_back():
    assert decoded(0, 200, 51, 200, merge_size_voxels=9, merge_affinity=0.1) == "1122"


def test_of_equal_affinities_the_first_merges():
    # The pair in the middle is small; merged with the three on its left it is not any more.
    assert decoded(0, 200, 200, 110, 200, 110, 200, 200, merge_size_voxels=3) == "11111222"


def test_small_instances_are_dropped():
    assert decoded(0, 255, 0, 255, 255, 0, 255, min_size_voxels=3) == "0011100"


def test_maps_without_an_edge_have_no_instance():
    labels = decode(np.zeros((3, 2, 3, 4), np.uint8), EASY)
    assert (labels.dtype, labels.shape, labels.any()) == (np.uint8, (2, 3, 4), False)


def test_a_low_threshold_that_is_not_below_the_high_one_is_refused():
    with pytest.raises(UsageError, match=r"affinity thresholds 0.5 and 0.5: the low one must be below"):
        decode(row(0, 255), replace(EASY, affinity_low=0.5, affinity_high=0.5))


def test_the_maps_stay_as_they_are():
    maps = np.random.default_rng(5).integers(0, 256, (3, 3, 4, 5), np.uint8)
    other = np.asfortranarray(maps)
    other.flags.writeable = False
    kept = maps.copy()
    assert np.array_equal(decode(other, EASY), decode(maps, EASY))
    assert np.array_equal(maps, kept)


def test_volumes_beyond_four_bytes_an_index_decode_alike(monkeypatch):
    maps = np.random.default_rng(6).integers(0, 256, (3, 4, 8, 9), np.uint8)
    parameters = replace(EASY, merge_size_voxels=4)
    expected = decode(maps, parameters)
    monkeypatch.setattr(basins, "LARGEST_UINT32", 1)
    assert expected.max() > 10
    assert np.array_equal(decode(maps, parameters), expected)


def test_the_instances_of_a_noisy_phantom_are_found_if_they_are_no_smaller_than_what_merges():
    # Single linkage goes by a border's highest edge, which blur and noise lift: what is below the size joins
    # a neighbour that it touches.
    maps, truth = blurred_phantom(NEAREST)
    parameters = DecodeParameters(min_size_voxels=MIN_SIZE_VOXELS, merge_size_voxels=MIN_SIZE_VOXELS)
    assert ap75(decode(maps, parameters), truth) > 0.95
    larger = replace(parameters, merge_size_voxels=3 * MIN_SIZE_VOXELS)
    assert ap75(decode(maps, larger), truth) < 0.8


@st.composite
def tasks(draw):
    """Small affinity maps of few levels, full of plateaus and ties, and parameters that cut between them."""
    shape = draw(st.sampled_from([(1, 1, 30), (20, 1, 2), (1, 9, 1), (1, 8, 9), (3, 5, 6), (4, 4, 4)]))
    levels = draw(st.sampled_from([(0, 60, 120, 180, 240), (0, 120, 240), tuple(range(256))]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    maps = rng.choice(np.array(levels, np.uint8), (3, *shape))
    parameters = DecodeParameters(
        affinity_low=draw(st.sampled_from([0, 0.1, 0.3, 60 / 255])),
        affinity_high=draw(st.sampled_from([0.5, 180 / 255, 0.9, 1])),
        merge_affinity=draw(st.sampled_from([0, 0.2, 0.4, 120 / 255, 0.8])),
        merge_size_voxels=draw(st.sampled_from([0, 1, 2, 3, 4, 6, 10, 100])),
        min_size_voxels=draw(st.integers(0, 4)),
    )
    return maps, parameters


@settings(deadline=None, max_examples=400)
@given(tasks())
def test_random_maps_give_the_labels_of_the_slow_reference(task):
    maps, parameters = task
    assert np.array_equal(decode(maps, parameters), reference(maps, parameters))


def reference(maps, parameters):
    """The definition once more, in dictionaries, with an explicit basin graph."""
    shape = maps.shape[1:]
    voxels = list(itertools.product(*map(range, shape)))
    low, high, level = (
        int(round(255 * value, 9))
        for value in (parameters.affinity_low, parameters.affinity_high, parameters.merge_affinity)
    )
    edges = edges_of(maps, voxels, low)
    ways = {voxel: highest_ways(edges[voxel], high) for voxel in voxels}
    towards = leave_plateaus(ways)
    numbers = components(voxels, ways, towards)
    merged = link(numbers, edges, max(low, level), parameters.merge_size_voxels)
    final = {voxel: merged[number] for voxel, number in numbers.items()}
    return drawn(final, shape, parameters.min_size_voxels)


def edges_of(maps, voxels, low):
    """Voxel -> {neighbour: affinity}, neighbours in raster order, edges above low only."""
    edges = {voxel: {} for voxel in voxels}
    for voxel in voxels:
        for axis in range(3):
            before = tuple(a - (b == axis) for b, a in enumerate(voxel))
            if before in edges and maps[(axis, *voxel)] > low:
                edges[voxel][before] = edges[before][voxel] = int(maps[(axis, *voxel)])
    return {voxel: dict(sorted(near.items())) for voxel, near in edges.items()}


def highest_ways(near, high):
    values = {other: min(value, high + 1) for other, value in near.items()}
    return [other for other, value in values.items() if value == max(values.values())]


def leave_plateaus(ways):
    """Voxel -> the one way that it takes, for voxels from which a way leads out."""
    towards = {}
    for voxel, others in ways.items():
        out = [other for other in others if voxel not in ways[other]]
        if out:
            towards[voxel] = out[0]
    waiting = list(towards)
    for voxel in waiting:  # grows meanwhile
        for other in ways[voxel]:
            if voxel in ways[other] and other not in towards:
                towards[other] = voxel
                waiting.append(other)
    return towards


def components(voxels, ways, towards):
    """Voxel -> number of its basin, in raster order of first voxels; background is left out."""
    links = {voxel: set() for voxel in voxels if ways[voxel]}
    for voxel in links:
        for other in [towards[voxel]] if voxel in towards else ways[voxel]:
            links[voxel].add(other)
            links[other].add(voxel)
    numbers = {}
    for start in links:
        if start in numbers:
            continue
        waiting, number = [start], len(set(numbers.values())) + 1
        while waiting:
            voxel = waiting.pop()
            if voxel not in numbers:
                numbers[voxel] = number
                waiting.extend(links[voxel])
    return numbers


def link(numbers, edges, level, size):
    """Basin -> the lowest basin of its cluster."""
    graph = {}  # pair -> highest affinity, and the first edge of that affinity
    for voxel in sorted(numbers):
        for axis, other in enumerate(
            tuple(a - (b == axis) for b, a in enumerate(voxel)) for axis in range(3)
        ):
            if other not in edges[voxel] or numbers[voxel] == numbers[other]:
                continue
            pair = frozenset((numbers[voxel], numbers[other]))
            entry = (-edges[voxel][other], voxel, axis)
            graph[pair] = min(graph.get(pair, entry), entry)
    clusters = {number: {number} for number in numbers.values()}
    sizes = dict.fromkeys(clusters, 0)
    for number in numbers.values():
        sizes[number] += 1
    for pair, (negative, _, _) in sorted(graph.items(), key=lambda item: item[1]):
        a, b = (clusters[number] for number in pair)
        small = min(sum(sizes[number] for number in cluster) for cluster in (a, b)) < size
        if -negative > level and a is not b and small:
            union = a | b
            clusters.update(dict.fromkeys(union, union))
    return {number: min(cluster) for number, cluster in clusters.items()}


def drawn(numbers, shape, least):
    counts = {}
    for number in numbers.values():
        counts[number] = counts.get(number, 0) + 1
    kept = sorted(number for number, count in counts.items() if count >= least)
    labels = np.zeros(shape, np.uint64)
    for voxel, number in numbers.items():
        if number in kept:
            labels[voxel] = kept.index(number) + 1
    return labels
