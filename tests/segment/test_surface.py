"""Surfaces against analytic truth; the errors asserted here are those that the documentation states."""

from __future__ import annotations

import numpy as np
import pytest

from mitotools.segment.measures import surface
from mitotools.segment.measures.instance_tables import table_columns, tables_of_block
from mitotools.segment.measures.measure import Core

ANISOTROPIC, CUBIC = (30.0, 8.0, 8.0), (8.0, 8.0, 8.0)


def columns(mask, spacing):
    tables = tables_of_block(mask.astype(np.uint8), Core((0, 0, 0), mask.shape), surface.steps(spacing))
    table = table_columns(tables.within(mask.shape), spacing)
    return {name: None if column is None else column[0] for name, column in table.items()}


def places(half_nm, spacing, shift):
    """Return the middles of voxels in a cube of 2 half_nm, its middle moved by a part of a voxel: nm."""
    shape = [2 * int(np.ceil(half_nm / side)) + 5 for side in spacing]
    indices = np.moveaxis(np.indices(shape), 0, -1)
    return (indices - (np.array(shape) - 1) / 2 - shift) * spacing


def mean_area(inside, half_nm, spacing):
    """Return the surface, nm^2, the mean of eight positions in the grid and orientations."""
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(8):
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        mask = inside(places(half_nm, spacing, rng.uniform(-0.5, 0.5, 3)) @ turn)
        areas.append(columns(mask, spacing)["surface_um2"] * 1e6)
    return np.mean(areas)


@pytest.mark.parametrize(
    ("radius", "spacing", "error"),
    [
        (100, CUBIC, 0.005),
        (200, CUBIC, 0.003),
        (100, ANISOTROPIC, 0.02),
        (200, ANISOTROPIC, 0.006),
        (400, ANISOTROPIC, 0.003),
    ],
)
def test_the_surface_of_a_ball_has_no_bias(radius, spacing, error):
    area = mean_area(lambda p: np.linalg.norm(p, axis=-1) <= radius, radius, spacing)
    assert area == pytest.approx(4 * np.pi * radius**2, rel=error)


@pytest.mark.parametrize(
    ("sides", "spacing", "error"),
    [
        ((200, 200, 200), CUBIC, 0.04),
        ((400, 400, 400), CUBIC, 0.03),
        ((200, 200, 200), ANISOTROPIC, 0.08),
        ((400, 400, 400), ANISOTROPIC, 0.05),
        ((600, 400, 300), ANISOTROPIC, 0.05),
    ],
)
def test_boxes_lose_a_little_at_their_edges(sides, spacing, error):
    a, b, c = sides
    inside = np.array(sides) / 2
    area = mean_area(lambda p: (abs(p) <= inside).all(axis=-1), np.linalg.norm(inside), spacing)
    truth = 2 * (a * b + b * c + c * a)
    assert (1 - error) * truth < area < truth


def test_an_oblique_cylinder_has_its_surface_within_five_percent():
    def inside(p):
        return (abs(p[..., 0]) <= 400) & (np.linalg.norm(p[..., 1:], axis=-1) <= 125)

    area = mean_area(inside, 420, ANISOTROPIC)
    assert area == pytest.approx(2 * np.pi * 125 * (800 + 125), rel=0.05)


@pytest.mark.parametrize(
    "spacing", [CUBIC, ANISOTROPIC, (20.0, 8.0, 8.0), (8.0, 8.0, 40.0), (16.0, 4.0, 8.0)]
)
def test_a_plane_of_any_direction_is_found_within_ten_percent(spacing):
    steps = surface.steps(spacing) * np.array(spacing)
    normals = np.random.default_rng(0).normal(size=(5000, 3))
    normals = np.concatenate([np.eye(3), normals / np.linalg.norm(normals, axis=1)[:, np.newaxis]])
    # Of a plane of area 1 with normal n, |n d| / v lines with step d in voxels of volume v leave one side.
    exits = abs(normals @ steps.T) / np.prod(spacing)
    areas = (exits * surface.areas_of_exits(spacing)).sum(axis=1) / 2
    assert areas.min() > 0.9
    assert areas.max() < 1.07
    assert areas[3:].mean() == pytest.approx(1, abs=0.003)


def test_exits_of_a_single_voxel_are_one_in_each_direction():
    mask = np.zeros((5, 9, 9), bool)
    mask[2, 4, 4] = True
    tables = tables_of_block(mask, Core((0, 0, 0), mask.shape), surface.steps(ANISOTROPIC))
    assert tables.measurements.exits.tolist() == [[1] * 13]


def test_what_the_border_cuts_has_a_surface_there():
    middle, corner = np.zeros((12, 12, 12), bool), np.ones((4, 4, 4), bool)
    middle[4:8, 4:8, 4:8] = True
    assert columns(corner, CUBIC)["surface_um2"] == columns(middle, CUBIC)["surface_um2"]


def test_neighbours_bound_an_instance_as_background_does():
    alone, among = np.zeros((9, 9, 9), np.uint8), np.full((9, 9, 9), 8, np.uint8)
    alone[3:6, 3:6, 3:6] = among[3:6, 3:6, 3:6] = 5
    found = [
        tables_of_block(labels, Core((0, 0, 0), labels.shape), surface.steps(CUBIC)).measurements.exits[0]
        for labels in (alone, among)
    ]
    assert found[0].tolist() == found[1].tolist()


def test_sphericity_is_one_for_a_ball_and_less_for_a_rod():
    ball = columns(np.linalg.norm(places(300, ANISOTROPIC, 0), axis=-1) <= 300, ANISOTROPIC)
    rod = np.zeros((44, 16, 16), bool)
    rod[2:42, 3:13, 3:13] = True  # 320 x 80 x 80 nm at cubic voxels
    volume, area = 320 * 80 * 80, 4 * 320 * 80 + 2 * 80 * 80

    assert ball["sphericity"] == pytest.approx(1, abs=0.01)
    truth = np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / area
    # The worst that there is: thin, with all faces along the axes, and not turned.
    assert truth < columns(rod, CUBIC)["sphericity"] < 1.13 * truth
    assert surface.sphericity(np.array(4 / 3 * np.pi), np.array(4 * np.pi)) == pytest.approx(1)


def test_the_complexity_index_of_a_ball_and_of_a_cube():
    # A ball of radius 1: (4 pi)^3 / (16 pi^2 (4 pi / 3)^2). A cube of side 2: S = 24, V = 8.
    found = surface.complexity_index(np.array([4 / 3 * np.pi, 8]), np.array([4 * np.pi, 24]))
    assert found == pytest.approx([9 / (4 * np.pi), 13.5 / np.pi**2])


def test_the_complexity_index_is_the_sphericity_told_otherwise():
    rod = np.zeros((12, 5, 5), bool)
    rod[1:11, 1:4, 1:4] = True
    found = columns(rod, ANISOTROPIC)
    assert found["complexity_index"] == pytest.approx(9 / (4 * np.pi * found["sphericity"] ** 3))


def test_diagonal_steps_go_three_quarters_of_the_longest_side():
    assert surface.reach((30.0, 8.0, 8.0)) == (1, 3, 3)
    assert surface.reach((8.0, 8.0, 8.0)) == (1, 1, 1)
    assert surface.reach((8.0, 4.0, 16.0)) == (2, 3, 1)
    assert surface.reach((1000.0, 1.0, 1.0)) == (1, 8, 8)
    assert surface.reach(None) == (1, 1, 1)


def test_steps_along_an_axis_go_to_the_next_voxel():
    steps = surface.steps((30.0, 8.0, 8.0)).tolist()
    assert [step for step in steps if step.count(0) == 2] == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert len(steps) == 13
    assert [1, -3, 3] in steps
