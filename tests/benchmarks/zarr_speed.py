"""Promise: blocks of four zarr chunks are written and read in less than twice the time of the codec alone.

The codec alone: numcodecs' zstd, level 1, in a plain loop over files of one chunk. Both with two threads,
chunks of (32, 128, 128) in 100x1024x1024 voxels of noise that zstd packs to about three quarters; blocks of
one chunk, of 1x2x2 and of 1x4x8 chunks. The last column is zarr with its own codec pipeline.
Run: python tests/benchmarks/zarr_speed.py
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import zarr
from numcodecs.zstd import Zstd
from promises import promise

from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box, grid
from mitotools.volume.formats.ome_zarr import create_writer, open_reader, planned

THREADS = 2
RUNS = 5
CHUNK = (32, 128, 128)
BLOCKS = {"1 chunk": CHUNK, "4 chunks": (32, 256, 256), "32 chunks": (32, 512, 1024)}


def noise() -> np.ndarray:
    """Return voxels as grainy as a micrograph's."""
    smooth = np.sin(np.arange(1024) / 20) * 40 + 128
    rng = np.random.default_rng(0)
    return (smooth + rng.normal(0, 12, (100, 1024, 1024))).clip(0, 255).astype("uint8")


def seconds(work: Callable[[Box], object], boxes: list[Box]) -> float:
    """Return how long the threads need for all boxes."""
    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, boxes))
    return time.perf_counter() - start


class Loop:
    """Chunks as files, compressed by the codec itself."""

    def __init__(self, folder: Path, array: np.ndarray) -> None:
        self._folder, self._array = folder, array
        self._codec = Zstd(level=1, checksum=True)

    def write(self, box: Box) -> None:
        """Store one chunk."""
        self._file(box).write_bytes(self._codec.encode(np.ascontiguousarray(self._array[box.slices])))

    def read(self, box: Box) -> np.ndarray:
        """Return one chunk."""
        return np.frombuffer(self._codec.decode(self._file(box).read_bytes()), "uint8").reshape(box.shape)

    def _file(self, box: Box) -> Path:
        return self._folder / "-".join(map(str, box.start))


def ratios(folder: Path, array: np.ndarray) -> dict[str, list[float]]:
    """Return, for each kind of block, write and read over the loop's; then those of zarr's own pipeline."""
    loop, chunks = Loop(folder, array), grid(array.shape, CHUNK)
    floor = [seconds(loop.write, chunks), seconds(loop.read, chunks)] * 2
    path = folder / "v.zarr"
    spec = planned(VolumeSpec(array.shape, array.dtype, chunks=CHUNK), path)
    writer, reader = create_writer(path, spec, path), open_reader(path, None)
    own = zarr.open_array(path / "0", mode="r+")
    works = [
        lambda box: writer.write(box, array[box.slices]),
        reader.read,
        lambda box: own.__setitem__(box.slices, array[box.slices]),
        lambda box: own[box.slices],
    ]
    found = {
        name: [
            seconds(work, grid(array.shape, block)) / lowest
            for work, lowest in zip(works, floor, strict=True)
        ]
        for name, block in BLOCKS.items()
    }
    shutil.rmtree(path)
    return found


def main() -> None:
    """Print the medians of the ratios."""
    array = noise()
    with tempfile.TemporaryDirectory() as folder:
        rounds = [ratios(Path(folder), array) for _ in range(RUNS)]
    for name in BLOCKS:
        columns = zip(*(one[name] for one in rounds), strict=True)
        write, read, write_own, read_own = map(statistics.median, columns)
        print(f"blocks of {name}: zarr's own pipeline: write {write_own:.2f}, read {read_own:.2f}")
        for what, ratio in (("writing", write), ("reading", read)):
            if BLOCKS[name] != CHUNK:
                promise(f"{what} zarr, blocks of {name}", "the codec alone", ratio, most=2)
            else:
                print(f"{what}: {ratio:.2f} times the codec alone")


if __name__ == "__main__":
    main()
