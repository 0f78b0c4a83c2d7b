"""Kill commands at random moments, and look at what is left: nothing, or all of it, and never half.

Run: python tests/faults/kills.py [--seed N] [--kills N]      (PYTHONPATH: the project's folder and tests/)

After each kill the target is absent or complete, and an interrupted run (not a killed one) has removed its
temporaries. Then the command is run again, with --resume where it has it, and must make what an undisturbed
run made.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import zarr
from command_runs import PATIENCE_S, names_in, started, succeeds
from map_phantoms import mask_contour_maps, phantom_truth
from safetensors.numpy import load_file
from stages.networks import write_model
from stages.tile_files import read

from mitotools.temporary import SETTLED_S

SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
EARLIEST_S = 0.3
"""Python itself starts, and answers a signal its own way."""

RAW = np.random.default_rng(7).integers(0, 2**16, (64, 192, 192), dtype=np.uint16)


class Case(NamedTuple):
    """A command, and what it writes."""

    words: list[str]
    targets: tuple[str, ...]
    resumes: bool = True


MODEL = ["-m", "../model.safetensors", "--backend", "torch"]
CASES = {
    "convert to zarr": Case(["convert", "../raw.zarr", "v.zarr", "--levels", "3"], ("v.zarr",)),
    "convert by workers": Case(["convert", "../raw.zarr", "v.zarr", "--workers", "2"], ("v.zarr",)),
    "convert to HDF5": Case(["convert", "../raw.zarr", "v.h5"], ("v.h5",)),
    "convert to TIFF": Case(["convert", "../raw.zarr", "v.tif"], ("v.tif",)),
    "convert to slices": Case(["convert", "../raw.zarr", "slices"], ("slices",)),
    "convert to NIfTI": Case(["convert", "../raw.zarr", "v.nii.gz", "--voxel-size", "30,8,8"], ("v.nii.gz",)),
    "tile": Case(["tile", "../raw.zarr", "tiles", "--size", "16,64,64"], ("tiles",)),
    "train": Case(
        ["train", "../grey.h5", "../truth.h5", "model.safetensors", "--iterations", "4", "--patch", "8,32,32",
         "--set", "filters=4,8", "--batch", "2", "--set", "norm=group", "--device", "cpu"],
        ("model.safetensors",),
    ),
    "predict": Case(["predict", "../grey.h5", "maps.zarr", *MODEL], ("maps.zarr",)),
    "predict to HDF5": Case(["predict", "../grey.h5", "maps.h5", *MODEL], ("maps.h5",)),
    "merge": Case(["merge", "../tiles", "v.zarr"], ("v.zarr",)),
    "decode": Case(
        ["decode", "../maps.zarr", "labels.zarr", "--scores", "scores.tsv"], ("labels.zarr", "scores.tsv"),
    ),
    "decode to HDF5": Case(["decode", "../maps.zarr", "labels.h5", "--method", "cc"], ("labels.h5",)),
    "tune": Case(
        ["tune", "../maps.zarr", "../truth.h5", "--grid", "seed-foreground=.7,.8,.9", "-o", "best.toml"],
        ("best.toml",), resumes=False,
    ),
    "filter": Case(
        ["filter", "../truth.h5", "kept.zarr", "--min-size", "300", "--erode", "1"], ("kept.zarr",),
    ),
    "evaluate": Case(
        ["evaluate", "../truth.h5", "../truth.h5", "--matches", "matches.tsv", "--report", "report.html"],
        ("matches.tsv", "report.html"), resumes=False,
    ),
    "stats": Case(
        ["stats", "../truth.h5", "--skeleton", "-o", "stats.tsv", "--mesh", "meshes"],
        ("stats.tsv", "meshes"), resumes=False,
    ),
    "view a picture": Case(["view", "../grey.h5", "../truth.h5", "-o", "v.png"], ("v.png",), resumes=False),
    "view a page": Case(["view", "../grey.h5", "../truth.h5", "-o", "v.html"], ("v.html",), resumes=False),
}  # fmt: skip


@dataclass
class Undisturbed:
    """What a command makes, and the seconds that it takes."""

    contents: dict[str, object]
    seconds: float


class Kills:
    """Commands of a folder that are killed.

    Parameters
    ----------
    folder : Path
        Gets the inputs, and a folder for each kill.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._undisturbed: dict[str, Undisturbed] = {}
        truth = phantom_truth(3)
        write(folder / "raw.zarr", RAW)
        write(folder / "maps.zarr", mask_contour_maps(truth))
        write_h5(folder / "truth.h5", truth)
        write_h5(folder / "grey.h5", mask_contour_maps(truth)[0])
        write_model(folder / "model.safetensors", patch=(16, 32, 32))
        succeeds(folder, "tile", "raw.zarr", "tiles", "--size", "32,96,96", "--halo", "0,8,8")

    def undisturbed(self, name: str) -> Undisturbed:
        """Run a command to its end, once."""
        if name not in self._undisturbed:
            place = self._place(f"undisturbed {name}")
            begun = time.monotonic()
            status, words = ended(started(place, *CASES[name].words))
            assert status == 0, words
            seconds = time.monotonic() - begun
            self._undisturbed[name] = Undisturbed(contents(place, CASES[name].targets), seconds)
        return self._undisturbed[name]

    def kill(self, name: str, number: signal.Signals, part: float) -> str:
        """Kill a command after a part of its time, and run it again; return what was seen, in words."""
        case, whole = CASES[name], self.undisturbed(name)
        place = self._place(f"{name} {number.name} {part}")
        process = started(place, *case.words)
        time.sleep(EARLIEST_S + part * max(whole.seconds - EARLIEST_S, 0))
        os.kill(process.pid, number)
        status, words = ended(process)
        assert "Traceback" not in words, words
        if number is signal.SIGKILL:
            assert status in (0, -number), (status, words)
        else:
            assert status in (0, 130), (status, words)
            assert list((place / "temporary").iterdir()) == [], words
        found = contents(place, case.targets)
        for target, content in found.items():
            assert same(content, whole.contents[target]), f"{target} is there, and not complete"
        left = names_in(place)
        unexpected = set(left) - {*case.targets, *beside(case.targets)}
        assert number is signal.SIGKILL or not unexpected or "--resume continues" in words, (
            unexpected,
            words,
        )
        again = self._run_again(place, case, is_complete=len(found) == len(case.targets))
        after = contents(place, case.targets)
        assert after.keys() == whole.contents.keys(), again
        for target, content in after.items():
            assert same(content, whole.contents[target]), f"{target} is other than without the kill"
        litter = set(names_in(place)) - {*case.targets, *beside(case.targets)}
        assert not litter, f"{litter} are left"
        return f"status {status}; left: {', '.join(left) or 'nothing'}"

    def _run_again(self, place: Path, case: Case, *, is_complete: bool) -> str:
        for folder in (place / "temporary").iterdir():  # a minute passes
            os.utime(folder, (time.time() - 2 * SETTLED_S,) * 2)
        if is_complete and not case.resumes:
            return ""
        status, words = ended(started(place, *case.words, "--resume" if case.resumes else "--force"))
        assert status == 0, (status, words)
        return words

    def _place(self, name: str) -> Path:
        place = self.folder / name.replace(" ", "-")
        place.mkdir()
        return place


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return the status of a process, and its words on standard error."""
    _, errors = process.communicate(timeout=PATIENCE_S)
    return process.returncode, errors


def write(path: Path, array: np.ndarray) -> None:
    chunks = (*array.shape[:-3], 16, 64, 64)
    zarr.create_array(path, data=array, chunks=chunks)


def write_h5(path: Path, array: np.ndarray) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        data = file.create_dataset("main", data=array, chunks=(8, 32, 32), compression="gzip")
        data.attrs["voxel_size_nm"] = (30.0, 8.0, 8.0)


def beside(targets: tuple[str, ...]) -> set[str]:
    """Return the names of files that stand beside targets which cannot hold their history."""
    return {f"{target}.history.json" for target in targets}


def contents(place: Path, targets: tuple[str, ...]) -> dict[str, object]:
    """Return what the targets that are there hold, without their histories: those tell the time."""
    return {target: content(place / target) for target in targets if (place / target).exists()}


def content(path: Path) -> object:
    if path.suffix == ".safetensors":
        return load_file(path)
    if path.suffix in (".zarr", ".h5", ".tif", ".gz") or path.name == "slices":
        array, spec = read(path)
        return {"array": array, "spec": (spec.shape, str(spec.dtype), spec.voxel_size_nm)}
    if path.name == "tiles":
        files = sorted(path.glob("*.h5"))
        return {"plan": json.loads((path / "plan.json").read_text())["tiles"]} | {
            f.name: read(f)[0] for f in files
        }
    if path.is_dir():
        return {file.name: file.read_bytes() for file in sorted(path.iterdir())}
    return path.read_bytes()


def same(one: object, other: object) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    return one == other


def drawn(draw: random.Random) -> tuple[signal.Signals, float]:
    """Return a signal, and the part of a command's time at which it is sent."""
    return draw.choice(SIGNALS), round(draw.uniform(0, 1.05), 4)


def run(kills: Kills, seed: int, count: int, only: str = "") -> int:
    """Kill at random, print a line each, and return how often something was wrong."""
    draw = random.Random(seed)  # noqa: S311 (a test, no secret)
    names = [name for name in CASES if only in name]
    wrong = 0
    for number in range(count):
        name = names[number % len(names)]
        how, part = drawn(draw)
        try:
            seen = kills.kill(name, how, part)
        except AssertionError as error:
            wrong += 1
            seen = f"WRONG: {error}"
        print(f"{number + 1}\t{name}\t{how.name}\t{part}\t{seen}", flush=True)
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--only", default="", help="part of the names of cases")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        wrong = run(Kills(Path(name)), chosen.seed, chosen.kills, chosen.only)
    print(f"{chosen.kills} kills, seed {chosen.seed}: {wrong} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
