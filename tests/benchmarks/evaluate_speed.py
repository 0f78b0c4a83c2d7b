"""Promise: evaluate takes no longer than h5py needs only to read both files, and less than 400 MB.

Two pairs of labelings in gzip HDF5, uint32: 100 x 1024 x 1024 voxels with about 1000 instances, and
400 x 1000 x 1000 with 4000. The whole command is timed, start of Python included, against h5py with slabs of
whole chunks.
The scores of voxels are compared with scikit-image's, on a crop of which both are the whole volume.

Run: python tests/benchmarks/evaluate_speed.py
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from commands import printed
from process_tree import measured
from promises import promise
from skimage.metrics import adapted_rand_error, variation_of_information

CHUNKS = (32, 128, 128)
VOLUMES = {"0.1 Gvoxel": ((100, 1024, 1024), 1000), "0.4 Gvoxel": ((400, 1000, 1000), 4000)}
ROUNDS = 3
CROP = "[0:50,0:256,0:256]"


def ellipsoids(size: tuple[int, int, int], count: int) -> np.ndarray:
    """Return labels: ellipsoids, one a cell of a grid, of different sizes."""
    generator = np.random.default_rng(0)
    labels = np.zeros(size, np.uint32)
    side = (np.prod(size) / count) ** (1 / 3)
    steps = [max(round(n / side), 1) for n in size]
    cells = [(z, y, x) for z in range(steps[0]) for y in range(steps[1]) for x in range(steps[2])]
    for number, cell in enumerate(cells[:count], start=1):
        start = [n * c // s for n, c, s in zip(size, cell, steps, strict=True)]
        stop = [n * (c + 1) // s for n, c, s in zip(size, cell, steps, strict=True)]
        axes = [
            np.linspace(-1, 1, b - a) / generator.uniform(0.3, 1) for a, b in zip(start, stop, strict=True)
        ]
        z, y, x = np.ix_(*axes)
        region = labels[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
        region[z**2 + y**2 + x**2 < 1] = number
    return labels


def write(path: Path, labels: np.ndarray) -> None:
    """Write as most programs do."""
    with h5py.File(path, "w") as file:
        file.create_dataset("main", data=labels, chunks=CHUNKS, compression="gzip")


@contextmanager
def printing_nothing() -> Iterator[None]:
    """Send what commands print to nowhere."""
    sys.stdout.flush()
    shown = os.dup(1)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    yield
    os.dup2(shown, 1)
    os.close(shown)


def read_by_h5py(*paths: Path) -> float:
    """Read slabs of whole chunks, so that no chunk is inflated twice; return the seconds."""
    start = time.perf_counter()
    for path in paths:
        with h5py.File(path) as file:
            for z in range(0, file["main"].shape[0], CHUNKS[0]):
                file["main"][z : z + CHUNKS[0]]
    return time.perf_counter() - start


def compare_with_skimage(prediction: Path, truth: Path) -> None:
    """Check a crop's variation of information and adapted Rand error."""
    report = json.loads(printed("evaluate", f"{prediction}{CROP}", f"{truth}{CROP}", "--format=json", "-q"))
    arrays = []
    for path in (truth, prediction):
        with h5py.File(path) as file:
            arrays.append(file["main"][0:50, 0:256, 0:256])
    split, merge = variation_of_information(*arrays, ignore_labels=[0])
    error = adapted_rand_error(*arrays, ignore_labels=[0])[0]
    expected = {"split": split, "merge": merge}
    for name, value in expected.items():
        assert abs(report["voi"][name] - value) < 1e-9, (name, report["voi"], expected)
    assert abs(report["adapted_rand_error"] - error) < 1e-9
    print("variation of information and adapted Rand error: those of scikit-image")


def main() -> None:
    """Time both sizes."""
    with tempfile.TemporaryDirectory() as name:
        prediction, truth = Path(name, "prediction.h5"), Path(name, "truth.h5")
        for size, (shape, count) in VOLUMES.items():
            labels = ellipsoids(shape, count)
            instances = int(labels.max())
            write(truth, labels)
            write(prediction, np.roll(labels, 3, axis=2))
            del labels
            rounds = []
            for _ in range(ROUNDS):
                with printing_nothing():
                    usage = measured(["evaluate", prediction, truth, "-q"])
                rounds.append((read_by_h5py(prediction, truth), usage.seconds, usage.peak_bytes))
            theirs, ours, peak = sorted(rounds, key=lambda one: one[1] / one[0])[ROUNDS // 2]
            print(
                f"{size}, {instances} instances: evaluate {ours:.2f} s, h5py only reads in {theirs:.2f} s;"
                f" peak {peak / 1e6:.0f} MB (promise: 400 or less)"
            )
            promise(f"evaluate, {size}", "h5py, which reads both files", ours / theirs, most=1)
        compare_with_skimage(prediction, truth)


if __name__ == "__main__":
    main()
