import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mitotools.learn.augment import (
    copy_paste,
    elastic,
    misalignment,
    missing_section,
    rescale,
    scale,
    turn,
)
from mitotools.learn.augment.context import Context
from mitotools.learn.augment.patch import apply, draw, margin
from mitotools.learn.augment.sampling import Sampler, Sampling

SECTIONS = Context((8, 16, 16), (30, 8, 8))
CUBES = Context((8, 16, 16), (8, 8, 8))


def looked_up(module, parameters, array, patch=None):
    """An array after one move."""
    sampling = module.apply(Sampling.still(patch or array.shape), parameters)
    return Sampler(sampling, array.shape).of(array)


def row(*values, dtype=np.float32):
    return np.array([[values]], dtype)


def numbers(*shape, dtype=np.int64):
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


@settings(max_examples=40, deadline=None)
@given(shape=st.tuples(*[st.integers(1, 6)] * 3), dtype=st.sampled_from([np.float32, np.uint64, bool]))
def test_a_still_sampling_changes_nothing(shape, dtype):
    array = np.random.default_rng(0).integers(0, 2**60, shape).astype(dtype)
    found = Sampler(Sampling.still(shape), shape).of(array)
    assert np.array_equal(found, array)
    assert found.dtype == dtype


def test_ids_too_large_for_floats_are_looked_up_exactly():
    ids = row(2**63 + 1, 2**63 + 3, dtype=np.uint64)
    found = looked_up(rescale, {"factors": [1.0, 0.5]}, ids)
    assert found.tolist() == [[[2**63 + 1, 2**63 + 3]]]


def test_rescaling_by_two_halves_the_steps():
    # Around the middle, 2: positions 1, 1.5, 2, 2.5, 3.
    parameters = {"factors": [1.0, 2.0]}
    found = looked_up(rescale, parameters, row(0.0, 10.0, 20.0, 40.0, 80.0))
    assert found.tolist() == [[[10.0, 15.0, 20.0, 30.0, 40.0]]]


def test_rescaling_has_a_factor_of_its_own_along_y():
    array = np.array([[[0.0], [10.0], [20.0], [40.0], [80.0]]], np.float32)
    found = looked_up(rescale, {"factors": [2.0, 1.0]}, array)
    assert found.ravel().tolist() == [10.0, 15.0, 20.0, 30.0, 40.0]


def test_interpolation_weighs_four_pixels():
    # The middle of 2 x 2 pixels is their mean.
    found = looked_up(rescale, {"factors": [1.0, 1.0]}, np.array([[[0, 1], [2, 9]]], np.float32), (1, 1, 1))
    assert found.tolist() == [[[3.0]]]


def test_beyond_the_border_its_pixels_go_on():
    plane = np.array([[[1, 2, 3], [4, 5, 6]]], np.float32)
    for dtype in (np.float32, np.uint8):
        found = looked_up(rescale, {"factors": [1.0, 0.5]}, plane.astype(dtype))  # x: -1, 1, 3
        assert np.array_equal(found, plane)


def test_rescale_factors_lie_in_their_range_and_are_independent():
    draws = np.array([rescale.draw(np.random.default_rng(s), SECTIONS)["factors"] for s in range(500)])
    assert 0.8 <= draws.min() < 0.805
    assert 1.24 < draws.max() <= 1.25
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.15
    assert np.median(draws) == pytest.approx(1, abs=0.03)


def test_sections_are_scaled_in_the_plane_and_cubes_along_z_too():
    z, y, x = scale.draw(np.random.default_rng(0), SECTIONS)["factors"]
    assert z == 1
    assert 0.6 <= y == x <= 1.7
    z, y, x = scale.draw(np.random.default_rng(0), CUBES)["factors"]
    assert z == y == x != 1


def test_scaling_interpolates_between_slices():
    stack = np.array([0.0, 10.0, 20.0, 40.0, 80.0], np.float32).reshape(5, 1, 1)
    found = looked_up(scale, {"factors": [2.0, 2.0, 2.0]}, stack)
    assert found.ravel().tolist() == [10.0, 15.0, 20.0, 30.0, 40.0]
    found = looked_up(scale, {"factors": [4.0, 1.0, 1.0]}, stack)  # 1.5, 1.75, 2, 2.25, 2.5
    assert found.ravel().tolist() == [15.0, 17.5, 20.0, 25.0, 30.0]
    ids = looked_up(scale, {"factors": [2.5, 1.0, 1.0]}, stack.astype(np.uint8))  # 1.2, 1.6, 2, 2.4, 2.8
    assert ids.ravel().tolist() == [10, 20, 20, 20, 40]


def test_shrinking_reaches_farther_along_every_axis():
    assert scale.reach((4, 10, 20), {"factors": [0.5, 0.8, 0.4]}) == (8, 12.5, 50)


def test_a_quarter_turn_is_exact():
    square = np.array([[[1, 2], [3, 4]]], np.uint8)
    assert looked_up(turn, {"degrees": 90.0}, square).tolist() in ([[[2, 4], [1, 3]]], [[[3, 1], [4, 2]]])


def test_a_turn_by_45_degrees_reaches_the_corners():
    assert turn.reach((0, 10, 10), {"degrees": 45.0}) == pytest.approx(
        (0, 10 * math.sqrt(2), 10 * math.sqrt(2))
    )


def test_elastic_displacements_are_as_large_as_published():
    still = Sampling.still((1, 256, 256))
    moved = elastic.apply(still, {"seed": 1, "alpha": 16.0, "sigma": 4.0}).plane - still.plane
    # Noise of deviation 1/sqrt(3), smoothed over 4 pixels in two dimensions: 16 / sqrt(3) / (2 sqrt(pi) 4).
    assert moved.std() == pytest.approx(0.651, rel=0.08)
    assert np.abs(moved).max() < elastic.reach((0, 0, 0), {"alpha": 16.0, "sigma": 4.0})[1]
    assert abs(np.corrcoef(moved[0].ravel(), moved[1].ravel())[0, 1]) < 0.2


def test_elastic_displacements_are_as_large_at_the_border_as_within():
    still = Sampling.still((1, 64, 64))
    moved = [
        elastic.apply(still, {"seed": s, "alpha": 16.0, "sigma": 4.0}).plane - still.plane for s in range(60)
    ]
    assert np.std([field[:, 0] for field in moved]) == pytest.approx(0.651, rel=0.1)


def test_elastic_bends_all_slices_alike():
    image = np.broadcast_to(np.random.default_rng(0).random((1, 32, 32), dtype=np.float32), (3, 32, 32))
    found = looked_up(elastic, {"seed": 3, "alpha": 16.0, "sigma": 4.0}, image)
    assert np.array_equal(found[0], found[2])
    assert not np.array_equal(found[0], image[0])


@pytest.mark.parametrize(
    ("after", "slices"),
    [
        ([0, 2], [0, 2, 3, 5]),  # 1 and 4 are lost
        ([1, 1], [0, 1, 4, 5]),  # two neighbours are lost
        ([], [1, 2, 3, 4]),
    ],
)
def test_lost_sections_are_left_out_and_the_rest_moves_up(after, slices):
    stack = np.arange(6).reshape(6, 1, 1)
    found = looked_up(missing_section, {"after": after}, stack, (4, 1, 1))
    assert found.ravel().tolist() == slices


def test_two_sections_are_lost_within_the_patch():
    seen = set()
    for seed in range(200):
        after = missing_section.draw(np.random.default_rng(seed), SECTIONS)["after"]
        assert len(after) == 2
        seen.update(after)
    assert seen == set(range(7))  # before each slice but the first
    assert missing_section.draw(np.random.default_rng(0), Context((1, 8, 8), None)) == {"after": []}


def test_a_slip_shifts_one_section_and_a_jump_all_from_one_on():
    stack = np.broadcast_to(numbers(5, 5), (4, 5, 5))
    slip = {"first": 1, "stop": 2, "shift": [1, -2], "radians": 0.0}
    found = looked_up(misalignment, slip, stack, (4, 1, 1))
    assert found.ravel().tolist() == [12, 12 + 5 - 2, 12, 12]
    found = looked_up(misalignment, {**slip, "stop": 4}, stack, (4, 1, 1))
    assert found.ravel().tolist() == [12, 15, 15, 15]


def test_a_section_may_lie_turned():
    stack = np.broadcast_to(numbers(3, 3), (3, 3, 3))
    parameters = {"first": 2, "stop": 3, "shift": [0, 0], "radians": math.pi}
    found = looked_up(misalignment, parameters, stack)
    assert np.array_equal(found[:2], stack[:2])
    assert np.array_equal(found[2], stack[2, ::-1, ::-1])


def test_misalignments_are_of_four_kinds_and_at_most_16_pixels():
    draws = [misalignment.draw(np.random.default_rng(seed), SECTIONS) for seed in range(400)]
    shifts = np.array([d["shift"] for d in draws if d["radians"] == 0])
    assert shifts.min() == -16
    assert shifts.max() == 16
    kinds = [(d["radians"] == 0, d["stop"] == d["first"] + 1) for d in draws if d["first"] < 7]
    for kind in {(False, False), (False, True), (True, False), (True, True)}:
        assert kinds.count(kind) / len(kinds) == pytest.approx(0.25, abs=0.07)
    assert {d["first"] for d in draws} == set(range(1, 8))


def test_a_turned_section_moves_the_middle_of_a_side_by_16_pixels_at_most():
    context = Context((8, 256, 256), None)
    angles = [misalignment.draw(np.random.default_rng(seed), context)["radians"] for seed in range(400)]
    assert 15.5 < 128 * math.sin(max(np.abs(angles))) <= 16


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), voxels=st.sampled_from([(30, 8, 8), (8, 8, 8)]))
def test_a_ball_and_its_labels_stay_within_half_a_voxel(seed, voxels):
    context = Context((12, 40, 40), voxels)
    recipe = tuple((name, 1.0, {}) for name in ("elastic", "turn", "rescale", "scale", "misalignment"))
    drawn = draw(np.random.default_rng(seed), recipe, context)
    around = margin(drawn, context.patch)
    grid = np.indices([p + 2 * m for p, m in zip(context.patch, around, strict=True)])
    middle = (np.array(grid.shape[1:]) - 1).reshape(3, 1, 1, 1) / 2
    depth = 14 - np.sqrt(((grid - middle) ** 2).sum(axis=0))  # pixels inside the ball
    labels = (depth > 0).astype(np.uint8)
    image, moved, _ = apply(drawn, depth.astype(np.float32), labels, None, context.patch)
    # The nearest voxel is at most half a voxel away along each axis: the depths differ by less than .87.
    clear = np.abs(image) > 0.9
    assert np.array_equal(image[clear] > 0, moved[clear] > 0)


def two_instances():
    labels = np.zeros((3, 12, 12), np.uint16)
    labels[1, 2:4, 2:4] = 5
    labels[1, 2:4, 0] = 6  # cut by the patch
    image = np.where(labels == 5, np.float32(0.25), np.float32(0.75))
    return image, labels, labels != 6


def test_a_pasted_instance_keeps_its_shape_and_id_and_a_voxel_of_distance():
    for place in np.random.default_rng(0).random((20, 3)).tolist():
        image, labels, valid = two_instances()
        valid[1, 2, 2] = False
        copy_paste.apply(image, labels, valid, {"instance": 0.9, "places": [place]})
        pasted = labels.copy()
        pasted[two_instances()[1] > 0] = 0
        found = np.argwhere(pasted)
        assert len(found) in (0, 4)
        if len(found):
            assert (found.max(axis=0) - found.min(axis=0)).tolist() == [0, 1, 1]
            assert not (labels[:, 1:5, 0:5] != two_instances()[1][:, 1:5, 0:5]).any()
            assert np.count_nonzero(labels == 5) == 8
            assert np.all(image[labels == 5] == 0.25)
            assert np.count_nonzero(~valid & (labels == 5)) == 2


def test_an_instance_is_pasted_once_at_the_first_place_with_room():
    image, labels, _ = two_instances()
    places = [[0.0, 0.2, 0.2], [0.0, 0.6, 0.6], [0.0, 0.99, 0.99]]  # its own place, and two free ones
    copy_paste.apply(image, labels, None, {"instance": 0.5, "places": places})
    assert np.argwhere(labels == 5).tolist()[4:] == [[1, 6, 6], [1, 6, 7], [1, 7, 6], [1, 7, 7]]


def test_there_is_nothing_to_paste_without_a_whole_instance_or_room():
    image, labels, _ = two_instances()
    labels[labels == 5] = 0
    before = labels.copy()
    copy_paste.apply(image, labels, None, {"instance": 0.5, "places": [[0.5, 0.5, 0.5]]})
    assert np.array_equal(labels, before)
    full = np.ones((1, 4, 4), np.uint8)
    full[0, 1:3, 1:3] = 2
    copy_paste.apply(
        np.zeros((1, 4, 4), np.float32), full, None, {"instance": 0.5, "places": [[0.0] * 3] * 3}
    )
    assert np.count_nonzero(full == 2) == 4
