"""Promise: convert is three times as fast as a plain loop, and near what reading and writing alone take.

The volume is 100 x 1024 x 1024 voxels of EM, the sample tiled, from HDF5 with gzip chunks to OME-Zarr with
zstd chunks of 32 x 128 x 128. Each round times, one after another: slabs of whole chunks through h5py and
zarr; `convert_volume` on two threads; reading alone, every block decoded and dropped, and writing alone, from
memory, each on one thread (perfectly overlapped, both would take the time of the slower) and on two. Printed
are the medians of the ratios within a round, and the ratios of the fastest runs.

Run: python tests/benchmarks/convert_speed.py
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import h5py
import zarr
from hdf5_speed import CHUNKS, SHAPE, image, seconds
from promises import promise
from zarr.codecs import ZstdCodec

from mitotools.parameters import ConvertParameters
from mitotools.run.running import Running
from mitotools.stages.blocks.blockwise import map_blocks, write_volume
from mitotools.stages.blocks.pieces import read_pieces
from mitotools.stages.blocks.work import Work
from mitotools.stages.convert import convert_volume
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.path import VolumePath

THREADS = 2
ROUNDS = 7


def plain_loop(source: Path, target: Path) -> None:
    """Copy slabs of whole chunks."""
    with h5py.File(source) as file:
        voxels = file["main"]
        array = zarr.create_array(
            target,
            shape=SHAPE,
            dtype="uint8",
            chunks=CHUNKS,
            compressors=[ZstdCodec(level=1)],
            overwrite=True,
        )
        for z in range(0, SHAPE[0], CHUNKS[0]):
            array[z : z + CHUNKS[0]] = voxels[z : z + CHUNKS[0]]


def ours(source: Path, target: Path) -> None:
    """Convert as the command does."""
    running = Running(THREADS, force=True)
    convert_volume(
        VolumePath(str(source)), VolumePath(str(target)), ConvertParameters(chunks=CHUNKS), running
    )


def reading(source: Path, threads: int) -> None:
    """Decode every block."""
    with open_volume(VolumePath(str(source))) as volume:

        def read(box: Box, threads: int) -> tuple[int, ...]:
            return read_pieces(volume, box, threads).shape

        for _ in map_blocks([volume], read, "read", Running(threads), 2):
            pass


def writing(array: object, target: Path, threads: int) -> None:
    """Encode and store every block."""
    spec = VolumeSpec(array.shape, array.dtype, chunks=CHUNKS)
    work = Work(lambda box, _: array[box.slices], "write")
    write_volume(VolumePath(str(target)), spec, work, Running(threads, force=True))


def main() -> None:
    """Time all four in turn."""
    voxels = image()
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "raw.h5"), Path(folder, "raw.zarr")
        with h5py.File(source, "w") as file:
            file.create_dataset("main", data=voxels, chunks=CHUNKS, compression="gzip", compression_opts=4)
        for _ in range(ROUNDS + 1):
            loop = seconds(plain_loop, source, Path(folder, "plain.zarr"))
            convert = seconds(ours, source, target)
            alone = [
                seconds(work, *arguments, threads)
                for threads in (1, 2)
                for work, *arguments in ((reading, source), (writing, voxels, Path(folder, "w.zarr")))
            ]
            rounds.append((loop, convert, *alone))
            print(
                f"loop {loop:.2f} s, convert {convert:.2f} s, on one thread: read {alone[0]:.2f} s, "
                f"write {alone[1]:.2f} s, on two: read {alone[2]:.2f} s, write {alone[3]:.2f} s"
            )
    rounds = rounds[1:]
    least = [min(of_one) for of_one in zip(*rounds, strict=True)]
    for against, ratio, bound in (
        ("a loop over slabs with h5py and zarr", lambda loop, c, *_: loop / c, {"least": 3}),
        (
            "the slower of reading and writing, on one thread",
            lambda _, c, r, w, *__: c / max(r, w),
            {"most": 1.5},
        ),
    ):
        promise("convert", against, statistics.median(ratio(*of_round) for of_round in rounds), **bound)
        print(f"of the least disturbed runs {ratio(*least):.2f}")


if __name__ == "__main__":
    main()
