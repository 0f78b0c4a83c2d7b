"""Promise: 500 x 4096 x 4096 voxels go through convert, tile and merge within --memory 2G.

The volume is the sample tiled and mirrored, each tile with other grey values, in HDF5 with gzip. It is
converted to OME-Zarr, cut into 256 tiles, and merged again; the end is compared with the start.
Printed are, for each command, the peak of resident memory of all its processes, and its time as a multiple of
that of copying its input and its output once each (`cp`, just before and after).

Run: python tests/benchmarks/full_size.py [FOLDER [Z,Y,X]]      needs 40 GB in FOLDER
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
from process_tree import measured

from mitotools.run.running import Running
from mitotools.stages.blockwise import map_blocks, write_volume
from mitotools.stages.work import Work
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.path import VolumePath

SAMPLE = Path(__file__).parents[2] / "examples" / "data" / "medulla_train.h5"
SIZE = (500, 4096, 4096)
TILE = "125,512,512"
MEMORY = "2G"


def make(target: Path, size: tuple[int, int, int]) -> None:
    """Write the volume."""
    with h5py.File(SAMPLE) as file:
        crop = file["raw"][:128, :128, :128]

    def block(box: Box, _: int) -> np.ndarray:
        voxels = np.empty(box.shape, np.uint8)
        for z in range(0, box.shape[0], 128):
            for y in range(0, box.shape[1], 128):
                for x in range(0, box.shape[2], 128):
                    number = sum(
                        o // 128 * f for o, f in zip(np.add(box.start, (z, y, x)), (7, 3, 5), strict=True)
                    )
                    tile = crop[:: -1 if number % 2 else 1, :, :: -1 if number % 3 else 1] ^ np.uint8(
                        number % 8
                    )
                    part = voxels[z : z + 128, y : y + 128, x : x + 128]
                    part[:] = tile[: part.shape[0], : part.shape[1], : part.shape[2]]
        return voxels

    spec = VolumeSpec(size, np.dtype(np.uint8), (30.0, 8.0, 8.0), chunks=(32, 128, 128))
    write_volume(VolumePath(str(target)), spec, Work(block, "make"), Running(memory_bytes=2 * 2**30))


def copy_seconds(path: Path) -> float:
    """Return how long it takes to copy a file or folder."""
    copy = path.with_name(f"{path.name}.copy")
    start = time.perf_counter()
    shutil.copytree(path, copy) if path.is_dir() else shutil.copy(path, copy)
    taken = time.perf_counter() - start
    shutil.rmtree(copy) if path.is_dir() else copy.unlink()
    return taken


def step(source: Path, target: Path, *arguments: object) -> None:
    """Run one command, and print what it took."""
    name = str(arguments[0])
    copying = copy_seconds(source)
    usage = measured([*arguments, "--memory", MEMORY, "-q"])
    copying += copy_seconds(target)
    print(
        f"{name}: peak {usage.peak_bytes / 2**20:.0f} MiB (promise: under 2048), "
        f"{usage.seconds:.0f} s, {usage.seconds / copying:.1f} times "
        f"copying input and output ({copying:.0f} s)",
        flush=True,
    )


def same(first: Path, second: Path) -> bool:
    """Whether two volumes have the same voxels."""
    with open_volume(VolumePath(str(first))) as a, open_volume(VolumePath(str(second))) as b:
        running = Running(memory_bytes=2 * 2**30)
        return all(
            map_blocks([a, b], lambda box, _: np.array_equal(a.read(box), b.read(box)), "compare", running, 3)
        )


def main() -> None:
    """Make the volume, run the commands, compare."""
    parent = sys.argv[1] if len(sys.argv) > 1 else None
    z, y, x = (int(n) for n in sys.argv[2].split(",")) if len(sys.argv) > 2 else SIZE
    with tempfile.TemporaryDirectory(dir=parent) as name:
        folder = Path(name)
        raw, converted, tiles, merged = (folder / n for n in ("raw.h5", "raw.zarr", "tiles", "merged.zarr"))
        make(raw, (z, y, x))
        step(raw, converted, "convert", raw, converted)
        step(converted, tiles, "tile", converted, tiles, "--size", TILE)
        shutil.rmtree(converted)
        step(tiles, merged, "merge", tiles, merged)
        print("the end equals the start" if same(raw, merged) else "THE END DIFFERS FROM THE START")


if __name__ == "__main__":
    main()
