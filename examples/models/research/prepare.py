"""Make what the research model is trained on of several tissues: voxels of 10 nm along all axes.

Run: python examples/models/research/prepare.py DATA FOLDER

DATA holds the four collections (see README.md). Each becomes what `predict` makes of it for a model of 10 nm:
sections are interpolated along z; of volumes milled by an ion beam, slices are picked. Those lie there along
each of the three axes, and a second time as a microtome would have cut them: a slice every 30 nm, the others
interpolated, with the labels of all. FOLDER gets NAME_raw.h5, NAME_labels.h5 and, where voxels are left out,
NAME_ignore.h5.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from mitotools.cli.main import run

CUBE_NM = (10.0, 10.0, 10.0)
SECTION = 3  # voxels


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


def write(
    array: np.ndarray,
    size_nm: tuple[float, ...],
    target: Path,
    *,
    is_ids: bool,
    voxel_nm: tuple[float, float, float] = CUBE_NM,
) -> None:
    """Write an array with voxels of `voxel_nm`: of slices that lie closer, some."""
    step = max(round(voxel_nm[0] / size_nm[0]), 1)
    size = (size_nm[0] * step, *size_nm[1:])
    with h5py.File(source := target.with_suffix(".tmp.h5"), "w") as file:
        file["main"] = array[step // 2 :: step]
        file["main"].attrs["voxel_size_nm"] = size
    scale = ",".join(str(one / wanted) for one, wanted in zip(size, voxel_nm, strict=True))
    kind = ["--labels"] if is_ids else []
    if failed := run(["convert", str(source), str(target), "--scale", scale, "--force", *kind]):
        sys.exit(failed)
    source.unlink()


def cut(name: str, kind: str, folder: Path) -> None:
    """Write what sections show of a volume in `folder`; of ids, all that they stand for."""
    with h5py.File(folder / f"{name}_{kind}.h5") as file:
        whole = file["main"][: len(file["main"]) // SECTION * SECTION]
    target = folder / f"{name}-cut_{kind}.h5"
    if kind == "raw":
        z, y, x = CUBE_NM
        write(whole[SECTION // 2 :: SECTION], (SECTION * z, y, x), target, is_ids=False)
    else:
        write(whole, CUBE_NM, target, is_ids=True)


def read(part: Part, path: Path) -> tuple[dict[str, np.ndarray], tuple[float, ...]]:
    """Return `raw`, `labels` and where there is one `ignore` of a part in a file, and its voxel size, nm."""
    wanted = {"raw": "raw", "labels": part.labels, "ignore": part.ignore}
    with h5py.File(path) as file:
        arrays = {kind: file[dataset][part.crop] for kind, dataset in wanted.items() if dataset}
        return arrays, tuple(float(one) for one in file["raw"].attrs["voxel_size_nm"])


def prepare(name: str, part: Part, data: Path, folder: Path) -> None:
    """Write a volume; one of an ion beam along three axes, and as sections."""
    arrays, size_nm = read(part, data / part.file)
    is_sections = size_nm[0] > CUBE_NM[0]
    for axis in range(1 if is_sections else 3):
        turned = f"{name}_{'zyx'[axis]}"
        for kind, array in arrays.items():
            target = folder / f"{turned}_{kind}.h5"
            write(np.moveaxis(array, axis, 0), size_nm, target, is_ids=kind != "raw")
            if not is_sections:
                cut(turned, kind, folder)


def main() -> None:
    """Prepare all parts."""
    data, folder = map(Path, sys.argv[1:3])
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in PARTS.items():
        prepare(name, part, data, folder)


if __name__ == "__main__":
    main()
