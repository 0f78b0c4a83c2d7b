"""Promise: training runs at a known part of what the device multiplies.

Steps (forwards, loss, backwards, optimiser) on one batch over and over, of each preset and in each precision;
no loader takes part. Printed are Mvoxel/s, the GFLOP of a Mvoxel (multiplications and additions of all
convolutions, forwards and backwards, as torch.utils.flop_counter counts them), and the rate of arithmetic as
a part of the rate of a large bf16 matrix product, measured in the same run. Where there is a GPU, it is
measured.

Run: python tests/benchmarks/train_speed.py [SECONDS a measurement [PRESET ...]]
"""

from __future__ import annotations

import itertools
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from mitotools.errors import InputError
from mitotools.learn.device import chosen_device, placed
from mitotools.learn.feed import Batch
from mitotools.learn.models import build, settings_of
from mitotools.learn.processes import Processes
from mitotools.learn.step import Step
from mitotools.learn.targets import channel_names, targets_named
from mitotools.learn.training import Training
from mitotools.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitotools.parameters import TrainParameters

SIDE = {"cpu": 2048, "cuda": 16384}
"""Of the matrices."""

PRECISIONS = ("float32", "bfloat16")

CPU_VOXELS = 2_000_000
"""A batch of about this size at most, on a processor."""


def seconds_each(work: Callable[[], object], seconds: float, device: torch.device) -> float:
    """Return how long a piece of work takes, the mean over so many seconds, and twice at least."""

    def finished() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    work()
    start, count = finished(), 0
    while (now := finished()) < start + seconds or count < 2:
        work()
        count += 1
    return (now - start) / count


def matrix_rate(device: torch.device, seconds: float) -> float:
    """Return the FLOP/s of a bf16 matrix product."""
    side = SIDE[device.type]
    left, right = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
    return 2 * side**3 / seconds_each(lambda: left @ right, seconds, device)


def step_of(parameters: TrainParameters, device: torch.device) -> tuple[Callable[[], None], int]:
    """Return a step of training, and how many voxels it takes."""
    isotropic = parameters.fold[0] > 1
    patch = parameters.isotropic_patch_voxels if isotropic else parameters.section_patch_voxels
    each = patch[0] * patch[1] * patch[2]
    batch = parameters.batch if device.type == "cuda" else max(CPU_VOXELS // each, 1)
    targets = targets_named(parameters.targets)
    channels = len(channel_names(targets))
    network = build(parameters.architecture, settings_of(parameters, channels, isotropic=isotropic))
    training = Training.begun(placed(network, device), parameters)
    made = Batch(torch.randn(batch, 1, *patch), torch.zeros(batch, channels, *patch), None)
    step = Step(training, itertools.repeat(made), targets, parameters, device, Processes())

    def learn() -> None:
        step.learn()
        step.change(1e-4)

    return learn, batch * each


def main() -> None:
    """Print the table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    device = chosen_device("auto")
    most = matrix_rate(device, seconds)
    is_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if is_gpu else f"{torch.get_num_threads()} threads"
    print(f"{device}, {name}: bf16 matrix product {most / 1e9:.0f} GFLOP/s")
    print("preset\tprecision\tMvoxel/s\tGFLOP/Mvoxel\tof the matrix product")
    for preset in sys.argv[2:] or PRESETS:
        for precision in PRECISIONS:
            parameters = replace(PRESETS[preset], precision=precision)
            try:
                learn, voxels = step_of(parameters, device)
                with FlopCounterMode(display=False) as counter:
                    learn()
                each = seconds_each(learn, seconds, device)
            except InputError as error:
                print(f"{preset}\t{precision}\t{error}")
                continue
            flop = counter.get_total_flops()
            print(
                f"{preset}\t{precision}\t{voxels / each / 1e6:.2f}\t{flop / voxels / 1e3:.0f}\t"
                f"{100 * flop / each / most:.0f} %",
                flush=True,
            )


if __name__ == "__main__":
    main()
