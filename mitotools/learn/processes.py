"""The processes of one training, as ``torchrun`` starts them: each sees a part of every batch."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from mitotools.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

PATIENCE = timedelta(days=1)
"""How long a process waits for the first one, which scores the network: NCCL gives up after ten minutes.
Where one of them fails, torchrun ends the others."""

SETTLING_S = 0.3
"""In which the threads of a group let go of what they averaged last. One that does so while Python ends
aborts its process, and torchrun ends the others, of which the first may be saving the model."""

_LEFT: list[object] = []
"""Groups that were left. Who drops the last reference to one waits for its threads; what averages gradients
may outlive it, and does so with the lock that they wait for, for ever."""


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this one is.

    Parameters
    ----------
    rank : int
        Counted from 0.
    count : int
    local_rank : int
        Among those of this machine, which is the number of its GPU.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this one writes and reports."""
        return self.rank == 0

    def around(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Return what averages gradients over all processes; of one process, the network itself.

        All start with the first one's weights. Batch norms take the statistics of their own process's
        patches; before each batch all are given the first one's, which are those that are kept.
        """
        if self.count == 1:
            return network
        wrapped: nn.Module = DistributedDataParallel(
            network, device_ids=[device] if device.type == "cuda" else None
        )
        return wrapped

    def mean(self, value: float, device: torch.device) -> float:
        """Return the mean of a number over all processes."""
        if self.count == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=device)
        distributed.all_reduce(total)
        return float(total) / self.count

    def of_first(self, value: float, device: torch.device) -> float:
        """Return the first process's number: what depends on its clock has to be the same everywhere."""
        if self.count == 1:
            return value
        told = torch.tensor(value, dtype=torch.float64, device=device)
        distributed.broadcast(told, 0)
        return float(told)

    def require_same(self, iteration: int, device: torch.device) -> None:
        """Raise InputError where this process is at another iteration than the first one."""
        first = int(self.of_first(iteration, device))
        if first != iteration:
            why = f"they begin at iterations {first} and {iteration}"
            raise InputError("the processes of this training", why, "All have to see the same folder")


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """Join the other processes where ``torchrun`` started this one; alone otherwise.

    Parameters
    ----------
    device : str
        "cpu" has gloo carry the gradients, GPUs have NCCL; each process has the GPU of its local rank.

    Raises
    ------
    InputError
        Where the others cannot be reached.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield Processes()
        return
    try:
        rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        if device.startswith("cuda") and local_rank < torch.cuda.device_count():
            torch.cuda.set_device(local_rank)
        distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=PATIENCE)
    except (ValueError, RuntimeError) as error:
        why = f"cannot be joined ({str(error).splitlines()[0]})"
        what_next = "Start them with torchrun, or unset RANK and WORLD_SIZE"
        raise InputError("the other processes", why, what_next) from error
    try:
        yield Processes(rank, count, local_rank)
    finally:
        _LEFT.append(distributed.group.WORLD)
        distributed.destroy_process_group()
        time.sleep(SETTLING_S)
