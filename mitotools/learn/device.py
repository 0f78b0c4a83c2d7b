"""Where a network runs, and in which arithmetic."""

from __future__ import annotations

import ctypes
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

import torch

from mitotools.errors import InputError, MachineError, UsageError

Device = torch.device

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from torch import nn


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt."""

_NEVER = 2**31 - 1


def prepare(threads: int, seed: int) -> None:
    """Set the number of threads, and the generator that draws a network's first weights."""
    _keep_what_is_freed()
    torch.set_num_threads(threads)
    torch.manual_seed(seed)


def _keep_what_is_freed() -> None:
    """Let this process use its memory again instead of asking for other memory at each step.

    glibc gives tensors of more than 32 MiB back when they are freed, and clears the next ones page by page
    as they are touched: 2.7 instead of 3.8 Mvoxel/s (preset fast, 4 patches of 64 x 128 x 128, two cores).
    """
    with suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch use one thread in each thread that is started now."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def devices() -> dict[str, str]:
    """Return what networks can run on here, in words."""
    processor = torch.device("cpu")
    found = {
        "torch": torch.__version__,
        "cpu": f"{torch.backends.cpu.get_cpu_capability()}, {chosen_precision('auto', processor)}",
    }
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        found[f"cuda:{number}"] = f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"
    if torch.backends.mps.is_available():
        found["mps"] = "available"
    return found if len(found) > 2 else {**found, "GPU": "none"}


def chosen_device(name: str) -> torch.device:
    """Return the device of a name; "auto" is a GPU where there is one.

    Raises
    ------
    UsageError
        Where no device has this name.
    MachineError
        Where this machine does not have it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    what = f"--device {name}"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(what, "is no device", "Say auto, cpu, cuda, cuda:1 or mps") from error
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise MachineError(what, f"is not available ({reason})", "Use --device cpu") from error
    return device


def chosen_precision(name: str, device: torch.device) -> str:
    """Return "bfloat16" or "float32"; "auto" is bfloat16 where the hardware multiplies in it."""
    if name != "auto":
        return name
    if device.type == "cuda":
        with torch.cuda.device(device):  # others of this machine may be older
            return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return "bfloat16"
    return "float32"


def resolved(device: str, precision: str) -> tuple[str, str]:
    """Return the names of the device and the precision that are meant, "auto" being replaced.

    Raises
    ------
    UsageError
        Where no device has this name.
    MachineError
        Where this machine does not have it.
    """
    chosen = chosen_device(device)
    return str(chosen), chosen_precision(precision, chosen)


def placed(network: nn.Module, device: torch.device) -> nn.Module:
    """Return the network on a device, its weights in the order (channels last) that is fastest there."""
    moved: nn.Module = network.to(device=device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return moved


def arithmetic(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which a network is applied."""
    if precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


OUT_OF_MEMORY = ("can't allocate memory", "could not create a primitive")
"""What PyTorch's allocator of a processor says, and oneDNN."""


@contextmanager
def memory_in_words(device: torch.device, what_next: str) -> Iterator[None]:
    """Report a device that runs out of memory as a failure that the user can act on.

    Raises
    ------
    InputError
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise InputError(f"device {device}", "its memory is too small", what_next) from error
    except RuntimeError as error:
        if not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        raise InputError(f"device {device}", "its memory is too small", what_next) from error
