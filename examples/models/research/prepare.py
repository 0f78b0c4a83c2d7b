"""Make what the research model is trained on of several tissues: sections of 30 nm, pixels of 8 nm.

Run: python examples/models/research/prepare.py DATA FOLDER

DATA holds the four collections (see README.md). Of volumes milled by an ion beam, whose voxels are as long in
z as in the plane, slices are picked along each of the three axes, as a microtome would cut them: means of
slices would be sharper in the plane than along z, as no section is. They are picked twice, half a section
apart. FOLDER gets NAME_raw.h5, NAME_labels.h5 and, where voxels are left out, NAME_ignore.h5.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from mitotools.cli.main import run

SECTION_NM, PIXEL_NM = 30.0, 8.0
PHASES = 2


@dataclass(frozen=True)
class Part:
    """The train part of a volume."""

    file: str
    crop: tuple[slice, slice, slice]
    labels: str = "labels"
    ignore: str = ""


ALL = slice(None)
PARTS = {
    "lucchi": Part("lucchi/lucchi_train.h5", (ALL, ALL, slice(0, 672))),
    "medulla": Part("medulla/medulla_1.h5", (ALL, ALL, ALL), ignore="ambiguous"),
    "cortex": Part("cortex/cortex_z010-029.h5", (slice(0, 15), ALL, ALL), labels="labels_linked"),
    "larva": Part("larva/larva_stack1.h5", (slice(0, 14), ALL, ALL), labels="labels_linked"),
}


def convert(array: np.ndarray, size_nm: tuple[float, ...], target: Path, *options: str) -> None:
    """Write an array with pixels of `PIXEL_NM` in the plane."""
    with h5py.File(source := target.with_suffix(".tmp.h5"), "w") as file:
        file["main"] = array
        file["main"].attrs["voxel_size_nm"] = size_nm
    scale = ",".join(str(one) for one in (1, size_nm[1] / PIXEL_NM, size_nm[2] / PIXEL_NM))
    if failed := run(["convert", str(source), str(target), "--scale", scale, "--force", *options]):
        sys.exit(failed)
    source.unlink()


def prepare(name: str, part: Part, data: Path, folder: Path) -> None:
    """Write the sections of a volume."""
    with h5py.File(data / part.file) as file:
        size_nm = tuple(float(one) for one in file["raw"].attrs["voxel_size_nm"])
        wanted = {"raw": "raw", "labels": part.labels, "ignore": part.ignore}
        arrays = {kind: file[dataset][part.crop] for kind, dataset in wanted.items() if dataset}
    step = round(SECTION_NM / size_nm[0]) or 1
    cuts = [(axis, phase * step // PHASES) for axis in range(3) for phase in range(PHASES)]
    for axis, first in cuts if step > 1 else [(0, 0)]:
        for kind, array in arrays.items():
            sections = np.moveaxis(array, axis, 0)[first::step]
            target = folder / f"{name}_{'zyx'[axis]}{first}_{kind}.h5"
            is_ids = () if kind == "raw" else ("--labels",)
            convert(sections, (size_nm[0] * step, *size_nm[1:]), target, *is_ids)


def main() -> None:
    """Prepare all parts."""
    data, folder = map(Path, sys.argv[1:3])
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in PARTS.items():
        prepare(name, part, data, folder)


if __name__ == "__main__":
    main()
