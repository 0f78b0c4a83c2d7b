from __future__ import annotations

import numpy as np
import pytest
from segment.skeleton_phantoms import DIRECTIONS, VOXEL_SIZE_NM, rods

from mitotools.segment.measures.necks import constrictions, find_necks, find_tunnels
from mitotools.segment.measures.skeleton import measure_skeleton
from mitotools.segment.measures.skeleton_graph import Graph


def line(*radii, step=1.0):
    """Return a straight skeleton with these radii, one step after another."""
    count = len(radii)
    points = np.zeros((count, 3))
    points[:, 2] = step * np.arange(count)
    numbers = np.arange(count)
    return Graph(points, np.array(radii, float), np.stack([numbers[:-1], numbers[1:]], 1).astype(np.int64))


def ring(*radii):
    graph = line(*radii)
    closing = np.array([[len(radii) - 1, 0]])
    return Graph(graph.points, graph.radii, np.concatenate([graph.edges, closing]))


def test_saddles_come_with_the_lower_of_the_peaks_that_they_part():
    # 2 parts 8 from 5; 4 parts 5 from 9, or, once the water is lower: 5 meets 9 at 4, and 8 meets both at 2.
    saddles = constrictions(line(1, 8, 2, 5, 4, 9, 3))

    assert saddles.tolist() == [[4, 5], [2, 8]]


def test_necks_are_at_most_half_as_wide_as_the_thinner_bead():
    found = find_necks(line(1, 8, 4, 20, 11, 20), resolution=1)

    # 4 is half of 8: a neck. 11 is more than half of 20: a constriction only.
    assert (found.beads, found.neck_radius, found.string_score) == (2, 4, 0.5)


def test_a_constriction_that_is_no_neck_counts_for_the_score():
    found = find_necks(line(10, 8, 10), resolution=1)

    assert found.beads == 1
    assert np.isnan(found.neck_radius)
    assert found.string_score == pytest.approx(0.2)


def test_a_dent_below_the_resolution_is_no_constriction():
    assert find_necks(line(1, 0.4, 1), resolution=1).string_score == 0
    assert find_necks(line(2, 0.4, 2), resolution=1).string_score == pytest.approx(0.8)


def test_ends_that_taper_are_no_necks():
    assert find_necks(line(1, 5, 9, 5, 1), resolution=1).string_score == 0


def test_of_the_two_necks_of_a_ring_the_wider_parts_its_beads():
    found = find_necks(ring(10, 2, 8, 3), resolution=1)

    assert (found.beads, found.neck_radius) == (2, 3)


def test_every_piece_is_a_bead_and_each_neck_one_more():
    one, two = line(10, 2, 10), line(5, 5)
    both = Graph(
        np.concatenate([one.points, two.points + 99]),
        np.concatenate([one.radii, two.radii]),
        np.concatenate([one.edges, two.edges + 3]),
    )

    assert find_necks(both, resolution=1).beads == 3


def test_a_tunnel_begins_where_the_body_ends():
    # A ball of 300 nm around 0, a tube of 50 nm up to 1000: the points at 100 and 200 are in the ball.
    found = find_tunnels(line(300, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, step=100))

    # 300 to 1000, half a step before, and one radius to the pole.
    assert found.length == 700 + 50 + 50
    assert found.diameter == pytest.approx(100)


def test_a_tunnel_thinner_than_half_of_its_body_only_is_one():
    assert find_tunnels(line(120, *[60] * 9, step=100)).length > 0
    assert find_tunnels(line(120, *[61] * 9, step=100)).length == 0
    assert find_tunnels(line(900, *[100] * 19, step=100)).length > 0
    assert find_tunnels(line(900, *[101] * 19, step=100)).length == 0
    assert np.isnan(find_tunnels(line(60, 60, 60, step=100)).diameter)


def test_a_stretch_shorter_than_thick_is_no_tunnel():
    # Beyond the ball of 100 lie a half of a step of 60 and the pole, 20 further: more than 40.
    assert find_tunnels(line(100, 20, 20, step=60)).length == 50
    assert find_tunnels(line(100, 20, 20, step=51)).length == 45.5
    assert find_tunnels(line(100, 50, 50, step=51)).length == 0


@pytest.mark.parametrize("direction", DIRECTIONS, ids=str)
@pytest.mark.parametrize("radius", [20, 30, 50])
def test_a_string_of_three_beads_has_its_necks(direction, radius):
    ends = 600 * direction
    beads = [(middle, middle, 150) for middle in (-ends, 0 * ends, ends)]

    found = measure_skeleton(rods([*beads, (-ends, ends, radius)]), VOXEL_SIZE_NM)

    # A neck along the slices may lie in one only: half a slice is 15 nm.
    steep = abs(direction[0]) > 0.9
    assert found.neck_radius_nm == pytest.approx(radius, abs=8 if steep else 15)
    assert found.string_score == pytest.approx(1 - radius / 150, abs=0.06 if steep else 0.11)
    assert found.beads == 3
    # Between balls of 150 nm, 600 nm apart.
    gap = 600 - 2 * np.sqrt(150**2 - radius**2)
    assert found.nanotunnel_length_um == pytest.approx(2 * gap / 1000, rel=0.25)


@pytest.mark.parametrize("direction", DIRECTIONS, ids=str)
@pytest.mark.parametrize("radius", [30, 50, 80])
def test_a_body_with_a_tube_has_a_nanotunnel(direction, radius):
    found = measure_skeleton(
        rods([(0 * direction, 400 * direction, 200), (0 * direction, 1400 * direction, radius)]),
        VOXEL_SIZE_NM,
    )

    # The body ends at 600 nm, the tube one radius after 1400.
    assert found.nanotunnel_length_um == pytest.approx((800 + radius) / 1000, rel=0.12)
    assert found.nanotunnel_diameter_nm == pytest.approx(2 * radius, abs=30)
    assert found.beads == 1
