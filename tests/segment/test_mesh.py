"""Meshes against analytic truth; the errors asserted here are those that the documentation states."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from mitotools.segment.measures import surface
from mitotools.segment.measures.mesh import mesh_of

ANISOTROPIC, CUBIC = (30.0, 8.0, 8.0), (8.0, 8.0, 8.0)


def places(half_nm, spacing):
    """Return the middles of voxels in a cube of 2 half_nm around its middle: nm, z, y, x."""
    shape = [2 * int(np.ceil(half_nm / side)) + 3 for side in spacing]
    return (np.moveaxis(np.indices(shape), 0, -1) - (np.array(shape) - 1) / 2) * spacing


def ball(radius, spacing):
    return np.linalg.norm(places(radius, spacing), axis=-1) <= radius


def turned(points):
    return points @ np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]


def checked(mask, spacing, origin=(0.0, 0.0, 0.0)):
    """Return the mesh in trimesh, which has found it closed, and as large as the voxels."""
    mesh = mesh_of(mask, spacing, origin)
    assert (mesh.vertices.dtype, mesh.faces.dtype) == (np.float32, np.int32)
    found = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert found.is_watertight
    assert found.is_winding_consistent
    assert found.volume == pytest.approx(mask.sum() * np.prod(spacing), rel=0.002)
    return found


@pytest.mark.parametrize("spacing", [ANISOTROPIC, CUBIC])
@pytest.mark.parametrize("radius", [100, 200, 400])
def test_a_ball_has_its_volume_and_its_surface(radius, spacing):
    found = checked(ball(radius, spacing), spacing)
    assert found.euler_number == 2
    assert found.volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.03)
    assert found.area == pytest.approx(4 * np.pi * radius**2, rel=0.03)
    assert found.is_convex or np.percentile(found.face_adjacency_angles, 50) < np.radians(8)


def test_slices_leave_no_steps():
    found = checked(ball(400, ANISOTROPIC), ANISOTROPIC)
    assert np.percentile(found.face_adjacency_angles, 95) < np.radians(15)
    off = np.linalg.norm(found.vertices - found.vertices.mean(axis=0), axis=1) - 400
    assert abs(off).max() < 16  # half a slice is 15 nm; the raw surface of voxels is as far off as 26


def test_a_ball_has_the_surface_that_crofton_counts():
    mask = np.pad(ball(200, ANISOTROPIC), 8)
    exits = [
        np.count_nonzero(mask & ~np.roll(mask, -step, axis=(0, 1, 2))) for step in surface.steps(ANISOTROPIC)
    ]
    crofton = surface.surface_nm2(np.array([exits]), ANISOTROPIC)[0]
    assert checked(mask, ANISOTROPIC).area == pytest.approx(crofton, rel=0.025)


def test_a_turned_tube_with_round_ends_has_its_volume_and_its_surface():
    points = turned(places(460, ANISOTROPIC))
    along = points[..., 0] - np.clip(points[..., 0], -400, 400)
    mask = np.hypot(along, np.linalg.norm(points[..., 1:], axis=-1)) <= 60
    found = checked(mask, ANISOTROPIC)
    assert found.euler_number == 2
    assert found.volume == pytest.approx(np.pi * 60**2 * 800 + 4 / 3 * np.pi * 60**3, rel=0.02)
    assert found.area == pytest.approx(2 * np.pi * 60 * 800 + 4 * np.pi * 60**2, rel=0.03)


def test_a_turned_box_loses_a_little_at_its_edges():
    sides = np.array([400, 300, 240])
    mask = (abs(turned(places(300, ANISOTROPIC))) <= sides / 2).all(axis=-1)
    found = checked(mask, ANISOTROPIC)
    area = 2 * (400 * 300 + 300 * 240 + 240 * 400)
    assert 0.96 * area < found.area < area
    assert found.volume == pytest.approx(np.prod(sides), rel=0.01)


def test_a_ring_keeps_its_hole():
    points = turned(places(330, ANISOTROPIC))
    ring = np.hypot(np.hypot(points[..., 0], points[..., 1]) - 250, points[..., 2]) <= 80
    assert checked(ring, ANISOTROPIC).euler_number == 0


def test_a_hollow_ball_has_two_surfaces():
    mask = ball(200, CUBIC) & ~(np.linalg.norm(places(200, CUBIC), axis=-1) <= 100)
    found = checked(mask, CUBIC)
    assert found.euler_number == 4
    assert found.area == pytest.approx(4 * np.pi * (200**2 + 100**2), rel=0.03)


@pytest.mark.parametrize("width", [1, 3])
def test_a_thin_neck_stays_between_two_lumps(width):
    mask = np.zeros((9, 70, 29), bool)
    mask[:, :29] = mask[:, 41:] = True
    mask[4, :, 14 - width // 2 : 15 + width // 2] = True
    found = checked(mask, ANISOTROPIC)
    assert (found.body_count, found.euler_number) == (1, 2)
    # All the neck's vertices lie around its middle, on both sides of it.
    neck = found.vertices[abs(found.vertices[:, 1] - 34.5 * 8) < 20]
    assert neck[:, 2].min() < 4 * 30 - 4.5 < 4 * 30 + 4.5 < neck[:, 2].max()  # 15 less 0.35 of 30
    assert neck[:, 0].min() < 14 * 8 < neck[:, 0].max()


def test_a_single_voxel_is_a_closed_body_around_its_middle():
    found = checked(np.ones((1, 1, 1), bool), ANISOTROPIC, (60.0, 16.0, 24.0))
    assert found.euler_number == 2
    assert np.allclose(found.vertices.mean(axis=0), [24, 16, 60])


def test_vertices_are_x_y_z_and_the_middle_of_the_first_voxel_is_zero():
    mask = np.ones((4, 10, 20), bool)  # 120 x 80 x 160 nm: voxels reach half a voxel beyond their middles
    found = checked(mask, ANISOTROPIC)
    low, high = found.bounds
    assert np.allclose((low + high) / 2, [9.5 * 8, 4.5 * 8, 1.5 * 30], atol=0.5)
    assert np.allclose(high - low, [160, 80, 120], atol=10)
    moved = mesh_of(mask, ANISOTROPIC, (300.0, 80.0, 8.0)).vertices
    assert np.allclose(moved - found.vertices, [8, 80, 300], atol=1e-3)


def test_what_reaches_the_side_of_its_box_is_closed_there():
    assert checked(np.ones((3, 3, 3), bool), CUBIC).euler_number == 2


def test_an_empty_mask_has_no_surface():
    with pytest.raises(ValueError, match="empty"):
        mesh_of(np.zeros((2, 2, 2), bool), CUBIC)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95), st.sampled_from([ANISOTROPIC, CUBIC]))
def test_any_voxels_have_a_surface_of_their_volume_whose_edges_cancel(seed, share, spacing):
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 7, 3)) < share
    mask.flat[0] = True
    mesh = mesh_of(mask, spacing, (0.0, 0.0, 0.0))
    found = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    edges = [tuple(edge) for edge in found.edges]
    assert sorted(edges) == sorted((b, a) for a, b in edges)  # each is walked as often in both directions
    assert found.volume == pytest.approx(mask.sum() * np.prod(spacing), rel=0.002)


def test_padding_the_box_moves_nothing():
    mask = ball(100, ANISOTROPIC)
    wide = mesh_of(np.pad(mask, 3), ANISOTROPIC, (-90.0, -24.0, -24.0))
    tight = mesh_of(mask, ANISOTROPIC)
    assert np.array_equal(wide.faces, tight.faces)
    assert np.allclose(wide.vertices, tight.vertices, atol=1e-3)
