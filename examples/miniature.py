"""Write small stand-ins for the files of a data set, under its names: crops of the sample in examples/data.

Run: python examples/miniature.py lucchi|mitoem FOLDER

They show that the Makefiles work; scores on them mean nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import tifffile
from PIL import Image

SAMPLE = Path(__file__).parent / "data"
SIDE = 96
LUCCHI_DEPTH = 24
IMAGES, LABELS = 32, 24
"""Slices of each of MitoEM's tissues, and those of them with labels."""


def crop(name: str, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Return grey values and instances of a piece of the sample."""
    with h5py.File(SAMPLE / f"medulla_{name}.h5") as file:
        box = (slice(40, 40 + depth), slice(0, SIDE), slice(0, SIDE))
        return file["raw"][box], file["labels"][box]


def lucchi(folder: Path) -> None:
    """Write the files of EPFL (images) and Lucchi++ (masks)."""
    for part, name in (("training", "train"), ("testing", "test")):
        raw, labels = crop(name, LUCCHI_DEPTH)
        tifffile.imwrite(folder / f"{part}.tif", raw)
        masks = folder / f"{part}_groundtruth"
        masks.mkdir()
        for z, mask in enumerate(labels > 0):
            Image.fromarray((255 * mask).astype(np.uint8)).save(masks / f"mask{z:04d}.png")


def mitoem(folder: Path) -> None:
    """Write the folders of both tissues."""
    for tissue, name in (("H", "train"), ("R", "test")):
        raw, labels = crop(name, IMAGES)
        images, truth = folder / f"EM30-{tissue}-im", folder / f"EM30-{tissue}-mito-train-val-v2"
        images.mkdir()
        truth.mkdir()
        for z, plane in enumerate(raw):
            Image.fromarray(plane).save(images / f"im{z:04d}.png")
        for z, plane in enumerate(labels[:LABELS]):
            tifffile.imwrite(truth / f"seg{z:04d}.tif", plane.astype(np.uint16))


def main() -> None:
    """Write what the command line names."""
    kind, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True)
    {"lucchi": lucchi, "mitoem": mitoem}[kind](folder)


if __name__ == "__main__":
    main()
