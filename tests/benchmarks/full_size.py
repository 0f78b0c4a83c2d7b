"""Promise: a volume as large as MitoEM's goes through seven commands in bounded memory and linear time.

They are convert, tile, merge, decode, filter, evaluate and stats: not train, predict, tune and view. The
volume is real EM, mirrored, tiled and changed from tile to tile. The maps are phantoms (mask and contour,
uint8), mirrored, tiled, and more or less sure from tile to tile, as dense as mitochondria are in MitoEM; the
truth is theirs, cut where tiles meet. The commands run one after the other, at growing sizes, on two threads.
Printed is a table in Markdown: of each command the time, also as a multiple of that of copying its inputs and
output (`cp`, before and after) and, a voxel, of that at the first size; the peak of resident memory of all
its processes; and what it writes. With --workers the pipeline runs again on a Dask cluster of so many
processes, and its outputs are compared with the first ones.

Run: python tests/benchmarks/full_size.py FOLDER [--size Z,Y,X ...] [--workers N] [--memory SIZE]

Needs 60 GB in FOLDER for the full size. full_size.sh makes README's table.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from evaluate_speed import printing_nothing
from process_tree import measured
from tiled import Tiled

from mitotools.run.running import Running
from mitotools.stages.blocks.blockwise import write_volume
from mitotools.stages.blocks.work import Work
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.path import VolumePath

sys.path.insert(0, str(Path(__file__).parents[1]))

from map_phantoms import mask_contour_maps, phantom_truth

SAMPLE = Path(__file__).parents[2] / "examples" / "data" / "medulla_train.h5"
FULL = (500, 4096, 4096)
WARM = (32, 256, 256)
"""Of a first round, after which all is compiled and kept."""

VOXEL_SIZE_NM = (30.0, 8.0, 8.0)
STRETCHED = (2, 3, 3)
"""Phantoms are made so many times as long: 68 instances of 30 000 voxels in a tile of 96 x 480 x 480."""

UNSURE = 12
"""The mask and contour of a tile are changed by at most so much, of 255."""


class Command(NamedTuple):
    """A line of the pipeline."""

    words: tuple[str, ...]
    inputs: tuple[str, ...]
    output: str


def command(*words: str) -> Command:
    """Return a command whose inputs are the first words that name files, and whose output is the last one."""
    files = [word for word in words if word.endswith((".h5", ".zarr", ".tsv")) or word == "tiles"]
    return Command(words, tuple(files[:-1]), files[-1])


PIPELINE = (
    command("convert", "raw.h5", "raw.zarr"),
    command("tile", "--size", "125,512,512", "raw.zarr", "tiles"),
    command("merge", "tiles", "merged.zarr"),
    command("decode", "maps.zarr", "labels.zarr"),
    command("filter", "--min-size", "2000", "labels.zarr", "filtered.zarr"),
    command("evaluate", "filtered.zarr", "truth.zarr", "--matches", "matches.tsv"),
    command("stats", "filtered.zarr", "-o", "stats.tsv"),
    command("stats", "--skeleton", "filtered.zarr", "-o", "skeletons.tsv"),
)


def make(folder: Path, size: tuple[int, int, int]) -> None:
    """Write the volume, the maps and the truth."""
    with h5py.File(SAMPLE) as file:
        grey = Tiled(file["raw"][:128, :128, :128][None])
    truth = phantom_truth(1)
    for axis, times in enumerate(STRETCHED):
        truth = truth.repeat(times, axis)
    maps, labels, most = Tiled(mask_contour_maps(truth)), Tiled(truth.astype(np.uint32)[None]), truth.max()

    def raw_block(box: Box, _: int) -> np.ndarray:
        voxels, tile = grey.read(box)
        return voxels[0] ^ (tile % 8).astype(np.uint8)

    def maps_block(box: Box, _: int) -> np.ndarray:
        voxels, tile = maps.read(box)
        change = (tile * 7919 % (2 * UNSURE + 1) - UNSURE).astype(np.int16)
        return np.where(voxels > 0, np.clip(voxels + change, 1, 255), 0).astype(np.uint8)

    def truth_block(box: Box, _: int) -> np.ndarray:
        (voxels,), tile = labels.read(box)
        return np.where(voxels > 0, voxels + tile.astype(np.uint32) * np.uint32(most), 0)

    for name, block, channels, dtype in (
        ("raw.h5", raw_block, (), np.uint8),
        ("maps.zarr", maps_block, (2,), np.uint8),
        ("truth.zarr", truth_block, (), np.uint32),
    ):
        spec = VolumeSpec(
            (*channels, *size),
            np.dtype(dtype),
            VOXEL_SIZE_NM,
            chunks=(32, 128, 128),
            is_labels=name == "truth.zarr",
        )
        target = VolumePath(str(folder / name))
        write_volume(target, spec, Work(block, "make"), Running(2, memory_bytes=2**32))


def copy_seconds(path: Path) -> float:
    """Return how long it takes to copy a file or folder."""
    copy = path.with_name(f"{path.name}.copy")
    start = time.perf_counter()
    shutil.copytree(path, copy) if path.is_dir() else shutil.copy(path, copy)
    taken = time.perf_counter() - start
    shutil.rmtree(copy) if path.is_dir() else copy.unlink()
    return taken


def digest(path: Path) -> str:
    """Return a checksum of all that a file or folder holds, but for histories, which tell the time."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    voxels = [file for file in files if file.name not in {"zarr.json", "plan.json"}]
    with ThreadPoolExecutor(2) as pool:
        sums = pool.map(_checksum, voxels)
        names = (str(file.relative_to(path)) for file in voxels)
        return _of("".join(f"{name} {one}\n" for name, one in zip(names, sums, strict=True)).encode())


def _checksum(file: Path) -> str:
    if file.suffix != ".h5":
        return _of(file.read_bytes())
    with h5py.File(file) as content:
        return _of(content["main"][:].tobytes())


def _of(content: bytes) -> str:
    return hashlib.blake2b(content).hexdigest()


def used_bytes(path: Path) -> int:
    """Return what a file or folder takes on the disk."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def run(folder: Path, size: tuple[int, int, int], options: list[str], first: dict[str, float]) -> list[str]:
    """Run the pipeline, print a row of each command, and return checksums of what they write."""
    sums = []
    voxels = float(np.prod(size))
    for line in PIPELINE:
        words = [str(folder / word) if word in (*line.inputs, line.output) else word for word in line.words]
        copying = sum(copy_seconds(folder / name) for name in line.inputs)
        with printing_nothing():
            usage = measured([*words, *options, "--no-progress", "-q", "-f"])
        target = folder / line.output
        copying += copy_seconds(target)
        title = " ".join([line.words[0], *(word for word in line.words if word == "--skeleton")])
        each = usage.seconds / voxels
        cells = [
            " x ".join(map(str, size)),
            title,
            f"{usage.seconds:.0f}",
            f"{usage.seconds / copying:.1f}",
            f"{each / first.setdefault(title, each):.2f}",
            f"{usage.peak_bytes / 2**20:.0f}",
            f"{used_bytes(target) / 1e9:.2f}",
            f"{used_bytes(target) / voxels:.2f}",
        ]
        print("|", " | ".join(cells), "|", flush=True)
        sums.append(digest(target))
    return sums


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", action="append", help="Z,Y,X; the full one by default")
    parser.add_argument("--workers", help="once more on so many processes")
    parser.add_argument("--memory", default="4G")
    chosen = parser.parse_args()
    print(
        "| voxels | command | s | times copying | times the first | peak MiB | GB written | bytes a voxel |"
    )
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    first: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name, printing_nothing():
        make(Path(name), WARM)
        run(Path(name), WARM, ["--memory", chosen.memory], {})
    for size in chosen.size or [",".join(map(str, FULL))]:
        z, y, x = (int(n) for n in size.split(","))
        options = ["--memory", chosen.memory, "--threads", "2"]
        with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
            folder = Path(name)
            make(folder, (z, y, x))
            sums = run(folder, (z, y, x), options, first)
            count = sum(1 for _ in (folder / "stats.tsv").open()) - 1
            print(f"{size}: {count} instances")
            if sums[0] != sums[2]:
                sys.exit("WHAT WAS CUT INTO TILES IS NOT WHAT WAS MERGED")
            if chosen.workers:
                again = run(folder, (z, y, x), [*options, "--workers", chosen.workers], first)
                differ = [line.output for line, a, b in zip(PIPELINE, sums, again, strict=True) if a != b]
                print(
                    f"{size}, {chosen.workers} processes: " + (f"DIFFER: {differ}" if differ else "the same")
                )


if __name__ == "__main__":
    main()
