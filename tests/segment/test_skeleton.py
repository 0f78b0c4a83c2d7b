from __future__ import annotations

from dataclasses import asdict, fields

import numpy as np
import pytest
from segment.skeleton_phantoms import DIRECTIONS, VOXEL_SIZE_NM, polyline, rods

from mitotools.segment.measures.skeleton import COUNTS, LENGTHS, measure_skeleton, skeleton_columns
from mitotools.segment.measures.skeleton_grid import cubes, without_cavities, working_shape

EIGHT = (8.0, 8.0, 8.0)


def measured(parts, voxel_size_nm=VOXEL_SIZE_NM):
    return measure_skeleton(rods(parts, voxel_size_nm), voxel_size_nm)


@pytest.mark.parametrize("radius", [50, 100, 200])
@pytest.mark.parametrize("direction", DIRECTIONS, ids=str)
def test_a_rod_in_any_direction_has_its_length_and_thickness(direction, radius):
    found = measured([(-400 * direction, 400 * direction, radius)])

    # Half a slice, 15 nm, is 30 % of the smallest radius.
    assert found.skeleton_length_um == pytest.approx((800 + 2 * radius) / 1000, rel=0.08)
    assert found.thickness_max_nm == pytest.approx(2 * radius, rel=0.03, abs=15)
    assert found.thickness_mean_nm == pytest.approx(2 * radius, rel=0.15, abs=15)
    assert (found.branches, found.branch_points, found.end_points) == (1, 0, 2)
    assert (found.beads, found.nanotunnel_length_um) == (1, 0)
    assert found.string_score < 0.1
    assert np.isnan(found.neck_radius_nm)
    assert np.isnan(found.nanotunnel_diameter_nm)


def test_a_ball_is_as_long_as_thick():
    found = measured([((0, 0, 0), (0, 0, 0), 300)])

    assert found.skeleton_length_um == pytest.approx(0.6, rel=0.05)
    assert found.thickness_max_nm == pytest.approx(600, rel=0.05)


def test_a_ring_is_one_branch_without_ends_as_long_as_its_middle():
    turn = np.linspace(0, 2 * np.pi, 60)
    found = measured(polyline(np.stack([0 * turn, 400 * np.cos(turn), 400 * np.sin(turn)], 1), 100))

    assert found.skeleton_length_um == pytest.approx(2 * np.pi * 0.4, rel=0.03)
    assert (found.branches, found.branch_points, found.end_points) == (1, 0, 0)
    assert found.beads == 1


def test_a_fork_has_three_branches_as_long_as_its_arms():
    arms = np.array([(0, 600, 0), (300, -400, 500), (-300, -400, -500)])
    found = measured([((0, 0, 0), arm, 80) for arm in arms])

    length = sum(np.linalg.norm(arm) + 80 for arm in arms) / 1000
    assert found.skeleton_length_um == pytest.approx(length, rel=0.03)
    assert (found.branches, found.branch_points, found.end_points) == (3, 1, 3)


def test_a_helix_has_its_length():
    turn = np.linspace(0, 4 * np.pi, 80)
    points = np.stack([500 * turn / (2 * np.pi), 300 * np.cos(turn), 300 * np.sin(turn)], 1)
    found = measured(polyline(points, 80))

    length = 2 * np.hypot(500, 2 * np.pi * 300) + 2 * 80
    assert found.skeleton_length_um == pytest.approx(length / 1000, rel=0.03)
    assert found.branches == 1


def test_a_staircase_of_voxels_is_as_long_as_the_line_it_stands_for():
    # A slope of 2 in 5 across cubes: the way from voxel to voxel is 8 % longer than the line.
    found = measured([((0, 0, 0), (0, 400, 1000), 40)], EIGHT)

    assert found.skeleton_length_um == pytest.approx((np.hypot(400, 1000) + 80) / 1000, rel=0.015)


def test_a_bump_lower_than_the_rod_is_wide_is_no_branch():
    rod = [((0, 0, -500), (0, 0, 500), 120)]

    assert measured([*rod, ((0, 0, 0), (0, 140, 0), 30)], EIGHT).branches == 1
    assert measured([*rod, ((0, 0, 0), (0, 500, 0), 30)], EIGHT).branches == 3


def test_pieces_add_up():
    one = [((0, 0, 0), (0, 0, 600), 80)]
    both = measured([*one, ((0, 400, 0), (0, 400, 600), 80)])

    assert both.skeleton_length_um == pytest.approx(2 * measured(one).skeleton_length_um, rel=0.03)
    assert (both.branches, both.end_points, both.beads) == (2, 4, 2)


def test_a_single_voxel_is_a_branch_with_two_ends():
    found = measure_skeleton(np.ones((1, 1, 1), bool), EIGHT)

    assert (found.skeleton_voxels, found.branches, found.branch_points, found.end_points) == (1, 1, 0, 2)
    # The nearest voxel outside is 8 nm away.
    assert (found.thickness_mean_nm, found.thickness_max_nm, found.skeleton_length_um) == (16, 16, 0.016)


def test_a_cavity_changes_nothing_but_the_count_of_voxels():
    ball = rods([((0, 0, 0), (0, 0, 0), 100)], EIGHT)
    hollow = ball.copy()
    hollow[tuple(np.array(ball.shape) // 2)] = False

    assert (
        measure_skeleton(hollow, EIGHT).skeleton_length_um == measure_skeleton(ball, EIGHT).skeleton_length_um
    )
    assert np.array_equal(without_cavities(hollow), ball)


@pytest.mark.parametrize("turn", ["zxy", "yxz", "mirrored"])
def test_a_turned_or_mirrored_mask_has_the_same_measures(turn):
    parts = [((0, 0, 0), (300, 500, 200), 100), ((300, 500, 200), (600, 1100, 900), 40)]
    mask = rods(parts, EIGHT)
    other = (
        mask[::-1, ::-1, ::-1] if turn == "mirrored" else mask.transpose(["zyx".index(axis) for axis in turn])
    )

    one, two = measure_skeleton(mask, EIGHT), measure_skeleton(other, EIGHT)

    for name in ("skeleton_length_um", "thickness_mean_nm", "nanotunnel_length_um", "nanotunnel_diameter_nm"):
        assert getattr(two, name) == pytest.approx(getattr(one, name), rel=0.05)
    assert two.thickness_max_nm == one.thickness_max_nm
    assert (two.branches, two.beads) == (one.branches, one.beads)


def test_the_same_mask_has_the_same_numbers_bit_for_bit():
    mask = np.random.default_rng(0).random((9, 20, 20)) > 0.6

    one, two = (asdict(measure_skeleton(mask, VOXEL_SIZE_NM)) for _ in range(2))

    assert all(np.array_equal(one[name], two[name], equal_nan=True) for name in one)


def test_cubes_of_a_plane_between_slices_lie_midway():
    mask = np.zeros((2, 20, 20), bool)
    mask[0] = True

    grid = cubes(mask, (32.0, 8.0, 8.0))

    # Slices at 0 and 32 nm: four cubes of 8 nm are nearer to the first; those beside the box are outside.
    assert grid.mask.shape == working_shape((2, 20, 20), (32.0, 8.0, 8.0)) == (10, 22, 22)
    assert grid.mask[:, 10, 10].tolist() == [False, *[True] * 4, *[False] * 5]


def test_columns_without_a_voxel_size_are_counts_only():
    skeletons = [measure_skeleton(np.ones((1, 1, 5), bool), None)]

    columns = skeleton_columns(skeletons, is_size_known=False)

    assert {name: columns[name].tolist() for name in COUNTS} == {
        "skeleton_voxels": [5],
        "branches": [1],
        "branch_points": [0],
        "end_points": [2],
    }
    assert [columns[name] for name in LENGTHS] == [None] * len(LENGTHS)


def test_columns_hold_every_number_of_every_skeleton():
    skeletons = [measured([((0, 0, 0), (0, 0, length), 40)]) for length in (100, 300)]

    columns = skeleton_columns(skeletons, is_size_known=True)

    assert set(columns) == {field.name for field in fields(skeletons[0])}
    for name, column in columns.items():
        expected = [getattr(skeleton, name) for skeleton in skeletons]
        assert np.array_equal(column, expected, equal_nan=True)


def test_a_table_without_instances_has_empty_columns():
    assert all(len(column) == 0 for column in skeleton_columns([], is_size_known=True).values())
