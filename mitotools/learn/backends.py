"""What applies a network: torch, on any device, or OpenVINO, which is the faster on CPUs."""

from __future__ import annotations

import copy
import sys
import threading
import warnings
from contextlib import suppress
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mitotools.errors import MitotoolsError, UsageError
from mitotools.learn.device import arithmetic, memory_in_words, placed
from mitotools.learn.models import smallest_input

if TYPE_CHECKING:
    from torch import Tensor

    from mitotools.conventions import Size

BACKENDS = ("auto", "torch", "openvino")

ON_A_GPU = 2
"""Windows that are on their way at once, so that a GPU computes one while another is copied; fewer where its
memory is too small."""


class Backend(Protocol):
    """A network ready to be applied to windows of one size, from several threads at once."""

    @property
    def at_once(self) -> int:
        """Windows that it takes at the same time."""

    @property
    def device(self) -> torch.device:
        """Where images and logits lie."""

    def __call__(self, image: Tensor) -> Tensor:
        """Return the (C, Z, Y, X) float32 logits of a (Z, Y, X) float32 image."""


def chosen_backend(name: str, device: torch.device) -> str:
    """Return "torch" or "openvino"; "auto" is OpenVINO on CPUs, where it is installed.

    Raises
    ------
    UsageError
        Where OpenVINO is to run elsewhere.
    MitotoolsError
        Where it is not installed.
    """
    if name not in BACKENDS:
        raise UsageError(f"--backend {name}", f"expected one of {', '.join(BACKENDS)}")
    is_there = find_spec("openvino") is not None
    if name == "auto":
        return "openvino" if is_there and device.type == "cpu" else "torch"
    if name == "openvino" and device.type != "cpu":
        raise UsageError("--backend openvino", f"runs on CPUs, not on {device}", "Use --device cpu")
    if name == "openvino" and not is_there:
        raise MitotoolsError(
            "--backend openvino", "OpenVINO is not installed", "pip install 'mitotools[openvino]'"
        )
    return name


def backend_of(
    name: str, network: nn.Module, window: Size, device: torch.device, precision: str, threads: int
) -> Backend:
    """Return a network as a backend applies it.

    Parameters
    ----------
    name : {"torch", "openvino"}
    network : nn.Module
        In evaluation mode.
    window : (z, y, x) voxels
    device : torch.device
    precision : {"float32", "bfloat16"}
    threads : int
        Of this process.
    """
    if name == "openvino":
        return _OpenVino(network, window, precision, threads)
    return _Torch(network, device, precision, threads)


class _Torch:
    """Eager torch; on a processor a window a thread.

    With several threads for one window norms and convolutions would sum in another order, and give another
    result. Where a GPU's memory has not held two windows, they are computed one after the other.
    """

    def __init__(self, network: nn.Module, device: torch.device, precision: str, threads: int) -> None:
        self.device = device
        self.at_once = threads if device.type == "cpu" else ON_A_GPU
        self._network = placed(_fused(network), device)
        self._precision = precision
        self._turns, self._taking = threading.Semaphore(self.at_once), threading.Lock()

    def __call__(self, image: Tensor) -> Tensor:
        batch = image[None, None].contiguous(memory_format=torch.channels_last_3d)
        with memory_in_words(self.device, "Use --device cpu, or a model with smaller patches"):
            with suppress(torch.OutOfMemoryError), self._turns:  # what it held, the turn too, is given back
                return self._logits(batch)
            self._take_turns()
            with self._turns:
                torch.cuda.empty_cache()
                return self._logits(batch)

    def _logits(self, batch: Tensor) -> Tensor:
        with arithmetic(self._precision, self.device):
            logits: Tensor = self._network(batch)
        return logits[0].float()

    def _take_turns(self) -> None:
        """Have one window computed at a time from now on, when those under way are done."""
        with self._taking:
            while self.at_once > 1:
                self._turns.acquire()
                self.at_once -= 1


def _fused(network: nn.Module) -> nn.Module:
    """Return a copy in which batch norms are part of the convolutions before them, as OpenVINO has them.

    The same network but for rounding, of which there is less: in bfloat16 99.7 % of the bundled model's
    voxels were within 2/255 of OpenVINO's before, 99.999 % are now. It takes .85 of the time.
    """
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            for i, (one, other) in enumerate(pairwise(list(module))):
                if isinstance(one, nn.Conv3d) and isinstance(other, nn.BatchNorm3d):
                    module[i], module[i + 1] = fuse_conv_bn_eval(one, other), nn.Identity()
    return network


def _openvino() -> Any:
    """Return OpenVINO, an extra, without the package by which it reports to its makers that it is used."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # "not installed"
    import openvino  # noqa: PLC0415

    return openvino


class _OpenVino:
    """OpenVINO on a processor: a window a thread.

    As with torch, for the same result; it is also the faster: 3.5 instead of 3.25 Mvoxel/s (filters 28 to 80,
    two cores).
    """

    device = torch.device("cpu")

    def __init__(self, network: nn.Module, window: Size, precision: str, threads: int) -> None:
        openvino = _openvino()
        self.at_once = threads
        example = torch.zeros(1, 1, *smallest_input(network))
        with warnings.catch_warnings():  # of tracing
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
            # OpenVINO takes a network that holds its weights for an input of its own, which nothing can fill,
            # where a profiler (Dask's workers have one) looks on: it keeps nodes that are to be gone.
            frozen = torch.jit.freeze(traced, optimize_numerics=False)
            graph = openvino.convert_model(frozen, example_input=example, input=[1, 1, *window])
        hints = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # two commands would be pinned to the same cores
        }
        if any(isinstance(module, torch.nn.GroupNorm) for module in network.modules()):
            hints["SNIPPETS_MODE"] = "DISABLE"  # fused in float32, this norm ends the process (2026.4)
        self._compiled = openvino.Core().compile_model(graph, "CPU", hints)
        self._local = threading.local()

    def __call__(self, image: Tensor) -> Tensor:
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        request = self._local.request
        request.start_async([image[None, None].contiguous().numpy()])
        request.wait()
        return torch.from_numpy(request.get_output_tensor().data[0].copy())
