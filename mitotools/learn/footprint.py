"""The memory that applying a network takes, found by applying it to a few voxels."""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mitotools.learn.models import smallest_input

if TYPE_CHECKING:
    from torch import nn

    from mitotools.conventions import Size

HALF = 0.5
"""Of the bytes of float32 that tensors in bfloat16 take."""


def peak_bytes(network: nn.Module, window: Size, precision: str) -> int:
    """Return about the most bytes of tensors that there are at once while a network is applied to one window.

    Seen on the smallest window, to which those of the others are in proportion (nearly, where windows exceed
    multiples of the stride). The network's own weights, and what a backend takes beside, are not counted.

    Parameters
    ----------
    network : nn.Module
        On the CPU, in float32.
    window : (z, y, x) voxels
    precision : {"float32", "bfloat16"}
    """
    smallest = smallest_input(network)
    live = _Live()
    with torch.no_grad(), live:
        network(torch.zeros(1, 1, *smallest))
    ratio = math.prod(window) / math.prod(smallest)
    return math.ceil(live.peak * ratio * (HALF if precision == "bfloat16" else 1))


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that operations return, as long as something refers to them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self._bytes = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # it would import the compiler, a second's work, to be told to leave this method alone

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return found

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self._bytes += size
        self.peak = max(self.peak, self._bytes)
        weakref.finalize(storage, self._drop, size)

    def _drop(self, size: int) -> None:
        self._bytes -= size
