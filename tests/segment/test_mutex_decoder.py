import itertools
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment.affinity_maps import MIN_SIZE_VOXELS, NEAREST, ap75, blurred_phantom, raster_order

from mitotools.errors import InputError, MitotoolsError, UsageError
from mitotools.parameters import AFFINITY_OFFSETS, DecodeParameters
from mitotools.segment.decoders.mutex import decode

X, FAR_X = (0, 0, -1), (0, 0, -3)
# Edges that attract are kept above 51; nothing is too small.
EASY = DecodeParameters(min_size_voxels=1, affinity_low=0.2, affinity_offsets=(X, FAR_X))


def rows(near, far, **parameters):
    """The labels of a row, from the affinities to the voxel before, and to the third voxel before."""
    labels = decode(np.array([near, far], np.uint8)[:, None, None], replace(EASY, **parameters))
    return "".join(map(str, labels.ravel()))


def nothing_repels(voxels):
    return [255] * voxels


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("step", [-1, 1])
def test_an_edge_joins_a_voxel_and_the_one_at_its_offset(axis, step):
    shape = tuple(5 if a == axis else 1 for a in range(3))
    offset = tuple(step if a == axis else 0 for a in range(3))
    maps = np.reshape([255, 255, 0, 255, 255], (1, *shape)).astype(np.uint8)
    labels = decode(maps, replace(EASY, affinity_offsets=(offset,))).ravel().tolist()
    assert labels == ([1, 1, 2, 2, 2] if step < 0 else [1, 1, 1, 2, 2])


def test_voxels_without_an_edge_that_attracts_above_the_low_threshold_are_background():
    assert rows([0, 51, 52, 51, 51], nothing_repels(5)) == "01100"


def test_an_edge_that_repels_splits_where_the_affinity_is_lowest():
    # Voxels 1 and 4 repel each other by 255 - 0, more than the 150 between 2 and 3.
    assert rows([0, 200, 200, 150, 200, 200], [255, 255, 255, 255, 0, 255]) == "111222"
    assert rows([0, 200, 200, 150, 200, 200], nothing_repels(6)) == "111111"


def test_a_strong_edge_that_attracts_goes_before_a_weaker_one_that_repels():
    weak, strong = [255, 255, 255, 255, 106, 255], [255, 255, 255, 255, 104, 255]
    assert rows([0, 200, 200, 150, 200, 200], weak) == "111111"
    assert rows([0, 200, 200, 150, 200, 200], strong) == "111222"


def test_of_two_edges_of_the_same_strength_the_earlier_channel_goes_first():
    near, far = [0, 200, 200, 150, 200, 200], [255, 255, 255, 255, 105, 255]
    assert rows(near, far) == "111111"
    swapped = np.array([far, near], np.uint8)[:, None, None]
    labels = decode(swapped, replace(EASY, affinity_offsets=(FAR_X, X)))
    assert labels.ravel().tolist() == [1, 1, 1, 2, 2, 2]


def test_of_two_edges_of_the_same_strength_and_channel_the_earlier_voxel_goes_first():
    # Voxels 1 and 4 are kept apart, and both 150 lead from one to the other.
    assert rows([0, 200, 150, 150, 200, 200], [255, 255, 255, 255, 0, 255]) == "111222"


def test_the_bias_moves_the_balance():
    near, far = [0, 200, 200, 150, 200, 200], [255, 255, 255, 255, 106, 255]
    assert rows(near, far, mutex_bias=0.5) == "111111"
    assert rows(near, far, mutex_bias=0.6) == "111222"
    assert rows(near, [255, 255, 255, 255, 0, 255], mutex_bias=0.2) == "111111"


def test_edges_to_the_background_do_not_count():
    # Voxels 0 and 3 are background; what they repel is not seen.
    assert rows([0, 0, 200, 0, 0, 200], [0] * 6) == "011022"


def test_the_first_voxel_may_be_an_instance_of_its_own():
    # It is kept apart from voxel 3, and the others join first.
    assert rows([0, 60, 200, 200], [255, 255, 255, 0]) == "1222"


def test_offsets_beyond_the_volume_are_ignored():
    maps = np.full((8, 1, 2, 3), 255, np.uint8)
    maps[3:] = 0
    assert (decode(maps, DecodeParameters(min_size_voxels=1)) == 1).all()


def test_small_instances_are_dropped_and_the_others_numbered_in_raster_order():
    near = [0, 255, 0, 255, 255, 0, 255]
    assert rows(near, nothing_repels(7)) == "1122233"
    assert rows(near, nothing_repels(7), min_size_voxels=3) == "0011100"
    assert rows([0, 200, 200, 150, 200], [255, 255, 255, 0, 0], min_size_voxels=3) == "11100"


def test_numbers_follow_first_voxels_also_where_components_interlock():
    # On the left, rows 1 and 2 and what they keep apart are one component; on the right there is another.
    maps = np.zeros((3, 1, 2, 6), np.uint8)
    maps[0, 0, :, 1:] = [[255, 0, 0, 0, 255], [255, 150, 255, 0, 0]]
    maps[1, 0, 1, :2] = 255
    maps[2] = 255
    maps[2, 0, 1, 3] = 0
    labels = decode(maps, replace(EASY, affinity_offsets=(X, (0, -1, 0), FAR_X)))
    assert labels[0].tolist() == [[1, 1, 0, 0, 2, 2], [1, 1, 3, 3, 0, 0]]


def test_maps_without_an_edge_have_no_instance():
    labels = decode(np.zeros((2, 2, 3, 4), np.uint8), EASY)
    assert (labels.dtype, labels.shape, labels.any()) == (np.uint8, (2, 3, 4), False)


def test_runs_and_memory_layouts_give_the_same_labels():
    maps = np.random.default_rng(4).integers(0, 256, (8, 6, 24, 24), np.uint8)
    expected = decode(maps, DecodeParameters(min_size_voxels=1))
    other = np.asfortranarray(maps)
    other.flags.writeable = False
    assert expected.max() > 10
    for again in (maps, other):
        assert np.array_equal(decode(again, DecodeParameters(min_size_voxels=1)), expected)


def test_another_number_of_channels_is_refused_with_the_offsets():
    with pytest.raises(
        InputError, match=r"needs 2 channels, one for each offset \(0,0,-1 0,0,-3\), .* have 3"
    ):
        decode(np.zeros((3, 2, 2, 2), np.uint8), EASY)


def test_offsets_of_which_none_attracts_are_refused():
    with pytest.raises(UsageError, match=r"affinity offsets: none is that of a nearest neighbour"):
        decode(np.zeros((1, 2, 2, 2), np.uint8), replace(EASY, affinity_offsets=(FAR_X,)))


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mwatershed", None)
    with pytest.raises(MitotoolsError, match=r"method mutex: .* pip install 'mitotools\[affinities\]'"):
        rows([0, 255], [255, 255])


def test_the_default_offsets_begin_with_those_of_the_other_affinity_methods():
    assert AFFINITY_OFFSETS[:3] == NEAREST


def test_most_instances_of_a_noisy_phantom_are_found():
    # Edges across a border, far away from it on both sides, are sure where the nearest ones are not.
    maps, truth = blurred_phantom(AFFINITY_OFFSETS)
    labels = decode(maps, DecodeParameters(min_size_voxels=MIN_SIZE_VOXELS))
    assert ap75(labels, truth) > 0.9


OFFSETS = (
    (*NEAREST, (0, 0, -2), (0, 2, -1), (-2, 0, 0)),
    ((0, 0, 1), (0, 3, 0), (0, 1, 0), (-1, 1, 1), (1, 0, 0)),
)


@st.composite
def tasks(draw):
    """Small affinity maps of few levels, full of ties, and parameters that cut between them."""
    offsets = draw(st.sampled_from(OFFSETS))
    shape = draw(st.sampled_from([(1, 1, 20), (1, 6, 7), (3, 4, 5), (2, 5, 1)]))
    levels = draw(st.sampled_from([(0, 60, 120, 180, 240), (0, 127, 128, 255), tuple(range(256))]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    maps = rng.choice(np.array(levels, np.uint8), (len(offsets), *shape))
    parameters = DecodeParameters(
        affinity_offsets=offsets,
        affinity_low=draw(st.sampled_from([0, 0.3, 0.48, 0.6])),
        mutex_bias=draw(st.sampled_from([0, 0.3, 0.5, 0.7, 1])),
        min_size_voxels=draw(st.integers(0, 4)),
    )
    return maps, parameters


@settings(deadline=None, max_examples=300)
@given(tasks())
def test_random_maps_give_the_labels_of_the_slow_reference(task):
    maps, parameters = task
    labels = decode(maps, parameters)
    assert raster_order(labels)
    assert np.array_equal(labels, reference(maps, parameters))


def reference(maps, parameters):
    """The definition once more, on the whole volume, with sets."""
    edges = list(edges_of(maps, parameters))
    foreground = {voxel for _, _, *ends, attracts in edges if attracts for voxel in ends}
    clusters = {voxel: frozenset([voxel]) for voxel in foreground}
    apart = []
    for _, _, a, b, attracts in sorted(edges):
        if a not in foreground or b not in foreground or clusters[a] is clusters[b]:
            continue
        if not attracts:
            apart.append((a, b))
        elif not any({clusters[c], clusters[d]} == {clusters[a], clusters[b]} for c, d in apart):
            union = clusters[a] | clusters[b]
            clusters.update(dict.fromkeys(union, union))
    kept = {
        min(cluster): cluster for cluster in clusters.values() if len(cluster) >= parameters.min_size_voxels
    }
    labels = np.zeros(maps.shape[1:], np.uint64)
    for number, first in enumerate(sorted(kept), start=1):
        labels[tuple(np.transpose(list(kept[first])))] = number
    return labels


def edges_of(maps, parameters):
    """Yield edges that sort in the order in which they are taken."""
    voxels = set(itertools.product(*map(range, maps.shape[1:])))
    low, middle = int(255 * parameters.affinity_low), int(255 * parameters.mutex_bias) + 0.5
    for channel, offset in enumerate(parameters.affinity_offsets):
        attracts = sum(map(abs, offset)) == 1
        for voxel in voxels:
            other = tuple(a + b for a, b in zip(voxel, offset, strict=True))
            value = int(maps[(channel, *voxel)])
            if other in voxels and not (attracts and value <= low):
                yield (middle - value if attracts else value - middle), channel, voxel, other, attracts
