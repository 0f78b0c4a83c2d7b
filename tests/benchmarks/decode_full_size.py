"""Promise: decode mw takes 500 x 4096 x 4096 maps in under 2.5 GB with --memory 2G, in linear time.

The maps are phantoms of mask and contour, mirrored along every axis and tiled, so that objects cross every
face of every block. Printed are, for volumes of growing size, the peak of resident memory of all processes,
the time, and the time a voxel as a multiple of that of the smallest.

Run: python tests/benchmarks/decode_full_size.py [FOLDER]      needs 10 GB in FOLDER
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from decode_speed import make
from process_tree import measured

sys.path.insert(0, str(Path(__file__).parents[1]))

from map_phantoms import mask_contour_maps, phantom_truth

SIZES = ((96, 1024, 1024), (192, 2048, 2048), (500, 4096, 4096))
MEMORY = "2G"


def main() -> None:
    """Decode volumes of growing size."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.gettempdir())
    tile = mask_contour_maps(phantom_truth(1))
    first = 0.0
    for size in SIZES:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            maps, labels = Path(name, "maps.zarr"), Path(name, "labels.zarr")
            make(maps, size, tile)
            command = ["decode", maps, labels, "-f", "--no-progress", "--memory", MEMORY]
            if not first:
                measured(command)  # compiles, once
            usage = measured(command)
            shutil.rmtree(maps)
        voxels = size[0] * size[1] * size[2]
        each = usage.seconds / voxels
        first = first or each
        print(
            f"{' x '.join(map(str, size))}: peak {usage.peak_bytes / 2**20:.0f} MiB (promise: under 2560), "
            f"{usage.seconds:.0f} s, {1e9 * each:.1f} ns a voxel, {each / first:.2f} times the first",
            flush=True,
        )


if __name__ == "__main__":
    main()
