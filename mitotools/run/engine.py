"""Blocks on threads, with a bounded number of them in memory."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeVar

from mitotools.run.memory import free_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine(Protocol):
    """Something that computes a function of many blocks, several at a time."""

    @property
    def threads(self) -> int:
        """Threads of all its processes together."""

    @property
    def processes(self) -> int:
        """Processes that compute beside this one."""

    @property
    def free_bytes(self) -> int:
        """Memory that is free on its machines."""

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], slots: int
    ) -> Generator[tuple[Item, Result]]:
        """Yield (item, function(item)) as they are finished, `slots` of them computed at the same time."""


@dataclass(frozen=True)
class Threads:
    """The engine of one process."""

    threads: int
    processes: int = 0

    @property
    def free_bytes(self) -> int:
        """Memory that is free on this machine."""
        return free_bytes()

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], slots: int
    ) -> Generator[tuple[Item, Result]]:
        """Yield (item, function(item)) as they are finished; the next is begun when the caller comes back."""
        waiting: dict[Future[Result], Item] = {}
        with ThreadPoolExecutor(slots) as pool:
            try:
                for item in items:
                    waiting[pool.submit(function, item)] = item
                    if len(waiting) >= slots:
                        yield from _finished(waiting)
                while waiting:
                    yield from _finished(waiting)
            finally:
                for future in waiting:
                    future.cancel()


def _finished(waiting: dict[Future[Result], Item]) -> Iterator[tuple[Item, Result]]:
    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
    for future in done:
        yield waiting.pop(future), future.result()


def available_threads() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache(maxsize=1)
def shared_pool(threads: int) -> ThreadPoolExecutor:
    """Return the threads on which the pieces of all blocks of this process are read and written.

    What runs there must not wait for other pieces.
    """
    return ThreadPoolExecutor(threads, thread_name_prefix="pieces")


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[tuple[Item, Result]]:
    """Yield (item, function(item)) in the order of the items, computed ahead on threads.

    At most two results a thread wait for the caller, so that memory stays bounded however slow it is.
    """
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(function, item)))
                if len(waiting) >= 2 * threads:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
