"""Promise: decode mw is five times as fast as the usual recipe on 64 x 1024 x 1024 maps, in bounded memory.

The maps are the golden phantom, mirrored along every axis and tiled, as OME-Zarr. Timed are the whole command
`mitotools decode`, start-up included, and the recipe alone, with the maps in memory already: thresholds in
float64, scikit-image's label and watershed. Printed are the ratio, how far both agree, and peaks of memory.

Run: python tests/benchmarks/decode_speed.py [Z,Y,X [MEMORY]]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import psutil
import zarr
from process_tree import measured
from promises import promise
from skimage.measure import label
from skimage.segmentation import watershed
from tiled import Tiled

from mitotools.run.running import Running
from mitotools.stages.blocks.blockwise import write_volume
from mitotools.stages.blocks.work import Work
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.path import VolumePath

PHANTOM = Path(__file__).parents[1] / "segment" / "golden" / "decode" / "phantom.h5"


def make(target: Path, size: tuple[int, ...], maps: np.ndarray) -> None:
    """Write maps, mirrored along every axis and tiled."""
    tiled = Tiled(maps)

    def block(box: Box, _: int) -> np.ndarray:
        return tiled.read(box)[0]

    spec = VolumeSpec((2, *size), np.dtype(np.uint8), (30.0, 8.0, 8.0))
    write_volume(VolumePath(str(target)), spec, Work(block, "make"), Running())


def recipe(maps: np.ndarray) -> np.ndarray:
    """Decode as everybody does: thresholds .85, .6 and .8, markers of 32 voxels, instances of 1024."""
    mask, contour = maps[0] / 255.0, maps[1] / 255.0
    markers = label((mask > 216 / 255) & (contour < 153 / 255), connectivity=3)
    markers[np.bincount(markers.ravel())[markers] < 32] = 0
    labels = watershed(-mask, markers, mask=mask > 204 / 255)
    labels[np.bincount(labels.ravel())[labels] < 1024] = 0
    return labels


def main() -> None:
    """Time both."""
    size = tuple(int(n) for n in sys.argv[1].split(",")) if len(sys.argv) > 1 else (64, 1024, 1024)
    memory = sys.argv[2] if len(sys.argv) > 2 else "1G"
    with tempfile.TemporaryDirectory() as name:
        maps, target = Path(name, "maps.zarr"), Path(name, "labels.zarr")
        with h5py.File(PHANTOM) as file:
            make(maps, size, file["maps"][:])
        command = ["decode", maps, target, "-f", "-q", "--memory", memory]
        measured(command)  # compiles, once
        ours = measured(command)
        array = zarr.open_array(maps / "0")[:]
        before, start = psutil.Process().memory_info().rss, time.perf_counter()
        theirs = recipe(array)
        seconds = time.perf_counter() - start
        peak = psutil.Process().memory_info().rss - before
        labels = zarr.open_array(target / "0")[:]
        agree = np.mean((labels > 0) == (theirs > 0))
        count = len(np.unique(theirs)) - 1
        print(f"mitotools decode: {ours.seconds:.1f} s, peak {ours.peak_bytes / 2**20:.0f} MiB of {memory}")
        print(f"recipe: {seconds:.1f} s, some {peak / 2**20:.0f} MiB more at its end")
        promise("decode", "scikit-image's label and watershed, in memory", seconds / ours.seconds, least=5)
        print(f"instances {labels.max()} and {count}; foreground agrees in {100 * agree:.2f} %")


if __name__ == "__main__":
    main()
