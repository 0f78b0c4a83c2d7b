"""Promise: evaluate takes two labelings of 500 x 4096 x 4096 voxels in under 1 GB, in linear time.

Truth and prediction are ellipsoids, one a cell of a grid of 25 x 128 x 128 voxels, the predicted ones
smaller, some of them missing, in OME-Zarr. Printed are, for volumes of growing size, the peak of resident
memory of all processes, the time, and the time a voxel as a multiple of that of the smallest.

Run: python tests/benchmarks/evaluate_full_size.py [FOLDER [LARGEST]]      needs 1 GB in FOLDER

LARGEST is 1, 2 or 3: how many of the sizes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from evaluate_speed import printing_nothing
from process_tree import measured

from mitotools.run.running import Running
from mitotools.stages.blockwise import write_volume
from mitotools.stages.work import Work
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.path import VolumePath

SIZES = ((125, 1024, 1024), (250, 2048, 2048), (500, 4096, 4096))
CELL = (25, 128, 128)
"""Of a grid in which each has an instance: 20 480 of them in the largest volume."""

CHUNKS = (25, 128, 128)
MEMORY = "1G"
SEED = 3


def make(target: Path, size: tuple[int, int, int], *, is_truth: bool) -> int:
    """Write labels, and return how many instances they have."""
    cells = [n // c for n, c in zip(size, CELL, strict=True)]
    count = int(np.prod(cells))
    generator = np.random.default_rng(SEED)
    radii = generator.uniform(0.4, 0.95, (count, 3))
    if not is_truth:
        radii *= generator.uniform(0.8, 1, (count, 3))
        radii[generator.random(count) < 0.1] = 1e-9

    def block(box: Box, _: int) -> np.ndarray:
        labels = np.zeros(box.shape, np.uint32)
        starts = [range(a, b, c) for a, b, c in zip(box.start, box.stop, CELL, strict=True)]
        for z in starts[0]:
            for y in starts[1]:
                for x in starts[2]:
                    number = np.ravel_multi_index([z // CELL[0], y // CELL[1], x // CELL[2]], cells)
                    start = np.subtract((z, y, x), box.start)
                    place = tuple(slice(a, a + c) for a, c in zip(start, CELL, strict=True))
                    labels[place][_ellipsoid(radii[number])] = number + 1
        return labels

    spec = VolumeSpec(size, np.dtype(np.uint32), (30.0, 8.0, 8.0), chunks=CHUNKS, is_labels=True)
    write_volume(VolumePath(str(target)), spec, Work(block, "make"), Running(memory_bytes=2**30))
    return count


def _ellipsoid(radii: np.ndarray) -> np.ndarray:
    z, y, x = np.ix_(*(np.linspace(-1, 1, n) / radius for n, radius in zip(CELL, radii, strict=True)))
    return z**2 + y**2 + x**2 < 1


def main() -> None:
    """Evaluate volumes of growing size."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.gettempdir())
    sizes = SIZES[: int(sys.argv[2])] if len(sys.argv) > 2 else SIZES
    first = 0.0
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            prediction, truth = Path(name, "prediction.zarr"), Path(name, "truth.zarr")
            count = make(truth, size, is_truth=True)
            make(prediction, size, is_truth=False)
            with printing_nothing():
                usage = measured(["evaluate", prediction, truth, "--no-progress", "-q", "--memory", MEMORY])
        each = usage.seconds / float(np.prod(size))
        first = first or each
        print(
            f"{' x '.join(map(str, size))}, {count} instances: peak {usage.peak_bytes / 2**20:.0f} MiB "
            f"(promise: under 1024), {usage.seconds:.1f} s, {1e9 * each:.2f} ns a voxel, "
            f"{each / first:.2f} times the first",
            flush=True,
        )


if __name__ == "__main__":
    main()
