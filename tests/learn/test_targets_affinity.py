import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from mitotools.errors import UsageError
from mitotools.learn.targets import NEAREST_OFFSETS, TargetShape, channel_names, make_targets, targets_named
from mitotools.learn.targets.affinity import affinity_channels, affinity_target
from mitotools.parameters import AFFINITY_OFFSETS, DecodeParameters
from mitotools.segment.decoders import decoder

LABELS = arrays(np.uint8, st.tuples(*[st.integers(1, 7)] * 3), elements=st.integers(0, 2))
SHAPE = TargetShape(radius=1, in_plane=True)


def row(*labels):
    """Labels along x, (1, 1, X)."""
    return np.array([[labels]], np.uint16)


def along_x(labels, *steps):
    """Affinities of a row to the voxels so many steps away, as lists."""
    return affinity_target(labels, [(0, 0, step) for step in steps])[:, 0, 0].astype(int).tolist()


def test_an_affinity_to_the_neighbour_before_is_stored_at_the_voxel_after():
    assert along_x(row(0, 7, 7, 7, 0, 9, 9), -1) == [[0, 0, 1, 1, 0, 0, 1]]


def test_two_touching_instances_and_two_voxels_of_background_have_none():
    assert along_x(row(3, 3, 9, 9, 0, 0), -1) == [[1, 1, 0, 1, 0, 0]]


def test_at_the_border_the_nearest_affinity_is_the_mask():
    labels = np.array([[[1, 0], [2, 2]], [[1, 1], [0, 2]]], np.uint8)
    z, y, x = affinity_target(labels, NEAREST_OFFSETS)
    assert z.astype(int).tolist() == [[[1, 0], [1, 1]], [[1, 0], [0, 1]]]
    assert y.astype(int).tolist() == [[[1, 0], [0, 0]], [[1, 1], [0, 0]]]
    assert x.astype(int).tolist() == [[[1, 0], [1, 1]], [[1, 1], [0, 0]]]


def test_a_long_step_and_a_step_ahead_are_stored_at_their_start():
    assert along_x(row(3, 3, 9, 3, 3, 0), -3, 3) == [
        [1, 1, 0, 1, 1, 0],  # the first three look at the first voxel
        [1, 1, 0, 0, 0, 0],  # the last three look at the last voxel
    ]


def test_a_diagonal_step_goes_along_all_its_axes():
    labels = np.zeros((1, 3, 3), np.uint8)
    labels[0, 0, 2] = labels[0, 1, 1] = labels[0, 2, 0] = 5
    assert affinity_target(labels, [(0, 1, -1)])[0, 0].astype(int).tolist() == [
        [0, 0, 1],
        [0, 1, 0],
        [1, 0, 0],
    ]


def test_steps_longer_than_the_patch_end_at_its_border():
    assert along_x(row(4, 4, 5), -9, 9) == [[1, 1, 0], [0, 0, 1]]


@settings(max_examples=50, deadline=None)
@given(LABELS)
def test_every_affinity_is_that_of_the_two_voxels_it_names(labels):
    affinities = affinity_target(labels, AFFINITY_OFFSETS)
    last = np.array(labels.shape) - 1
    for channel, offset in zip(affinities, AFFINITY_OFFSETS, strict=True):
        for voxel in np.ndindex(labels.shape):
            there = tuple(np.clip(np.add(voxel, offset), 0, last))
            assert channel[voxel] == (labels[voxel] == labels[there] > 0)


@pytest.mark.parametrize(
    ("offset", "name"),
    [
        ((-1, 0, 0), "z"),
        ((0, -1, 0), "y"),
        ((0, 0, -1), "x"),
        ((0, 0, 1), "x+1"),
        ((-2, 0, 0), "z-2"),
        ((0, 9, -9), "y+9x-9"),
        ((-1, -1, -1), "z-1y-1x-1"),
    ],
)
def test_a_channel_is_named_by_its_step(offset, name):
    assert affinity_channels([offset]) == (name,)


def test_an_affinity_has_a_channel_for_each_offset():
    names = ("z", "y", "x", "z-2", "y-9", "x-9", "y-9x-9", "y+9x-9", "mask")
    targets = targets_named(["affinity", "mask"], AFFINITY_OFFSETS)
    assert channel_names(targets) == names
    labels = row(*range(1, 13))
    truths = make_targets(labels, targets, SHAPE)
    assert (truths[:-1] == affinity_target(labels, AFFINITY_OFFSETS)).all()


@pytest.mark.parametrize("offsets", [[(0, 0, 0)], [(0, 0, -1), (0, 0, -1)], []])
def test_offsets_that_are_no_steps_to_different_voxels_are_refused(offsets):
    with pytest.raises(UsageError, match=r"expected different steps, none of them 0,0,0\.$"):
        targets_named(["affinity"], offsets)


def test_the_decoders_find_the_channels_by_their_names():
    channels = {name: number for number, name in enumerate(channel_names(targets_named(["affinity"])))}
    assert decoder("waterz").selected(channels) == decoder("zwatershed").selected(channels) == (0, 1, 2)
    assert affinity_channels(DecodeParameters().affinity_offsets)[:3] == ("z", "y", "x")


def components_of_two_voxels_or_more(labels):
    """The 6-connected pieces of each id, without single voxels, which no edge joins to anything."""
    pieces = np.zeros(labels.shape, int)
    for label in range(1, int(labels.max()) + 1):
        found, count = ndimage.label(labels == label)
        sizes = np.bincount(found.ravel(), minlength=count + 1)
        found[sizes[found] < 2] = 0
        pieces[found > 0] = found[found > 0] + pieces.max()
    return pieces


def same_partition(one, other):
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    alone = all(len(np.unique(side)) == len(side) for side in pairs)
    return alone and ((pairs[0] == 0) == (pairs[1] == 0)).all()


@pytest.mark.parametrize(
    ("method", "offsets"),
    [
        ("waterz", NEAREST_OFFSETS),
        ("zwatershed", NEAREST_OFFSETS),
        ("mutex", NEAREST_OFFSETS),
        ("mutex", AFFINITY_OFFSETS),
    ],
)
@settings(max_examples=40, deadline=None)
@given(LABELS)
def test_perfect_affinities_decode_to_the_pieces_that_they_were_made_of(method, offsets, labels):
    truths = make_targets(labels, targets_named(["affinity"], offsets), SHAPE)
    maps = (255 * truths).astype(np.uint8)
    parameters = DecodeParameters(method=method, min_size_voxels=1, affinity_offsets=tuple(offsets))
    decoded = decoder(method).decode(maps, parameters)
    assert same_partition(decoded, components_of_two_voxels_or_more(labels))
