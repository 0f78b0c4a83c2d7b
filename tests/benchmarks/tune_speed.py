"""Promise: 21 points of tune take at most half the time of 21 runs of decode and evaluate, of 0.1 Gvoxel.

The maps are phantoms, mirrored along every axis and tiled; the truth is what decode makes of them with the
thresholds of the benchmark. The scores of both ways are compared.

Run: python tests/benchmarks/tune_speed.py
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from pathlib import Path

from commands import printed
from decode_speed import make
from promises import promise

sys.path.insert(0, str(Path(__file__).parents[1]))

from map_phantoms import mask_contour_maps, phantom_truth

SIZE = (100, 1024, 1024)
SEEDS = ("0.65", "0.7", "0.75", "0.8", "0.85", "0.9", "0.95")
CONTOURS = ("0.5", "0.6", "0.7")


def main() -> None:
    """Time both."""
    with tempfile.TemporaryDirectory() as name:
        maps, truth, labels = (Path(name, f"{part}.zarr") for part in ("maps", "truth", "labels"))
        make(maps, SIZE, mask_contour_maps(phantom_truth(1)))
        printed("decode", maps, truth, "-q")
        grid = [f"--grid=seed-foreground={','.join(SEEDS)}", f"--grid=seed-contour={','.join(CONTOURS)}"]
        start = time.perf_counter()
        table = printed("tune", maps, truth, *grid, "-q").splitlines()
        ours = time.perf_counter() - start
        scores = {tuple(row.split("\t")[:2]): row.split("\t")[-1] for row in table[1:-1]}
        start = time.perf_counter()
        for seed, contour in itertools.product(SEEDS, CONTOURS):
            options = [f"--seed-foreground={seed}", f"--seed-contour={contour}"]
            printed("decode", maps, labels, "-f", "-q", *options)
            report = json.loads(printed("evaluate", labels, truth, "--format=json", "-q"))
            assert str(report["ap"]["0.75"]["all"]) == scores[seed, contour], (seed, contour)
        theirs = time.perf_counter() - start
        print(f"tune: {ours:.0f} s; 21 runs of decode and evaluate: {theirs:.0f} s; the same scores")
        promise("tune, 21 points", "21 runs of decode and evaluate", theirs / ours, least=2)


if __name__ == "__main__":
    main()
