"""Promise: instances are thinned three times as fast as by scikit-image, on threads, in bounded memory.

The instance is a rod bent twice, with a thin stretch, of some 200,000 voxels of 30 x 8 x 8 nm. Each round
times `measure_skeleton`, one after another and two at once, and scikit-image's thinning of the same cubes.
Memory is the rise of the process's peak, per voxel of the grid of cubes, for an oblique rod that fills
little of its box and a block that fills all.

Run: python tests/benchmarks/skeleton_speed.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path

import numpy as np
from hdf5_speed import seconds
from promises import promise
from skimage.morphology import skeletonize

from mitotools.segment.measures.skeleton import measure_skeleton
from mitotools.segment.measures.skeleton_grid import BYTES_PER_WORKING_VOXEL, cubes, working_voxels
from mitotools.segment.measures.skeleton_thin import thin

sys.path.insert(0, str(Path(__file__).parents[1]))

from peak_memory import peak_kib

VOXEL_SIZE_NM = (30.0, 8.0, 8.0)
ROUNDS = 5
CORNERS = np.array([(200, 200, 200), (600, 1500, 500), (1500, 1300, 1600), (1700, 300, 2200)], float)


def bent_rod() -> np.ndarray:
    """Return a rod of three straight parts, 400, 140 and 400 nm thick."""
    shape = (66, 220, 300)
    places = np.moveaxis(np.indices(shape), 0, -1) * VOXEL_SIZE_NM
    mask = np.zeros(shape, bool)
    for first, last, radius in zip(CORNERS[:-1], CORNERS[1:], (200, 70, 200), strict=True):
        along = last - first
        share = np.clip(((places - first) @ along) / (along @ along), 0, 1)
        mask |= np.linalg.norm(places - first - share[..., np.newaxis] * along, axis=-1) <= radius
    return mask


def at_once(mask: np.ndarray) -> None:
    """Measure an instance on each of two threads."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: measure_skeleton(mask, VOXEL_SIZE_NM), range(2)))


def bytes_per_voxel(kind: str) -> float:
    """Measure one large instance in this process, after a small one has compiled everything."""
    side = 100
    mask = np.ones((side, 3 * side, 3 * side), bool)
    if kind == "rod":
        z, y, x = np.ogrid[:side, : 3 * side, : 3 * side]
        mask = (abs(3 * z - y) < 20) & (abs(y - x) < 20)
    measure_skeleton(mask[:16, :16, :16] | True, VOXEL_SIZE_NM)
    before = peak_kib()
    measure_skeleton(mask, VOXEL_SIZE_NM)
    return (peak_kib() - before) * 1024 / working_voxels(mask.shape, VOXEL_SIZE_NM)


def main() -> None:
    """Print times and memory."""
    if len(sys.argv) > 1:
        print(f"{sys.argv[1]}: {bytes_per_voxel(sys.argv[1]):.1f} bytes a working voxel")
        return
    mask = bent_rod()
    grid = cubes(mask, VOXEL_SIZE_NM).mask
    measure_skeleton(mask, VOXEL_SIZE_NM)
    rounds = [
        (
            seconds(measure_skeleton, mask, VOXEL_SIZE_NM),
            seconds(at_once, mask),
            seconds(skeletonize, grid),
            seconds(thin, grid),
        )
        for _ in range(ROUNDS)
    ]
    one, two, other, thinning = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(f"{np.count_nonzero(mask)} voxels, box of {mask.size}, {prod(grid.shape)} cubes")
    print(f"one {one:.3f} s: {prod(grid.shape) / one / 1e6:.0f} Mvoxel/s, thinning {thinning:.3f} s")
    promise("thinning an instance", "scikit-image's", other / thinning, least=3)
    print(f"two threads: {2 * one / two:.2f} times as fast")
    for kind in ("rod", "block"):
        subprocess.run([sys.executable, __file__, kind], check=True)
    print(f"promised: {BYTES_PER_WORKING_VOXEL}")


if __name__ == "__main__":
    main()
