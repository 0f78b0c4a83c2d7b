"""Make what the model of sections is trained on, several tissues: sections of 30 to 50 nm, 6 nm in the plane.

Run: python examples/models/research/sections.py DATA FOLDER

DATA holds the four collections (see README.md). Of sections, all are there. Volumes milled by an ion beam are
cut along each of their axes as a microtome would have done it: a slice every 30 nm, and no mean of two.
FOLDER gets NAME_raw.h5, NAME_labels.h5 and, where voxels are left out, NAME_ignore.h5.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from prepare import PARTS, read, write

THICKNESS_NM, IN_PLANE_NM = 30.0, 6.0


def main() -> None:
    """Write eight volumes."""
    data, folder = map(Path, sys.argv[1:3])
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in PARTS.items():
        arrays, size_nm = read(part, data / part.file)
        is_sections = size_nm[0] >= THICKNESS_NM
        voxel_nm = (size_nm[0] if is_sections else THICKNESS_NM, IN_PLANE_NM, IN_PLANE_NM)
        for axis in range(1 if is_sections else 3):
            for kind, array in arrays.items():
                target = folder / f"{name}_{'zyx'[axis]}_{kind}.h5"
                cut = np.moveaxis(array, axis, 0)
                write(cut, size_nm, target, is_ids=kind != "raw", voxel_nm=voxel_nm)


if __name__ == "__main__":
    main()
