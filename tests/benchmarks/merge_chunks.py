"""Promise: 256 chunk files of (2, 125, 512, 512) become one zarr, the same for any threads, workers and kill.

The files are what PyTorch Connectomics leaves: gzip, one dataset `vol0`, the extent in the name. They are
merged four times: on all threads, on one, by two worker processes, and by a run that is killed (SIGKILL) at
half and continued by `--resume` with other blocks. Printed are the peak of resident memory of all of
a run, its time as a multiple of that of copying files and result once, and whether the results are equal,
byte by byte.

Run: python tests/benchmarks/merge_chunks.py [FOLDER [Z,Y,X]]      chunks of Z,Y,X; needs 45 GB in FOLDER
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
from commands import planned
from full_size import SAMPLE, copy_seconds, digest
from process_tree import measured

from mitotools.run.journal import entries

GRID = (4, 8, 8)
CHUNK = (125, 512, 512)
MEMORY = "2G"


def make(folder: Path, chunk: tuple[int, int, int]) -> None:
    """Write the files."""
    with h5py.File(SAMPLE) as file:
        crop = np.tile(file["raw"][:125, :128, :128], (1, 4, 4))[: chunk[0], : chunk[1], : chunk[2]]

    def write(index: tuple[int, ...]) -> None:
        number = int(np.ravel_multi_index(index, GRID))
        maps = np.stack([crop ^ np.uint8(number), np.roll(255 - crop, number, axis=2)])
        corner = np.multiply(index, chunk)
        extent = "-".join(str(n) for pair in zip(corner, corner + chunk, strict=True) for n in pair)
        with h5py.File(folder / f"rat_{extent}.h5", "w") as file:
            options = {
                "chunks": (1, min(32, chunk[0]), 128, 128),
                "compression": "gzip",
                "compression_opts": 1,
            }
            file.create_dataset("vol0", data=maps, **options)

    for index in np.ndindex(GRID):
        write(index)


def killed(arguments: list[object], target: Path) -> None:
    """Start a merge, and kill it when half of its blocks are done."""
    blocks = int(planned(*arguments)["blocks"])
    process = subprocess.Popen([sys.executable, "-m", "mitotools", *map(str, arguments), "-q"])
    journal = target.with_name(f"{target.name}.unfinished.journal")
    while len(entries(journal)) < blocks // 2 and process.poll() is None:
        time.sleep(0.05)
    process.kill()
    process.wait()
    print(f"killed after {len(entries(journal))} of {blocks} blocks", flush=True)


def main() -> None:
    """Make the files, merge them four times, compare."""
    parent = sys.argv[1] if len(sys.argv) > 1 else None
    z, y, x = (int(n) for n in sys.argv[2].split(",")) if len(sys.argv) > 2 else CHUNK
    with tempfile.TemporaryDirectory(dir=parent) as name:
        chunks, target = Path(name, "chunks"), Path(name, "maps.zarr")
        chunks.mkdir()
        make(chunks, (z, y, x))
        common = ["merge", chunks, target, "--memory", MEMORY]
        digests, copying = set(), copy_seconds(chunks)
        for options in (
            [],
            ["--threads", 1],
            ["--workers", 2],
            ["--resume", "--threads", 3, "--memory", "500M"],
        ):
            if "--resume" in options:
                killed(common, target)
            usage = measured([*common, *options, "-q"])
            if not digests:
                copying += copy_seconds(target)
            digests.add(digest(target))
            print(
                f"merge {' '.join(map(str, options))}: peak {usage.peak_bytes / 2**20:.0f} MiB, "
                f"{usage.seconds:.0f} s, {usage.seconds / copying:.1f} times copying ({copying:.0f} s)",
                flush=True,
            )
            shutil.rmtree(target)
        print("all results are equal" if len(digests) == 1 else "THE RESULTS DIFFER")


if __name__ == "__main__":
    main()
