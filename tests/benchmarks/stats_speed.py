"""Promise: stats takes at most three times as long as evaluate on the same volume, whole commands both.

100 x 1024 x 1024 voxels with about 1000 instances in gzip HDF5, uint32; evaluate compares the volume with
itself, and reads it twice.

Run: python tests/benchmarks/stats_speed.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from evaluate_speed import ellipsoids, printing_nothing, write
from process_tree import measured
from promises import promise

SHAPE, COUNT = (100, 1024, 1024), 1000
ROUNDS = 3


def main() -> None:
    """Time both commands, one after the other."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "labels.h5")
        labels = ellipsoids(SHAPE, COUNT)
        instances = int(labels.max())
        write(path, labels)
        del labels
        rounds = []
        for _ in range(ROUNDS):
            with printing_nothing():
                evaluated = measured(["evaluate", path, path, "-q"])
                counted = measured(["stats", path, "-q"])
            rounds.append((evaluated.seconds, counted.seconds, counted.peak_bytes))
    evaluate, stats, peak = sorted(rounds, key=lambda one: one[1] / one[0])[ROUNDS // 2]
    print(
        f"{instances} instances: stats {stats:.2f} s, evaluate {evaluate:.2f} s;"
        f" peak of stats {peak / 1e6:.0f} MB"
    )
    promise("stats", "evaluate", stats / evaluate, most=3)


if __name__ == "__main__":
    main()
