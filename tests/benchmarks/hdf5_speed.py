"""Promise: two threads read and write compressed HDF5 faster than h5py does, which serves one at a time.

The volume is 100 x 1024 x 1024 voxels of EM, the sample tiled, in gzip chunks of 32 x 128 x 128. Each round
times, one after another: h5py with slabs of whole chunks, mitotools with one chunk a task on two threads, and
the bytes of the file alone. Printed are medians over the rounds: the ratio to h5py, which the promise is
about, and that to the bare bytes, which a faster codec might still gain.

Run: python tests/benchmarks/hdf5_speed.py
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
from promises import promise
from tiled import Tiled

from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box, grid
from mitotools.volume.files import open_volume
from mitotools.volume.outputs import create_volume
from mitotools.volume.path import VolumePath

SAMPLE = Path(__file__).parents[2] / "examples" / "data" / "medulla_train.h5"
SHAPE, CHUNKS = (100, 1024, 1024), (32, 128, 128)
LEVELS = {"default": 1, "gzip": 4}
THREADS = 2
ROUNDS = 5


def image() -> np.ndarray:
    """Return the sample tiled to SHAPE, every other tile mirrored."""
    with h5py.File(SAMPLE) as file:
        return Tiled(file["raw"][: SHAPE[0]][None]).read(Box.whole(SHAPE))[0][0]


def seconds(work: Callable[..., None], *arguments: object) -> float:
    """Return how long a piece of work takes."""
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def read_by_h5py(path: Path) -> None:
    """Read slabs of whole chunks, so that no chunk is inflated twice."""
    with h5py.File(path) as file:
        for z in range(0, SHAPE[0], CHUNKS[0]):
            file["main"][z : z + CHUNKS[0]]


def read_by_us(path: Path) -> None:
    """Read one chunk a task."""
    with open_volume(VolumePath(str(path))) as volume, ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(volume.read, grid(volume.spec.size, volume.spec.chunks)):
            pass


def read_bytes(path: Path) -> None:
    """Read the file, chunk by chunk."""
    with h5py.File(path) as file:
        chunks = [file["main"].id.get_chunk_info(i) for i in range(file["main"].id.get_num_chunks())]
    with path.open("rb") as file:
        for chunk in chunks:
            os.pread(file.fileno(), chunk.size, chunk.byte_offset)


def write_by_h5py(path: Path, array: np.ndarray, compression: str) -> None:
    """Write as most programs do."""
    with h5py.File(path, "w") as file:
        options = {"compression": "gzip", "compression_opts": LEVELS[compression]}
        file.create_dataset("main", data=array, chunks=CHUNKS, **options)


def write_by_us(path: Path, array: np.ndarray, compression: str) -> None:
    """Write one chunk a task."""
    spec = VolumeSpec(array.shape, array.dtype, chunks=CHUNKS, compression=compression)
    with (
        create_volume(VolumePath(str(path)), spec, force=True) as writer,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        for _ in pool.map(lambda box: writer.write(box, array[box.slices]), grid(spec.size, CHUNKS)):
            pass


def write_bytes(path: Path, content: bytes) -> None:
    """Write what the file holds."""
    with path.open("wb") as file:
        file.write(content)


def report(what: str, rounds: list[list[float]]) -> None:
    """Print the medians of rounds of three times: by h5py, by us, and of the bytes alone."""
    by_h5py, by_us, bare = (statistics.median(column) for column in zip(*rounds, strict=True))
    megabytes = np.prod(SHAPE) / 1e6
    ratio = statistics.median(a / b for a, b, _ in rounds)
    to_bare = statistics.median(b / c for _, b, c in rounds)
    promise(what, "h5py", ratio, least=2)
    print(
        f"{megabytes / by_us:.0f} against {megabytes / by_h5py:.0f} MB/s;"
        f" {to_bare:.0f} times the {bare:.2f} s of the bytes alone"
    )


def compare(folder: Path, array: np.ndarray, compression: str) -> None:
    """Write and read in turn, round by round, and print what that took."""
    theirs, ours, bare = (folder / name for name in ("theirs.h5", "ours.h5", "bare"))
    reading, writing = [], []
    for _ in range(ROUNDS):
        times = [
            seconds(write_by_h5py, theirs, array, compression),
            seconds(write_by_us, ours, array, compression),
        ]
        writing.append([*times, seconds(write_bytes, bare, ours.read_bytes())])
        reading.append([seconds(work, theirs) for work in (read_by_h5py, read_by_us, read_bytes)])
    name = f"gzip {LEVELS[compression]}"
    report(f"reading HDF5, {name}", reading)
    report(f"writing HDF5, {name}", writing)
    print(f"{name} size: {ours.stat().st_size / theirs.stat().st_size:.3f} of the file by h5py")


def main() -> None:
    """Compare both levels."""
    array = image()
    with tempfile.TemporaryDirectory() as folder:
        for compression in LEVELS:
            compare(Path(folder), array, compression)


if __name__ == "__main__":
    main()
