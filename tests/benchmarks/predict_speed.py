"""Promise: predicting runs at the speed of the processor, and windows need little overlap.

In one run, on the same weights and voxels, of each network:

- Mvoxel/s of the network alone: eager torch in float32 as it comes (contiguous), torch as mitotools uses it,
  and OpenVINO, in float32 and bfloat16; the rate of arithmetic as a part of that of a large bf16 matrix
  product (GFLOP of convolutions, as torch.utils.flop_counter counts them).
- The whole command (reading a zarr, blending, writing a zarr) at its defaults, and how many times as fast it
  is as eager float32 with windows of about 17 x 257 x 257, half as far apart, and four mirror images of
  each: that is found from the network's own rate on such windows, since it takes hours.

Where there is a GPU, torch is measured there as well.

Run: python tests/benchmarks/predict_speed.py FOLDER [SECONDS a measurement [NETWORK ...]]
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from train_speed import matrix_rate, seconds_each

from mitotools.learn.backends import backend_of
from mitotools.learn.checkpoint import save_model
from mitotools.learn.device import chosen_device, one_torch_thread
from mitotools.learn.metadata import ModelMetadata
from mitotools.learn.models import build
from mitotools.parameters import PredictParameters
from mitotools.run.engine import available_threads, ordered_map
from mitotools.run.running import Running
from mitotools.stages.predict import predict_volume
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.outputs import create_volume
from mitotools.volume.path import VolumePath

if TYPE_CHECKING:
    from mitotools.conventions import Size

CPU = torch.device("cpu")

FULL = {"in_channels": 1, "out_channels": 2}
NETWORKS: dict[str, tuple[dict[str, Any], Size]] = {
    "28..80": ({**FULL, "filters": [28, 36, 48, 64, 80]}, (32, 256, 256)),
    "32..160": ({**FULL, "filters": [32, 64, 96, 128, 160]}, (32, 256, 256)),
    "28..80, group norm": ({**FULL, "filters": [28, 36, 48, 64, 80], "norm": "group"}, (32, 256, 256)),
    "fast": (
        {**FULL, "filters": [32, 64, 96, 128, 160], "fold": [2, 2, 2], "isotropic": True},
        (96, 160, 160),
    ),
}
"""Settings of the network, and its window."""

VOLUME: Size = (128, 1024, 1024)
REFERENCE: Size = (16, 256, 256)
"""What our networks take that is nearest to its windows of 17 x 257 x 257, which lie half as far apart."""
REFERENCE_TTA = 4


def network_of(settings: dict[str, Any]) -> torch.nn.Module:
    """Return a network whose norms do something."""
    torch.manual_seed(0)
    network = build("residual-unet", settings).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network


def eager(network: torch.nn.Module, window: Size, seconds: float) -> float:
    """Return Mvoxel/s of torch as it comes."""
    image = torch.rand(1, 1, *window)
    with torch.inference_mode():
        return window_voxels(window) / 1e6 / seconds_each(lambda: network(image), seconds, CPU)


def ours(
    name: str, network: torch.nn.Module, window: Size, precision: str, device: str, seconds: float
) -> float:
    """Return Mvoxel/s of a backend that is kept busy."""
    backend = backend_of(name, network, window, torch.device(device), precision, available_threads())
    images = [torch.rand(*window, device=device) for _ in range(max(backend.at_once, 2))]

    @torch.inference_mode()
    def logits(image: torch.Tensor) -> torch.Tensor:
        return backend(image).cpu()

    def together() -> None:
        for _ in ordered_map(logits, images, backend.at_once):
            pass

    with one_torch_thread():
        return len(images) * window_voxels(window) / 1e6 / seconds_each(together, seconds, CPU)


def window_voxels(window: Size) -> int:
    """Return how many voxels a window has."""
    return window[0] * window[1] * window[2]


def reference_window(network: torch.nn.Module) -> Size:
    """Return the reference's window, in multiples of what the network pools."""
    z, y, x = (-(-n // stride) * stride for n, stride in zip(REFERENCE, network.stride, strict=True))
    return z, y, x


def whole_command(network: torch.nn.Module, settings: dict[str, Any], window: Size, folder: Path) -> float:
    """Return Mvoxel/s of predicting a zarr with the defaults."""
    raw, maps, model = folder / "raw.zarr", folder / "maps.zarr", folder / "model.safetensors"
    if not raw.exists():
        with create_volume(VolumePath(str(raw)), VolumeSpec(VOLUME, np.dtype(np.uint8), (8, 8, 8))) as writer:
            grey = np.random.default_rng(0).integers(0, 256, VOLUME, np.uint8)
            writer.write(Box.whole(VOLUME), grey)
    save_model(
        model, network, ModelMetadata("residual-unet", settings, ("mask", "contour"), window, (8, 8, 8))
    )
    begun = time.perf_counter()
    predict_volume(
        VolumePath(str(raw)), VolumePath(str(maps)), model, PredictParameters(), Running(force=True)
    )
    return window_voxels(VOLUME) / 1e6 / (time.perf_counter() - begun)


def main() -> None:
    """Print the tables."""
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 10.0
    torch.set_num_threads(available_threads())
    most = matrix_rate(CPU, seconds)
    print(f"{available_threads()} threads: bf16 matrix product {most / 1e9:.0f} GFLOP/s")
    for name in sys.argv[3:] or NETWORKS:
        settings, window = NETWORKS[name]
        network = network_of(settings)
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            network(torch.rand(1, 1, *window))
        flop = counter.get_total_flops() / window_voxels(window)
        print(f"\n{name}: {flop / 1e3:.0f} GFLOP/Mvoxel, windows of {' x '.join(map(str, window))}")
        print("network alone\tMvoxel/s\ttimes eager\tof the matrix product")
        rates = {"eager torch, float32": partial(eager, network, window, seconds)}
        for backend in ("torch", "openvino"):
            for precision in ("float32", "bfloat16"):
                rates[f"{backend}, {precision}"] = partial(
                    ours, backend, network, window, precision, "cpu", seconds
                )
        device = chosen_device("auto")
        if device.type != "cpu":
            rates[f"torch, bfloat16, {device}"] = partial(
                ours, "torch", network, window, "bfloat16", str(device), seconds
            )
        base = None
        for what, rate in rates.items():
            found = rate()
            base = base or found
            part = 100 * found * 1e6 * flop / most
            print(f"{what}\t{found:.2f}\t{found / base:.1f}\t{part:.0f} %", flush=True)
            network = network.to("cpu", memory_format=torch.contiguous_format)
        reference = eager(network, reference_window(network), seconds) / REFERENCE_TTA / 2**3
        command = whole_command(network, settings, window, folder)
        print(f"whole command\t{command:.2f}\t{command / reference:.0f} times the reference's windows")


if __name__ == "__main__":
    main()
