"""Commands that write something, tried under bad conditions, and what they make without."""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import zarr
from command_runs import names_in, printed_by, started, succeeds
from map_phantoms import mask_contour_maps, phantom_truth
from safetensors.numpy import load_file
from stages.networks import write_model
from stages.tile_files import read

from mitotools.temporary import SETTLED_S
from mitotools.volume.formats.zarr_labels import listed_labels

PATIENCE_S = 600
RAW = np.random.default_rng(7).integers(0, 2**16, (64, 192, 192), dtype=np.uint16)


class Case(NamedTuple):
    """A command, what it writes, and whether into an image that is there."""

    words: list[str]
    targets: tuple[str, ...]
    resumes: bool = True
    image: bool = False


LABELS = "image.zarr/labels"
MODEL = ["-m", "../model.safetensors", "--backend", "torch"]
CASES = {
    "convert to zarr": Case(["convert", "../raw.zarr", "v.zarr", "--levels", "3"], ("v.zarr",)),
    "convert by workers": Case(["convert", "../raw.zarr", "v.zarr", "--workers", "2"], ("v.zarr",)),
    "convert to HDF5": Case(["convert", "../raw.zarr", "v.h5"], ("v.h5",)),
    "convert to HDF5 to be continued": Case(["convert", "../raw.zarr", "v.h5", "--resume"], ("v.h5",)),
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
    "filter into an image": Case(
        ["filter", "../truth.h5", f"{LABELS}/kept", "--min-size", "300"], (f"{LABELS}/kept",), image=True,
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
    """What a command makes, where, and the seconds that it takes."""

    place: Path
    contents: dict[str, object]
    seconds: float

    @property
    def names(self) -> list[str]:
        """What lies there: the targets, and their histories."""
        return names(self.place)


class Trials:
    """Commands that are tried in a folder.

    Parameters
    ----------
    folder : Path
        Gets the inputs, and a folder for each trial.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._undisturbed: dict[str, Undisturbed] = {}
        truth = phantom_truth(3)
        write(folder / "raw.zarr", RAW)
        write(folder / "maps.zarr", mask_contour_maps(truth))
        succeeds(folder, "convert", "raw.zarr", "image.zarr")
        write_h5(folder / "truth.h5", truth)
        write_h5(folder / "grey.h5", mask_contour_maps(truth)[0])
        write_model(folder / "model.safetensors", patch=(16, 32, 32), voxel_size_nm=(30.0, 8.0, 8.0))
        succeeds(folder, "tile", "raw.zarr", "tiles", "--size", "32,96,96", "--halo", "0,8,8")

    def undisturbed(self, name: str) -> Undisturbed:
        """Run a command to its end, once."""
        if name not in self._undisturbed:
            place = self.place(name)
            begun = time.monotonic()
            status, words = ended(started(place, *CASES[name].words))
            assert status == 0, words
            seconds = time.monotonic() - begun
            self._undisturbed[name] = Undisturbed(place, contents(place, CASES[name].targets), seconds)
        return self._undisturbed[name]

    def place(self, name: str) -> Path:
        """Return a new folder for one trial, whose inputs lie above it; what is changed lies in it."""
        place = Path(tempfile.mkdtemp(prefix=f"{name.replace(' ', '-')}-", dir=self._folder))
        if CASES[name].image:
            shutil.copytree(self._folder / "image.zarr", place / "image.zarr")
        return place

    def check(
        self, name: str, place: Path, words: str, *, was_killed: bool = False, replaces: bool = False
    ) -> None:
        """Raise AssertionError unless targets are absent or complete, and the rest gone, or of use.

        A file that was to take another's place may be without its history.
        """
        case = CASES[name]
        assert "Traceback" not in words, words
        found = contents(place, case.targets)
        for target, content in found.items():
            assert same(content, self.undisturbed(name).contents[target]), (
                f"{target} is there, and not complete"
            )
            history = f"{target}.history.json"
            is_with_it = history in names(place) or history not in self.undisturbed(name).names
            assert is_with_it or replaces, f"{target} is there without its history"
        if not was_killed:
            assert list((place / "temporary").iterdir()) == [], words
            litter = litter_in(place, case)
            assert not litter or re.search("--resume continues|may be deleted", words), (litter, words)

    def run_again(self, name: str, place: Path, *, replaces: bool = False) -> None:
        """Run a command once more, and raise AssertionError unless it makes what an undisturbed run does.

        With `replaces` what is there may be of a run before.
        """
        case = CASES[name]
        for folder in (place / "temporary").iterdir():  # a minute passes
            os.utime(folder, (time.time() - 2 * SETTLED_S,) * 2)
        option = "--resume" if case.resumes and not replaces else "--force"
        status, words = ended(started(place, *case.words, option))
        assert status == 0, (status, words)
        whole, found = self.undisturbed(name), contents(place, case.targets)
        assert found.keys() == whole.contents.keys(), words
        for target, content in found.items():
            assert same(content, whole.contents[target]), f"{target} is other than that of an undisturbed run"
        assert names(place) == whole.names, f"{names(place)} are left"
        if case.image:
            assert listed_labels(place / "image.zarr") == ["kept"]


def run(about: str, drawn: Callable[[random.Random], tuple[object, ...]], trial: Callable[..., str]) -> None:
    """Disturb commands as the command line asks, print a line each, and exit: with 1 if any was wrong.

    As many are tried at once as there are processors.

    Parameters
    ----------
    about : str
        What --help says.
    drawn : callable
        Returns how a command is disturbed.
    trial : callable
        Takes the trials, the name of a command and what was drawn; returns what was seen, in words.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--only", default="", help="part of the names of cases")
    chosen = parser.parse_args()
    draw = random.Random(chosen.seed)  # noqa: S311 (a test, no secret)
    commands = [name for name in CASES if chosen.only in name]
    cases = [(commands[number % len(commands)], drawn(draw)) for number in range(chosen.count)]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        trials = Trials(Path(folder))

        def tried(case: tuple[str, tuple[object, ...]]) -> bool:
            name, how = case
            try:
                seen, is_wrong = trial(trials, name, *how), False
            except AssertionError as error:
                seen, is_wrong = f"WRONG: {error}", True
            print("\t".join(map(str, (name, *how, seen))), flush=True)
            return is_wrong

        list(pool.map(trials.undisturbed, sorted({name for name, _ in cases})))
        wrong = sum(pool.map(tried, cases))
    print(f"{chosen.count} trials, seed {chosen.seed}: {wrong} wrong")
    sys.exit(bool(wrong))


def compiler() -> str | None:
    """Return the C compiler, if there is one, and a loader that takes what it makes."""
    return shutil.which("cc") if sys.platform == "linux" else None


def compiled(source: str, folder: Path) -> Path:
    """Compile a file beside this one to a library for LD_PRELOAD."""
    target = folder / f"{source}.so"
    words = ["-shared", "-fPIC", "-O1", "-o", str(target), str(Path(__file__).with_name(source)), "-ldl"]
    subprocess.run([compiler() or "cc", *words], check=True)
    return target


def names(place: Path) -> list[str]:
    """Return what lies in a folder, and in the labels of its image."""
    labels = place / LABELS
    return names_in(place) + [f"{LABELS}/{name}" for name in (names_in(labels) if labels.exists() else ())]


def litter_in(place: Path, case: Case) -> set[str]:
    """Return the names of what is neither a target, nor the history of one, nor the image around one."""
    image = {"image.zarr", f"{LABELS}/zarr.json"} if case.image else set()
    return {*names(place)} - image - {*case.targets, *(f"{target}.history.json" for target in case.targets)}


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return the status of a process, and its words on standard error."""
    _, errors = printed_by(process, PATIENCE_S)
    return process.returncode, errors


def write(path: Path, array: np.ndarray) -> None:
    chunks = (*array.shape[:-3], 16, 64, 64)
    zarr.create_array(path, data=array, chunks=chunks)


def write_h5(path: Path, array: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        data = file.create_dataset("main", data=array, chunks=(8, 32, 32), compression="gzip")
        data.attrs["voxel_size_nm"] = (30.0, 8.0, 8.0)


def contents(place: Path, targets: tuple[str, ...]) -> dict[str, object]:
    """Return what the targets that are there hold, without their histories: those tell time and command."""
    return {target: content(place / target) for target in targets if (place / target).exists()}


def content(path: Path) -> object:
    if path.suffix == ".safetensors":
        return load_file(path)
    if path.suffix in (".zarr", ".h5", ".tif", ".gz") or path.name in ("slices", "kept"):
        array, spec = read(path)
        return {"array": array, "spec": (spec.shape, str(spec.dtype), spec.voxel_size_nm)}
    if path.name == "tiles":
        files = sorted(path.glob("*.h5"))
        return {"plan": json.loads((path / "plan.json").read_text())["tiles"]} | {
            f.name: read(f)[0] for f in files
        }
    if path.is_dir():
        return {file.name: file.read_bytes() for file in sorted(path.iterdir())}
    return re.sub(rb'<p class="origin">.*\n', b"", path.read_bytes())  # the history of a report


def same(one: object, other: object) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    return one == other
