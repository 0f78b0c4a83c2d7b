"""Promise: augmenting a patch with the whole recipe of 2021 takes under .15 s a Mvoxel of one thread.

Printed are milliseconds a Mvoxel of each augmentation alone, in sections and in cubes, where the faults of
sections do not happen, and of each recipe in the mean; beside them, scipy's map_coordinates.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/augment_speed.py [Z,Y,X]
"""

from __future__ import annotations

import sys
import time

import numpy as np
from scipy import ndimage

from mitotools.learn.augment import AUGMENTATIONS
from mitotools.learn.augment.context import Context
from mitotools.learn.augment.patch import apply, draw, margin
from mitotools.learn.augment.recipes import RECIPES, Recipe

REPEATS, DRAWS = 5, 24


def surroundings(context: Context, recipe: Recipe, draws: int) -> list[np.ndarray]:
    """Return an image, labels and a mask with all that any of the patches needs around it."""
    drawn = [draw(np.random.default_rng(number), recipe, context) for number in range(draws)]
    more = map(max, *(margin(one, context.patch) for one in drawn))
    shape = [p + 2 * m for p, m in zip(context.patch, more, strict=True)]
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 9, [-(-n // 16) for n in shape]) // 8, np.ones((16, 16, 16), np.uint16))
    labels = np.ascontiguousarray(labels[tuple(map(slice, shape))].astype(np.uint16))
    return [rng.random(shape, dtype=np.float32), labels, labels < 9]


def seconds(context: Context, recipe: Recipe, draws: int) -> float:
    """Return the mean time of drawing and applying a recipe."""
    arrays = surroundings(context, recipe, draws)
    times = []
    for number in range(draws):
        rng = np.random.default_rng(number)
        start = time.perf_counter()
        apply(draw(rng, recipe, context), *arrays, context.patch)
        times.append(time.perf_counter() - start)
    return float(np.mean(times))


def main() -> None:
    """Print the tables."""
    size = tuple(int(n) for n in (sys.argv[1] if len(sys.argv) > 1 else "32,256,256").split(","))
    mvoxel = np.prod(size) / 1e6
    contexts = {"sections": Context(size, (30, 8, 8)), "cubes": Context(size, (8, 8, 8))}
    print(f"{size}, ms a Mvoxel of image, labels and mask, one thread")
    print(f"{'augmentation':16}{'sections':>10}{'cubes':>10}")
    rows = {item.name: ((item.name, 1.0, {}),) for item in AUGMENTATIONS if item.suits(contexts["sections"])}
    for name, recipe in [*rows.items(), *((f"recipe {name}", recipe) for name, recipe in RECIPES.items())]:
        draws = DRAWS if name.startswith("recipe") else REPEATS
        found = [seconds(context, recipe, draws) * 1e3 / mvoxel for context in contexts.values()]
        print(f"{name:16}{found[0]:10.1f}{found[1]:10.1f}", flush=True)
    image = np.random.default_rng(0).random(size, dtype=np.float32)
    start = time.perf_counter()
    ndimage.map_coordinates(image, np.indices(size, np.float32) + 0.3, order=1)
    print(f"map_coordinates of the image alone: {(time.perf_counter() - start) * 1e3 / mvoxel:.0f}")


if __name__ == "__main__":
    main()
