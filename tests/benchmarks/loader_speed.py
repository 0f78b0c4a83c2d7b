"""Promise: one loader process prepares patches three times as fast as the network takes them.

The volume is a zarr whose patches are decompressed one by one, as of a volume that does not fit in memory.
Loader processes and the network are measured one after the other, each with the machine to itself: a network
that shares its processors with loader processes is slower. Printed are Mvoxel/s, and the ratios.

Run: OMP_NUM_THREADS=2 python tests/benchmarks/loader_speed.py [SECONDS a measurement]
"""

from __future__ import annotations

import itertools
import logging
import os
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mitotools.learn.augment.patch import recipe_named
from mitotools.learn.device import chosen_device, placed, resolved
from mitotools.learn.feed import BATCHES_AHEAD, Patches, batches
from mitotools.learn.models import build, settings_of
from mitotools.learn.patches import Mixture, PatchSource
from mitotools.learn.processes import Processes
from mitotools.learn.step import Step
from mitotools.learn.targets import targets_named
from mitotools.learn.training import Training
from mitotools.presets import PRESETS
from mitotools.volume.base import Volume, VolumeSpec
from mitotools.volume.blocks import grid
from mitotools.volume.formats import ome_zarr

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitotools.conventions import Size, VoxelSize
    from mitotools.learn.feed import Batch
    from mitotools.parameters import TrainParameters

SIZE: Size = (160, 768, 768)
SECTIONS: VoxelSize = (30.0, 8.0, 8.0)
CUBES: VoxelSize = (8.0, 8.0, 8.0)
RUNS = (("u3d-bc", (32, 256, 256), SECTIONS), ("fast", (96, 160, 160), CUBES))
RECIPES = ("2021", "strong")
LOADERS = (1, 2)
TARGETS = targets_named(["mask", "contour"])


def write(folder: Path) -> None:
    """Write noise, which hardly compresses, and labels of cubes of which a third are inside."""
    rng = np.random.default_rng(0)
    for name, dtype in (("raw", np.uint8), ("labels", np.uint16)):
        place = folder / f"{name}.zarr"
        spec = ome_zarr.planned(VolumeSpec(SIZE, np.dtype(dtype), SECTIONS), place)
        writer = ome_zarr.create_writer(place, spec, place)
        for number, box in enumerate(grid(SIZE, spec.unit), start=1):
            if name == "raw":
                array = rng.integers(64, 192, box.shape, dtype)
            else:
                inside = rng.random([-(-n // 16) for n in box.shape]) < 1 / 3
                array = np.kron(inside * number, np.ones((16, 16, 16)))[tuple(map(slice, box.shape))]
            writer.write(box, array.astype(dtype))
        writer.close()


def source(folder: Path, patch: Size, voxel_size: VoxelSize, recipe: str) -> PatchSource:
    """Return what patches are drawn from, as from voxels of this size."""
    raw, labels = (
        Volume(ome_zarr.open_reader(folder / f"{name}.zarr", None), name).with_voxel_size(voxel_size)
        for name in ("raw", "labels")
    )
    return PatchSource(raw, labels, patch, 0.4, recipe_named(recipe))


def rate(step: Callable[[], int], first: int, seconds: float) -> float:
    """Return the Mvoxel/s of what returns voxels, after so many steps that do not count."""
    for _ in range(first):
        step()
    start, voxels = time.perf_counter(), 0
    while time.perf_counter() < start + seconds:
        voxels += step()
    return voxels / 1e6 / (time.perf_counter() - start)


def loader_rate(mixture: Mixture, parameters: TrainParameters, loaders: int, seconds: float) -> float:
    """Return the rate of loader processes alone, once they have filled what they may prepare ahead."""
    patches = Patches(mixture, TARGETS, parameters)
    with closing(batches(patches, parameters, Processes(), loaders)) as feed:
        return rate(lambda: next(feed).images.numel(), 2 + loaders * BATCHES_AHEAD, seconds)


def network_rate(batch: Batch, parameters: TrainParameters, isotropic: bool, seconds: float) -> float:
    """Return the rate of training steps on the same batch over and over."""
    device = chosen_device(parameters.device)
    settings = settings_of(parameters, len(TARGETS), isotropic=isotropic)
    training = Training.begun(placed(build(parameters.architecture, settings), device), parameters)
    step = Step(training, itertools.repeat(batch), TARGETS, parameters, device, Processes())

    def voxels() -> int:
        step.learn()
        step.change(1e-4)
        return batch.images.numel()

    return rate(voxels, 1, seconds)


def main() -> None:
    """Print the tables."""
    logging.basicConfig(level=logging.WARNING)
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    device, precision = resolved("auto", "auto")
    threads = os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))
    print(f"{device}, {precision}, network of {threads} threads; Mvoxel/s, ratio to the network")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder)
        for preset, patch, voxel_size in RUNS:
            parameters = replace(PRESETS[preset], batch=1, device=device, precision=precision)
            measured = {}
            for recipe in RECIPES:
                mixture = Mixture([source(folder, patch, voxel_size, recipe)], held_bytes=0)
                for loaders in LOADERS:
                    measured[recipe, loaders] = loader_rate(mixture, parameters, loaders, seconds)
            batch = Patches(mixture, TARGETS, parameters)
            with closing(batches(batch, parameters, Processes(), 0)) as feed:
                network = network_rate(next(feed), parameters, voxel_size == CUBES, seconds)
            print(f"{preset}, patches of {patch}: network {network:.2f}")
            for (recipe, loaders), found in measured.items():
                print(
                    f"  recipe {recipe:7}{loaders} loaders {found:7.1f} {found / network:7.1f} x", flush=True
                )


if __name__ == "__main__":
    main()
