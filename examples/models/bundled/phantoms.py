"""Make artificial neuropil with known mitochondria, in many styles, to train on beside real tissue.

Run: python examples/models/bundled/phantoms.py FILE.h5 SIDE SEED

The file gets `raw` (uint8) and `labels` (uint16), cubes of SIDE voxels of 10 nm. Neurites are the cells of a
Voronoi diagram in warped space, with dark membranes. Mitochondria are bent tubes within neurites, with a rim
and cristae. What looks like them, and is none, is there too: dark neurites, vesicles, and dense bodies. Grey
values, textures, blur and noise change from one slab of the cube to the next.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h5py
import numpy as np
from scipy import ndimage, spatial

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]
    Ids = NDArray[np.int32]
    Place = NDArray[np.float64]
    Ball = tuple[Place, float, float]  # a place and a radius, in voxels, and a grey value

VOXEL_NM = 10.0

NEURITES_A_CUBIC_MICROMETRE = (12.0, 60.0)
"""Thin ones stand among thick ones: their seeds are drawn with a density that varies over the cube."""

STRETCH = (1.0, 4.0)
"""How much longer than wide neurites are, along one axis of the cube."""

WARP_NM, WARP_LENGTH_NM = 250.0, 400.0
"""How far, and over what distance, space is bent."""

MITOCHONDRIA_A_CUBIC_MICROMETRE = 15.0
RADIUS_NM = (60.0, 230.0)
LENGTH_NM = (200.0, 2000.0)
STEP_NM, BEND = 20.0, 0.12
"""A tube is laid in steps, and turns by about so many radians a step."""

LEAST_VOXELS = 300
GAP_VOXELS = 1.5
"""Between a mitochondrion and the membrane of its neurite."""

DENSE_BODIES_A_CUBIC_MICROMETRE = 2.0
DENSE_RADIUS = (2.0, 7.0)
"""In voxels."""

VESICLES_A_CUBIC_MICROMETRE = 120.0
CROWDS_A_CUBIC_MICROMETRE = 3.0
SLABS = 4


@dataclass(frozen=True)
class Style:
    """Grey values (0 dark, 1 bright) and textures of a piece of tissue."""

    cytoplasm: float
    membrane: float
    matrix: float
    rim: float
    cristae: float
    cristae_period: float
    dark_share: float
    texture: float
    noise: float
    blur: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Style:
        """Return a style: all is darker than the cytoplasm, and mitochondria seldom as dark as membranes."""
        cytoplasm = rng.uniform(0.55, 0.85)
        membrane = cytoplasm - rng.uniform(0.25, 0.5)
        matrix = cytoplasm - rng.uniform(0.08, 0.45)
        return cls(
            cytoplasm,
            membrane,
            matrix,
            rim=min(matrix, membrane) - rng.uniform(-0.05, 0.1),
            cristae=rng.uniform(0.0, 0.15),
            cristae_period=rng.uniform(3.5, 7.0),
            dark_share=rng.uniform(0.0, 0.25),
            texture=rng.uniform(0.01, 0.06),
            noise=rng.uniform(0.02, 0.07),
            blur=rng.uniform(0.6, 1.6),
        )


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], length: float) -> Float:
    """Return noise of mean 0 and deviation 1 that changes over about `length` voxels."""
    coarse = rng.standard_normal([int(n / length) + 3 for n in shape]).astype(np.float32)
    factors = [n / (count - 1.5) for n, count in zip(shape, coarse.shape, strict=True)]
    fine = ndimage.zoom(coarse, factors)[: shape[0], : shape[1], : shape[2]]
    return (fine - fine.mean()) / fine.std()


def neurites(rng: np.random.Generator, side: int) -> Ids:
    """Return the number of each voxel's neurite, from 0."""
    cubic_micrometres = (side * VOXEL_NM / 1000) ** 3
    low, high = NEURITES_A_CUBIC_MICROMETRE
    candidates = rng.uniform(0, side, (int(high * cubic_micrometres), 3))
    density = smooth_noise(rng, (side,) * 3, side / 3)
    there = density[tuple(candidates.astype(int).T)]
    seeds = candidates[rng.random(len(candidates)) < np.clip(0.5 + 0.5 * there, low / high, 1)]
    stretch = np.ones(3)
    stretch[rng.integers(3)] = 1 / rng.uniform(*STRETCH)
    tree = spatial.cKDTree(seeds * stretch)
    bends = [smooth_noise(rng, (side,) * 3, WARP_LENGTH_NM / VOXEL_NM) for _ in range(3)]
    warp = [WARP_NM / VOXEL_NM / 2 * bend for bend in bends]
    cells = np.empty((side,) * 3, np.int32)
    plane = np.indices((side, side), np.float32)
    for z in range(side):
        places = np.stack([z + warp[0][z], plane[0] + warp[1][z], plane[1] + warp[2][z]], axis=-1)
        cells[z] = tree.query(places * stretch, workers=-1)[1]
    return cells


def boundary(ids: Ids) -> NDArray[np.bool_]:
    """Return the voxels whose next one along an axis has another id."""
    edge = np.zeros(ids.shape, bool)
    for axis in range(3):
        differs = np.diff(ids, axis=axis) != 0
        edge |= np.pad(differs, [(0, int(axis == other)) for other in range(3)])
    return edge


def to_membrane(cells: Ids) -> Float:
    """Return the distance of each voxel to the next voxel of another neurite."""
    return ndimage.distance_transform_edt(~boundary(cells)).astype(np.float32)


def tube(rng: np.random.Generator, start: Place) -> NDArray[np.float64]:
    """Return (N, 3) places along the middle of a mitochondrion."""
    direction = rng.standard_normal(3)
    places = [start]
    for _ in range(int(rng.uniform(*LENGTH_NM) / STEP_NM)):
        direction = direction / np.linalg.norm(direction) + BEND * rng.standard_normal(3)
        places.append(places[-1] + direction / np.linalg.norm(direction) * STEP_NM / VOXEL_NM)
    return np.array(places)


def mitochondria(rng: np.random.Generator, cells: Ids, membrane: Float) -> tuple[Ids, Float]:
    """Return the instances, from 1, and how many voxels deep a voxel lies in its own."""
    side = len(cells)
    ids = np.zeros(cells.shape, np.int32)
    wide = np.argwhere(membrane > RADIUS_NM[0] / VOXEL_NM)
    count = int(MITOCHONDRIA_A_CUBIC_MICROMETRE * (side * VOXEL_NM / 1000) ** 3)
    for number, start in enumerate(wide[rng.integers(len(wide), size=count)].astype(float), start=1):
        cell = cells[tuple(start.astype(int))]
        room = membrane[tuple(start.astype(int))] - GAP_VOXELS
        radius = min(rng.uniform(*RADIUS_NM) / VOXEL_NM, max(room, RADIUS_NM[0] / VOXEL_NM))
        places = tube(rng, start)
        low = np.clip((places.min(0) - radius - 1).astype(int), 0, side)
        high = np.clip((places.max(0) + radius + 2).astype(int), 0, side)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        voxels = np.moveaxis(np.indices(high - low), 0, -1) + low
        nearest = spatial.cKDTree(places).query(voxels, distance_upper_bound=radius, workers=-1)[0]
        inside = (nearest < radius) & (cells[box] == cell) & (membrane[box] > GAP_VOXELS) & (ids[box] == 0)
        pieces, _ = ndimage.label(inside)
        own = pieces == pieces[tuple(start.astype(int) - low)]
        if pieces[tuple(start.astype(int) - low)] and np.count_nonzero(own) >= LEAST_VOXELS:
            ids[box][own] = number
    outside = boundary(ids) | (ids == 0)
    return ids, ndimage.distance_transform_edt(~outside).astype(np.float32)


def painted(
    rng: np.random.Generator, style: Style, cells: Ids, membrane: Float, ids: Ids, depth: Float
) -> Float:
    """Return grey values, 0 to 1, in one style."""
    shade = rng.normal(0, 0.04, cells.max() + 1)
    shade[rng.random(len(shade)) < style.dark_share] -= rng.uniform(0.1, 0.35)
    grey = np.float32(style.cytoplasm) + shade.astype(np.float32)[cells]
    grey += style.texture * (smooth_noise(rng, cells.shape, 2.5) + smooth_noise(rng, cells.shape, 12))
    for place, radius, value in (
        *_vesicles(rng, cells.shape, style),
        *_dense_bodies(rng, cells.shape, style),
    ):
        _paint_ball(grey, place, radius, value)
    folds = smooth_noise(rng, cells.shape, 18) * 2.5
    direction = rng.standard_normal((ids.max() + 1, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    inside = np.nonzero(ids)
    along = sum(direction[ids[inside], axis] * inside[axis] for axis in range(3)) + folds[inside]
    wave = np.sin(2 * np.pi * along / style.cristae_period)
    mito_shade = rng.normal(0, 0.04, ids.max() + 1)
    matrix = style.matrix + mito_shade[ids[inside]] + style.cristae * wave
    grey[inside] = np.where(depth[inside] < 1.5, style.rim, matrix)
    grey = np.where(membrane < 1, np.float32(style.membrane), grey)
    grey = ndimage.gaussian_filter(grey, style.blur)
    return grey + rng.normal(0, style.noise, grey.shape).astype(np.float32)


def _vesicles(rng: np.random.Generator, shape: tuple[int, ...], style: Style) -> list[Ball]:
    """Return vesicles, which stand in crowds."""
    volume = np.prod(shape) * (VOXEL_NM / 1000) ** 3
    crowds = rng.uniform(0, shape, (int(CROWDS_A_CUBIC_MICROMETRE * volume) + 1, 3))
    count = int(VESICLES_A_CUBIC_MICROMETRE * volume)
    places = crowds[rng.integers(len(crowds), size=count)] + rng.normal(0, 12, (count, 3))
    return [(place, rng.uniform(1.5, 3.0), style.membrane + rng.uniform(0, 0.2)) for place in places]


def _dense_bodies(rng: np.random.Generator, shape: tuple[int, ...], style: Style) -> list[Ball]:
    """Return bodies as dark as mitochondria, but small, round and without cristae."""
    count = int(DENSE_BODIES_A_CUBIC_MICROMETRE * np.prod(shape) * (VOXEL_NM / 1000) ** 3)
    return [
        (rng.uniform(0, shape), rng.uniform(*DENSE_RADIUS), style.membrane + rng.uniform(-0.1, 0.1))
        for _ in range(count)
    ]


def _paint_ball(grey: Float, place: Place, radius: float, value: float) -> None:
    """Paint a ball, in place."""
    low = np.maximum(np.floor(place - radius).astype(int), 0)
    high = np.minimum(np.ceil(place + radius).astype(int) + 1, grey.shape)
    if (low >= high).any():
        return
    axes = np.ogrid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    distance = sum((axis - middle) ** 2 for axis, middle in zip(axes, place, strict=True))
    grey[tuple(slice(a, b) for a, b in zip(low, high, strict=True))][distance <= radius**2] = value


def phantom(side: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Return grey values and instances of a cube."""
    rng = np.random.default_rng(seed)
    cells = neurites(rng, side)
    membrane = to_membrane(cells)
    ids, depth = mitochondria(rng, cells, membrane)
    grey = np.empty(cells.shape, np.float32)
    thickness = -(-side // SLABS)
    for start in range(0, side, thickness):
        slab = slice(start, start + thickness)
        grey[slab] = painted(rng, Style.drawn(rng), cells[slab], membrane[slab], ids[slab], depth[slab])
    labels = np.unique(ids, return_inverse=True)[1].reshape(ids.shape).astype(np.uint16)
    return (np.clip(grey, 0, 1) * 255).astype(np.uint8), labels


def main() -> None:
    """Write what the command line names."""
    file, side, seed = sys.argv[1:4]
    raw, labels = phantom(int(side), int(seed))
    with h5py.File(file, "w") as target:
        for name, array in (("raw", raw), ("labels", labels)):
            target.create_dataset(name, data=array, chunks=True, compression="gzip", shuffle=True)
            target[name].attrs["voxel_size_nm"] = [VOXEL_NM] * 3


if __name__ == "__main__":
    main()
