"""Make what the research model is trained further on: hippocampus alone, at 10 nm, every slice of it.

Run: python examples/models/research/hippocampus.py LUCCHI_TRAIN.h5 FOLDER

As prepare.py does it, along three axes, and with the slices between those that are picked as volumes of their
own. FOLDER gets z0_raw.h5, z0_labels.h5, z1_raw.h5, ..., x1_labels.h5.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from prepare import PARTS, read, write


def main() -> None:
    """Write the twelve volumes."""
    source, folder = map(Path, sys.argv[1:3])
    folder.mkdir(parents=True, exist_ok=True)
    arrays, size_nm = read(PARTS["lucchi"], source)
    for axis, name in enumerate("zyx"):
        for first in (0, 1):
            for kind, array in arrays.items():
                target = folder / f"{name}{first}_{kind}.h5"
                write(np.moveaxis(array, axis, 0)[first:], size_nm, target, is_ids=kind == "labels")


if __name__ == "__main__":
    main()
