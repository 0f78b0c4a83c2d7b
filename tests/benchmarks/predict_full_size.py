"""Promise: predict stays under --memory, whatever the volume's size, the budget and the part.

Parts of a sparse 500 x 4096 x 4096 zarr (mostly fill value: reading costs nothing, computing costs
the same), with the networks of two presets, fresh weights, and several budgets. Printed are the peak of
resident memory of all processes, the budget, the blocks that `--dry-run` plans, and Mvoxel/s.

Run: python tests/benchmarks/predict_full_size.py [FOLDER [PRESET ...]]
"""

from __future__ import annotations

import sys
import tempfile
from math import prod
from pathlib import Path

import numpy as np
import torch
from commands import planned
from process_tree import measured

from mitotools.learn.checkpoint import save_model
from mitotools.learn.metadata import ModelMetadata
from mitotools.learn.models import build, settings_of
from mitotools.presets import PRESETS
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.outputs import create_volume
from mitotools.volume.path import VolumePath

SIZE = (500, 4096, 4096)
PARTS = (1, 22, 64)
COUNT = 64
BUDGETS = ("2G", "4G", "8G")


def make(folder: Path, preset: str) -> None:
    """Write the volume, with a few chunks in it, and a model."""
    parameters = PRESETS[preset]
    isotropic = parameters.fold[0] > 1
    voxel_size = (8.0, 8.0, 8.0) if isotropic else (30.0, 8.0, 8.0)
    spec = VolumeSpec(SIZE, np.dtype(np.uint8), voxel_size)
    with create_volume(VolumePath(str(folder / "raw.zarr")), spec, force=True) as writer:
        grey = np.random.default_rng(0).integers(0, 256, (32, 128, 128), np.uint8)
        for corner in ((0, 0, 0), (224, 2048, 2048)):
            writer.write(Box((0, 0, 0), grey.shape).shifted(corner), grey)
    torch.manual_seed(0)
    settings = settings_of(parameters, 2, isotropic=isotropic)
    window = parameters.isotropic_patch_voxels if isotropic else parameters.section_patch_voxels
    metadata = ModelMetadata(parameters.architecture, settings, ("mask", "contour"), window, voxel_size)
    save_model(folder / "model.safetensors", build(parameters.architecture, settings), metadata)


def main() -> None:
    """Print a line a part and budget."""
    parent = sys.argv[1] if len(sys.argv) > 1 else None
    for preset in sys.argv[2:] or ("fast", "u3d-bc"):
        for number, memory in [(part, BUDGETS[0]) for part in PARTS] + [(1, m) for m in BUDGETS[1:]]:
            with tempfile.TemporaryDirectory(dir=parent) as name:
                make(Path(name), preset)
                raw, maps, model = (
                    str(Path(name, n)) for n in ("raw.zarr", "maps.zarr", "model.safetensors")
                )
                command = [
                    "predict",
                    raw,
                    maps,
                    "-m",
                    model,
                    "--part",
                    f"{number}/{COUNT}",
                    "--memory",
                    memory,
                ]
                needs = planned(*command)
                usage = measured([*command, "--no-progress", "-q"])
                print(
                    f"{preset}, part {number} of {COUNT}: peak {usage.peak_bytes / 2**20:.0f} MiB (budget "
                    f"{memory}), {needs['blocks']} blocks of {needs['block']}, {needs['memory']} planned, "
                    f"{prod(SIZE) / COUNT / 1e6 / usage.seconds:.2f} Mvoxel/s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
