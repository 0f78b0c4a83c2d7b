"""Promise: stats and filter take labels of 500 x 4096 x 4096 voxels in bounded memory and linear time.

Ellipsoids in OME-Zarr (see evaluate_full_size.py), measured without and with skeletons, and filtered by
columns of stats after dilation. Printed are, for volumes of growing size, the peak of resident memory of
all processes, the time, and the time a voxel as a multiple of that of the smallest.

Run: python tests/benchmarks/stats_full_size.py [FOLDER [LARGEST]]      needs 1 GB in FOLDER

LARGEST is 1, 2 or 3: how many of the sizes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from evaluate_full_size import SIZES, make
from evaluate_speed import printing_nothing
from process_tree import measured

MEMORY = "2G"

COMMANDS = {
    "stats": ["stats", "labels.zarr", "-o", "t.tsv"],
    "stats --skeleton": ["stats", "labels.zarr", "-o", "s.tsv", "--skeleton"],
    "filter --min-size": ["filter", "labels.zarr", "small.zarr", "--min-size", "2000"],
    "filter --dilate --where": [
        "filter", "labels.zarr", "where.zarr", "--dilate", "1",
        "--where", "sphericity > .6 and neighbours == 0 and not touches_border",
    ],
}  # fmt: skip


def main() -> None:
    """Run each command on volumes of growing size."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.gettempdir())
    sizes = SIZES[: int(sys.argv[2])] if len(sys.argv) > 2 else SIZES
    first: dict[str, float] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            count = make(Path(name, "labels.zarr"), size, is_truth=True)
            for title, command in COMMANDS.items():
                words = [
                    str(Path(name, word)) if "." in word[1:] and " " not in word else word for word in command
                ]
                with printing_nothing():
                    usage = measured([*words, "--no-progress", "-q", "--memory", MEMORY])
                each = usage.seconds / float(np.prod(size))
                first.setdefault(title, each)
                print(
                    f"{' x '.join(map(str, size))}, {count} instances, {title}: "
                    f"peak {usage.peak_bytes / 2**20:.0f} MiB (budget {MEMORY}), {usage.seconds:.1f} s, "
                    f"{1e9 * each:.2f} ns a voxel, {each / first[title]:.2f} times the first",
                    flush=True,
                )


if __name__ == "__main__":
    main()
