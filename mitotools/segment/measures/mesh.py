"""The surface of one instance as triangles: marching cubes, then smoothing that keeps what is thin.

Marching cubes (Lorensen and Cline, SIGGRAPH 1987; cases resolved after Lewiner et al., J. Graphics Tools
2003) set one vertex between each voxel inside and its neighbour outside. It slides to where the signed
distance to the other side is zero, so that slices 30 nm thick leave slopes rather than steps, and Taubin's
filter, which does not shrink (SIGGRAPH 1995), takes off what is left. No vertex goes further than `REACH`
from the middle between its two voxels: the surface keeps its pieces, handles and holes, and thin necks stay.
Last, all vertices move by one and the same length along their normals until the volume is that of the voxels.

Measured at 30, 8, 8 nm: the volume within 0.1 % of the voxels'; against the truth, the area of balls of
radius 100, 200, 400 nm +1.0, +1.5, +1.3 %, of a tube of radius 60 nm +1.7 %, of a turned box with sides of
240 to 400 nm -2.9 %. Half of all neighbouring triangles meet at less than 5 degrees. Thinner parts lose more:
of the cross-section of a neck that is one slice thick and three voxels wide half, of one voxel's nine tenths.
A box of 2.3 million voxels, with 96 000 vertices, takes 0.6 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.ndimage import distance_transform_edt
from skimage.measure import marching_cubes

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Mask, VoxelSize
    from mitotools.segment.runs import Integers

    Points = npt.NDArray[np.float64]
    """(V, 3) z, y, x."""

ROUNDS = 10
"""Of Taubin's filter; five leave steps of 30 nm to be seen, twenty change little more."""

SHRINK, SWELL = 0.5, -0.53
"""How far vertices go towards the mean of their neighbours, in turn; the second takes back the first."""

REACH = 0.35
"""Parts of a voxel along each axis. With a quarter, steps stay; with a half, thin necks lose more."""

VOLUME_ERROR = 0.001
VOLUME_STEPS = 40

BYTES_PER_VOXEL = 60
"""Of the box of an instance: 28, and up to 550 for each vertex. More only where the box is small."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """A surface of triangles.

    Parameters
    ----------
    vertices : (V, 3) float32
        nm, in the order x, y, z, as programs for meshes have it.
    faces : (F, 3) int32
        Three vertices each, anticlockwise as seen from outside.
    """

    vertices: npt.NDArray[np.float32]
    faces: npt.NDArray[np.int32]


def mesh_of(mask: Mask, voxel_size_nm: VoxelSize, origin_nm: VoxelSize = (0.0, 0.0, 0.0)) -> Mesh:
    """Return the surface of an instance.

    Parameters
    ----------
    mask : (Z, Y, X) bool
        The instance in its bounding box; what lies beyond is not it.
    voxel_size_nm : (z, y, x)
    origin_nm : (z, y, x)
        The middle of the box's first voxel; the middle of a volume's first voxel is 0, as in centroids.

    Returns
    -------
    Mesh
        Closed, with its normals outwards. Parts that share an edge or a corner only are joined or not as
        marching cubes find them; where many do so, an edge may have four faces.

    Raises
    ------
    ValueError
        Where the mask is empty.
    """
    if not mask.any():
        raise ValueError("an empty mask has no surface")
    padded = np.pad(mask, 1)
    size = np.asarray(voxel_size_nm, np.float64)
    middles, faces = _between_voxels(padded)
    vertices = _at_zero_distance(padded, middles, size)
    vertices = _smoothed(vertices, faces, middles * size, REACH * size)
    vertices = _of_volume(vertices, faces, np.count_nonzero(mask) * prod(voxel_size_nm), size.min() / 4)
    moved = vertices - size + np.asarray(origin_nm)  # the padding is one voxel
    return Mesh(np.ascontiguousarray(moved[:, ::-1], np.float32), faces.astype(np.int32))


def _between_voxels(padded: Mask) -> tuple[Points, Integers]:
    """Return vertices, in voxels, half way from a voxel inside to one outside, and faces (F, 3)."""
    vertices, faces, _, _ = marching_cubes(padded.astype(np.float32), 0.5)
    # Exact: 32 bits hold all halves below 2^23, and places are found again by rounding.
    return np.round(vertices.astype(np.float64) * 2) / 2, faces.astype(np.int64)


def _at_zero_distance(padded: Mask, middles: Points, size: Points) -> Points:
    """Return the vertices, nm, moved along their pair of voxels to where the signed distance is zero."""
    low, high = np.floor(middles).astype(np.int64), np.ceil(middles).astype(np.int64)
    distances = np.zeros((2, len(middles)))
    for side in (padded, ~padded):
        nearest = _nearest(side, size)
        distances += _distances(nearest, low, size), _distances(nearest, high, size)
    share = distances[0] / distances.sum(axis=0)
    return np.asarray((low + (high - low) * share[:, np.newaxis]) * size)


def _nearest(side: Mask, size: Points) -> npt.NDArray[np.int32]:
    """Return which voxel of the other side is the nearest: (3, Z, Y, X)."""
    # Distances for all voxels would take 60 bytes of memory each, these take 12.
    found: npt.NDArray[np.int32] = distance_transform_edt(
        side, sampling=tuple(size), return_distances=False, return_indices=True
    )
    return found


def _distances(nearest: npt.NDArray[np.int32], voxels: Integers, size: Points) -> Points:
    """Return how far voxels (V, 3) are from the other side, in nm: 0 where they belong to it."""
    ends = nearest[:, *voxels.T].T
    return np.asarray(np.linalg.norm((ends - voxels) * size, axis=1))


def _smoothed(vertices: Points, faces: Integers, middles: Points, reach: Points) -> Points:
    mean_of_neighbours = _neighbourhood(faces, len(vertices))
    low, high = middles - reach, middles + reach
    vertices = np.clip(vertices, low, high)
    for _ in range(ROUNDS):
        for share in (SHRINK, SWELL):
            vertices = vertices + share * (mean_of_neighbours @ vertices - vertices)
        vertices = np.clip(vertices, low, high)
    return vertices


def _neighbourhood(faces: Integers, count: int) -> sparse.csr_array:
    """Return the (V, V) matrix that takes vertices to the means of those they share an edge with."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ends = np.concatenate([ends, ends[:, ::-1]])
    links = sparse.coo_array((np.ones(len(ends)), ends.T), shape=(count, count)).tocsr()
    links.data[:] = 1  # each edge has come from two faces
    return sparse.diags_array(1 / links.sum(axis=1)) @ links


def _of_volume(vertices: Points, faces: Integers, volume_nm3: float, longest_nm: float) -> Points:
    """Return the vertices moved along their normals, at most so far at a time, to enclose a volume."""
    for _ in range(VOLUME_STEPS):
        # z, y, x is left-handed, as marching cubes take it: in x, y, z the same faces look outwards.
        corners = vertices[faces][..., ::-1]
        missing = volume_nm3 - np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
        if abs(missing) <= VOLUME_ERROR * volume_nm3:
            break
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, ::-1]
        area = np.linalg.norm(normals, axis=1).sum() / 2
        step_nm = min(max(missing / area, -longest_nm), longest_nm)
        vertices = vertices + step_nm * _unit_sums(normals, faces, len(vertices))
    return vertices


def _unit_sums(normals: Points, faces: Integers, count: int) -> Points:
    """Return the direction of the sum of the normals of each vertex's faces: (V, 3)."""
    owners = faces.ravel()
    sums = np.stack([np.bincount(owners, np.repeat(axis, 3), count) for axis in normals.T], axis=1)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.asarray(sums / np.maximum(lengths, np.finfo(np.float64).tiny))
