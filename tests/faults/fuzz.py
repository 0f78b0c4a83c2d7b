"""Damage files of every kind at random, and give them to the commands: an answer, or one line of error.

Run: python tests/faults/fuzz.py [--seed N] [--first N] [--count N] [--only READER] [--keep FOLDER]
(PYTHONPATH: the project's folder and tests/)

Each input is read by commands in a process that has little memory to take and little time. Wrong are: an
exception that is not reported as one line, an exit status that is none of ours, a hang, more memory than
--memory, and the death of the process. What was wrong is kept in FOLDER, to become a part of tests/corpus.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import mrcfile
import nibabel
import numpy as np
import tifffile
import zarr
from map_phantoms import mask_contour_maps
from phantom import phantom
from stages.networks import write_model

from mitotools.cli.main import run

SECONDS = 20
"""A reader that takes longer hangs; most take a hundredth of a second."""

MORE_BYTES = 3 * 2**30
"""Of address space, beside what the process has when it begins."""

MEMORY = ["--memory", "2G", "-t", "1"]
RAW, LABELS = phantom((12, 32, 40), 1)


class Reader(NamedTuple):
    """A kind of file.

    Parameters
    ----------
    make : callable
        Writes it, and what belongs to it, into the working folder.
    damaged : str
        A pattern of the files that are damaged, one at a time.
    lines : list of str
        The command lines that read it.
    share : float
        Its share of the inputs, where a reader reads several kinds of files.
    """

    make: Callable[[], object]
    damaged: str
    lines: list[str]
    share: float = 1.0

    def numbers(self, first: int, count: int) -> range:
        """Return the numbers of its inputs, of those of a reader."""
        return range(int(first * self.share), int((first + count) * self.share))


def save_hdf5(raw: np.ndarray = RAW) -> None:
    with h5py.File("v.h5", "w") as file:
        data = file.create_dataset("main", data=raw, chunks=(4, 16, 40), compression="gzip")
        data.attrs["voxel_size_nm"] = (30.0, 8.0, 8.0)
        data.attrs["mitotools"] = '[{"command_line": "x", "parameters": {}, "inputs": []}]'


def save_precomputed() -> None:
    Path("v.h5").unlink(missing_ok=True)
    save_hdf5()
    assert run(["convert", "v.h5", "v.precomputed", "-q"]) == 0


def save_mrc() -> None:
    with mrcfile.new("v.mrc", overwrite=True) as file:
        file.set_data(RAW.astype(np.int16))


def save_tiles() -> None:
    save_model([4])
    assert run(["tile", "v.h5", "plan.json", "--size", "12,32,20", "-q"]) == 0


def save_labels() -> None:
    with h5py.File("labels.h5", "w") as file:
        file.create_dataset("main", data=LABELS)
        file["main"].attrs["voxel_size_nm"] = (30.0, 8.0, 8.0)


def save_scores() -> None:
    save_labels()
    ids = np.unique(LABELS)[1:]
    Path("s.tsv").write_text("id\tscore\n" + "".join(f"{number}\t.{number}\n" for number in ids))


def save_edits() -> None:
    save_labels()
    Path("edits.txt").write_text("merge 1 2\ndelete 3\nsplit 4 5\n")


def save_model(filters: list[int]) -> None:
    save_hdf5()
    write_model(Path("m.safetensors"), patch=(8, 32, 32), voxel_size_nm=(30.0, 8.0, 8.0), filters=filters)


def save_overlap() -> None:
    save_labels()
    assert run(["evaluate", "labels.h5", "labels.h5", "--save-overlap", "o.overlap", "-q"]) == 0


def save_report() -> None:
    save_labels()
    report = io.StringIO()
    with contextlib.redirect_stdout(report):
        assert run(["evaluate", "labels.h5", "labels.h5", "--format", "json", "-q"]) == 0
    Path("r.json").write_text(report.getvalue())


def save_options() -> None:
    with h5py.File("maps.h5", "w") as file:
        file["main"] = mask_contour_maps(LABELS)
    Path("o.toml").write_text(
        '[decode]\nmethod = "mw"\nforeground = 0.75\nseed-contour = 0.3\nmin-size = 100\n'
    )


def save_slices() -> None:
    save_hdf5(RAW[:4])
    assert run(["convert", "v.h5", "slices", "-q"]) == 0
    Path("slices").rename("v.slices")  # which is no name of a model: those take long to look up


def save_zarr(version: int) -> Callable[[], None]:
    def save() -> None:
        save_hdf5()
        options = ["--zarr-format", str(version), "--levels", "2", "--chunks", "6,32,20"]
        assert run(["convert", "v.h5", "v.zarr", "-q", *options]) == 0

    return save


def save_plain_zarr() -> None:
    zarr.create_array("v.zarr", data=RAW, chunks=(6, 16, 20), shards=(12, 32, 20))


def save_nifti(name: str) -> Callable[[], None]:
    def save() -> None:
        nibabel.save(nibabel.Nifti1Image(RAW.T, np.diag([8, 8, 30, 1])), name)

    return save


def save_tiff(**properties: object) -> Callable[[], None]:
    return lambda: tifffile.imwrite("v.tif", RAW, **properties)


def reads(name: str) -> list[str]:
    return [f"info {name} --history", f"convert {name} out.npy"]


READERS = {
    "HDF5": Reader(save_hdf5, "v.h5", reads("v.h5")),
    "zarr 3": Reader(save_zarr(3), "v.zarr/**/*", reads("v.zarr"), 1 / 4),
    "zarr 2": Reader(save_zarr(2), "v.zarr/**/*", reads("v.zarr"), 1 / 4),
    "zarr metadata": Reader(save_zarr(3), "v.zarr/**/zarr.json", reads("v.zarr"), 1 / 4),
    "sharded zarr": Reader(save_plain_zarr, "v.zarr/**/*", reads("v.zarr"), 1 / 4),
    "OME-TIFF": Reader(save_tiff(ome=True, compression="zlib"), "v.tif", reads("v.tif"), 1 / 2),
    "ImageJ": Reader(save_tiff(imagej=True), "v.tif", reads("v.tif"), 1 / 2),
    "slices": Reader(save_slices, "v.slices/*", reads("v.slices")),
    "NIfTI": Reader(save_nifti("v.nii"), "v.nii", reads("v.nii"), 1 / 2),
    "gzipped NIfTI": Reader(save_nifti("v.nii.gz"), "v.nii.gz", reads("v.nii.gz"), 1 / 2),
    "MRC": Reader(save_mrc, "v.mrc", reads("v.mrc")),
    "NumPy": Reader(lambda: np.save("v.npy", RAW), "v.npy", reads("v.npy")),
    "precomputed": Reader(save_precomputed, "v.precomputed/**/*", reads("v.precomputed")),
    "plan": Reader(
        save_tiles, "plan.json",
        ["info plan.json", "predict plan.json tiles -m m.safetensors --backend torch"],
    ),
    "scores": Reader(
        save_scores, "s.tsv",
        ["evaluate labels.h5 labels.h5 --scores s.tsv", "filter labels.h5 out.npy --keep-ids s.tsv"],
    ),
    "edits": Reader(save_edits, "edits.txt", ["filter labels.h5 out.npy --edits edits.txt"]),
    "model": Reader(
        partial(save_model, [4, 8]), "m.safetensors",
        ["info m.safetensors", "predict v.h5 out.npy -m m.safetensors --backend torch"],
    ),
    "overlap": Reader(save_overlap, "o.overlap", ["evaluate o.overlap"]),
    "report": Reader(save_report, "r.json", ["evaluate --combine r.json r.json"]),
    "options": Reader(save_options, "o.toml", ["decode maps.h5 out.npy --config o.toml"]),
}  # fmt: skip


class Hangs(BaseException):
    """A command took too long."""


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Give the process little more address space than it has, and little time."""

    def hangs(number: int, frame: object) -> None:
        raise Hangs

    size = int(re.search(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (size + MORE_BYTES, resource.RLIM_INFINITY))
    signal.signal(signal.SIGALRM, hangs)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def mutated(content: bytes, draw: random.Random) -> bytes:
    """Return some bytes changed, cut out, repeated, or numbers and words of a text replaced."""
    damaged = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        kind = draw.randrange(6)
        start = draw.randrange(len(damaged) + 1)
        if draw.random() < 0.5:
            start = min(start, draw.randrange(1024))  # most of what is believed stands at the beginning
        length = draw.choice((1, 1, 2, 4, 8, 64))
        piece = bytes(damaged[start : start + length])
        if kind == 0:
            piece = draw.randbytes(len(piece))
        elif kind == 1:
            piece = draw.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * len(piece)
        elif kind == 2:
            piece = bytes(byte ^ (1 << draw.randrange(8)) for byte in piece)
        elif kind == 3:
            piece = b""
        elif kind == 4:
            piece *= draw.choice((2, 3, 1000))
        else:
            del damaged[start:]
            piece = b"" if draw.random() < 0.3 else piece
        damaged[start : start + length] = piece
    return bytes(damaged)


WORDS = [
    b"0", b"-1", b"1e400", b"NaN", b"1e15", b"99999999999999999999", b"2147483648", b"0.5", b'"x"', b"null",
    b"[]", b"{}", b"[1,2,3]", b'""', b'"../../../etc/passwd"', b'"/etc"', b"true", b"1, 1", b"\xe2\x80\xae",
    b"\t", b"\n",
]  # fmt: skip


def reworded(content: bytes, draw: random.Random) -> bytes:
    """Return a text in which numbers, words or values are others."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        found = list(re.finditer(rb'"[^"]*"|-?[0-9.]+|[a-z]+|[\[{][^\[{]*?[\]}]', content))
        if not found:
            return content
        place = draw.choice(found)
        new = draw.choice(WORDS) if draw.random() < 0.7 else draw.choice(found)[0]
        content = content[: place.start()] + new + content[place.end() :]
    return content


def damage(content: bytes, draw: random.Random) -> bytes:
    """Return a damaged file."""
    is_text = b"\0" not in content[:64]
    return (reworded if is_text and draw.random() < 0.7 else mutated)(content, draw)


def fault_of(line: str, *, is_damaged: bool = True) -> str:
    """Run a command line; return what is wrong with how it ended, or nothing."""
    printed, errors = io.StringIO(), io.StringIO()
    try:
        with limited(), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
            status = run([*line.split(), *MEMORY])
    except Hangs:
        return f"{line}: hangs"
    except BaseException:
        return f"{line}: {traceback.format_exc()}"
    if status not in (0, 1, 2):
        return f"{line}: status {status}"
    words = errors.getvalue()
    if status and not is_damaged:
        return f"{line}: {words}"
    if "this machine's memory" in words:
        return f"{line}: {words}"
    if status and "mitotools " not in words:
        return f"{line}: status {status} without a word: {words}"
    return ""


def clean(made: set[Path]) -> None:
    """Remove what commands wrote."""
    for path in set(Path().iterdir()) - made:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def files_of(reader: Reader) -> list[Path]:
    """Return the files that are damaged, one at a time."""
    return sorted(path for path in Path().glob(reader.damaged) if path.is_file())


def work(name: str, seed: int, numbers: range, keep: Path | None = None) -> list[str]:
    """Try inputs by their numbers, in the working folder; say and return what is wrong."""
    reader = READERS[name]
    with contextlib.redirect_stdout(io.StringIO()):
        reader.make()
    made = set(Path().iterdir())
    for line in reader.lines:
        assert not (fault := fault_of(line, is_damaged=False)), fault
    clean(made)
    files = files_of(reader)
    wrong: list[str] = []
    for number in numbers:
        draw = random.Random(f"{seed} {name} {number}")  # noqa: S311 (a test, no secret)
        file = draw.choice(files)
        content = file.read_bytes()
        damaged = damage(content, draw)
        file.write_bytes(damaged)
        print(f"{number}\t{file}", flush=True)
        for line in reader.lines:
            if fault := fault_of(line):
                keep_input(keep, name, number, file)
                print(f"{number}\t{file}\t{fault!r}", flush=True)
                wrong.append(f"{number}: {fault}")
        clean(made)
        file.write_bytes(content)
    return wrong


def tried(name: str, seed: int, numbers: range, keep: Path | None) -> int:
    """Try inputs in other processes, and return how many were wrong."""
    wrong = 0
    while numbers:
        words = ["--worker", "--only", name, "--seed", str(seed)]
        words += ["--first", str(numbers.start), "--count", str(len(numbers))]
        if keep:
            words += ["--keep", str(keep.absolute())]
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-W", "ignore", __file__, *words]
            process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
            for said in process.stdout:
                number, file, *fault = said.rstrip("\n").split("\t")
                numbers = range(int(number) + 1, numbers.stop)
                if fault:
                    wrong += 1
                    print(f"{name}\t{number}\t{file}\t{fault[0]}", flush=True)
            status = process.wait()
            if status < 0:
                wrong += 1
                print(
                    f"{name}\t{number}\t{file}\tthe process died: {signal.Signals(-status).name}", flush=True
                )
                keep_input(keep, name, int(number), Path(folder, file))
            elif status:
                raise RuntimeError(f"{name}: the fuzzer itself fails")
    return wrong


def keep_input(keep: Path | None, name: str, number: int, file: Path) -> None:
    """Copy a file that something went wrong with."""
    if keep:
        target = keep / name.replace(" ", "-")
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target / f"{number}-{file.name}")


def main() -> None:
    """Try what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1000, help="inputs a reader")
    parser.add_argument("--only", default="", help="part of the names of readers")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help="to continue an earlier run")
    chosen = parser.parse_args()
    if chosen.worker:
        work(chosen.only, chosen.seed, range(chosen.first, chosen.first + chosen.count), chosen.keep)
        return
    names = [name for name in READERS if chosen.only in name]

    def wrong_of(name: str) -> int:
        numbers = READERS[name].numbers(chosen.first, chosen.count)
        return tried(name, chosen.seed, numbers, chosen.keep)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        wrong = sum(pool.map(wrong_of, names))
    readers = sum(READERS[name].share for name in names)
    print(f"{chosen.count} inputs of each of {readers:g} readers, seed {chosen.seed}: {wrong} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
