"""Promise: with a budget that a laptop has, training finds the instances of a part that it has not seen.

Each row trains a network for the same time, predicts the test part (without mirror images), decodes with the
options of the validation, and evaluates. The commands are printed, and what is there already is used again,
so that a run which is killed goes on. The table has AP-75 with its 95 % interval over samples of instances,
the foreground's Jaccard index, and the numbers of instances.

Run: python tests/benchmarks/learning_quality.py FILE.h5 FOLDER [MINUTES [ROW ...]]

FILE.h5 has `raw` and `labels`, 165 x 768 x 1024 voxels of 5 nm (the train volume of Lucchi++, say): x 0 to
591 is trained on, 592 to 671 validated on, 736 to 1023 tested on, without instances that reach from there
into what was learnt from.
"""

from __future__ import annotations

import json
import math
import shlex
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from commands import printed

TRAIN, VALIDATE, TEST = ("[:,:,0:592]", "[:,:,592:672]", "[:,:,736:1024]")

FAST = ("--preset", "fast")
PUBLISHED = (*FAST, "--recipe", "2021")
SGD = ("--set", "optimizer=sgd", "--set", "learning_rate=0.04")
FULL_SIZE = ("--batch", "4", "--patch", "32,96,96", "--set", "warmup_iterations=100")
ROWS = {
    "fast": FAST,
    "fast, recipe 2021": PUBLISHED,
    "fast, recipe 2020": (*FAST, "--recipe", "2020"),
    "fast, recipe 2021, SGD": (*PUBLISHED, *SGD),
    "fast, recipe 2021, mask alone": (*PUBLISHED, "--set", "targets=mask"),
    "fast, recipe 2021, affinities": (*PUBLISHED, "--set", "targets=affinity"),
    "U3D-B": ("--preset", "u3d-b", *FULL_SIZE),
    "U3D-A": ("--preset", "u3d-a", *FULL_SIZE),
    "U3D-BC": ("--preset", "u3d-bc", *FULL_SIZE),
}
"""Options of each. The papers' presets have smaller patches and batches here, or there would be few steps."""


def mitotools(folder: Path, output: str, *words: str) -> str:
    """Run a command in a folder unless its output is there, and return what it prints."""
    if output and (folder / output).exists():
        return ""
    print("$ mitotools", shlex.join(words), file=sys.stderr, flush=True)
    return printed(*words, folder=folder)


def seen(data: Path) -> list[int]:
    """Return the ids of the test part that the other parts have too."""
    with h5py.File(data) as file:
        labels = file["labels"]
        learnt, tested = np.unique(labels[:, :, :672]), np.unique(labels[:, :, 736:])
    return [int(number) for number in np.intersect1d(learnt, tested) if number > 0]


def scored(data: Path, folder: Path, minutes: str, options: tuple[str, ...]) -> dict[str, Any]:
    """Train, and return the report of the test part."""
    folder.mkdir(parents=True, exist_ok=True)
    train, validate = ([f"{data}:{name}{crop}" for name in ("raw", "labels")] for crop in (TRAIN, VALIDATE))
    mitotools(
        folder, "model.safetensors", "train", *train, "model.safetensors", *options, "--minutes", minutes,
        "--validate", *validate, "--set", "validations=5", "--log", "log", "--plot", "curves.png", "--resume",
    )  # fmt: skip
    mitotools(folder, "maps.zarr", "predict", f"{data}:raw{TEST}", "maps.zarr", "-m", "model.safetensors")
    (folder / "seen.txt").write_text("".join(f"{number}\n" for number in seen(data)))
    truth = ("filter", f"{data}:labels{TEST}", "truth.zarr", "--drop-ids", "seen.txt")
    mitotools(folder, "truth.zarr", *truth)
    mitotools(folder, "labels.zarr", "decode", "maps.zarr", "labels.zarr")
    report = mitotools(
        folder, "",
        "evaluate", "labels.zarr", "truth.zarr", "--iou", ".75", "--bootstrap", "1000", "--format", "json",
    )  # fmt: skip
    (folder / "report.json").write_text(report)
    found: dict[str, Any] = json.loads(report)
    return found


def main() -> None:
    """Print the table, a row when it is known."""
    data, folder = Path(sys.argv[1]).absolute(), Path(sys.argv[2])
    minutes = sys.argv[3] if len(sys.argv) > 3 else "25"
    print(f"| {minutes} minutes | AP-75 | 95 % | Jaccard | instances | truth |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for name in sys.argv[4:] or ROWS:
        place = folder / name.replace(",", "").replace(" ", "-").lower()
        report = scored(data, place, minutes, ROWS[name])
        low, high = report["bootstrap"]["ap"]["0.75"]["all"] or (math.nan, math.nan)
        print(
            f"| {name} | {report['ap']['0.75']['all']:.3f} | {low:.3f} to {high:.3f} | "
            f"{report['foreground']['jaccard']:.3f} | {report['prediction']['instances']} | "
            f"{report['truth']['instances']} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
