"""Blocks on threads, with a bounded number of them in memory."""

from __future__ import annotations

import logging
import os
from collections import deque
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeVar

from mitotools.run.memory import free_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")

LOOKED_AFTER = 1.0
"""Seconds without a result after which the threads are looked at."""

logging.getLogger("concurrent.futures").addHandler(logging.NullHandler())  # what it says of lost threads


class Pool(ThreadPoolExecutor):
    """Threads of which one can be lost without those who wait for it waiting for ever.

    Where memory is short, Python may be unable to call what runs in a thread, which ends the thread. The
    future that it was to compute is never done then, which its own `result` and `wait` do not notice.
    """

    def wait(self, futures: Collection[Future[Result]], until: str = ALL_COMPLETED) -> set[Future[Result]]:
        """Return which of `futures`, all of this pool, are done once all are, or one is: FIRST_COMPLETED.

        Raises MemoryError where a thread is lost and none has been done for a while.
        """
        done: set[Future[Result]] = set()
        while True:
            before = len(done)
            done, others = wait(futures, LOOKED_AFTER, until)
            if not others or (done and until == FIRST_COMPLETED):
                return done
            if len(done) == before and not all(thread.is_alive() for thread in self._threads):
                message = "a thread of this process ended for lack of it"
                raise MemoryError(message)

    def result(self, future: Future[Result]) -> Result:
        """Return what a future of this pool computes, or raise what it raises."""
        self.wait([future])
        return future.result()


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
        with Pool(slots) as pool:
            try:
                for item in items:
                    waiting[pool.submit(function, item)] = item
                    if len(waiting) >= slots:
                        yield from _finished(pool, waiting)
                while waiting:
                    yield from _finished(pool, waiting)
            finally:
                for future in waiting:
                    future.cancel()


def _finished(pool: Pool, waiting: dict[Future[Result], Item]) -> Iterator[tuple[Item, Result]]:
    for future in pool.wait(waiting, FIRST_COMPLETED):
        yield waiting.pop(future), future.result()


def available_threads() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache(maxsize=1)
def shared_pool(threads: int) -> Pool:
    """Return the threads on which the pieces of all blocks of this process are read and written.

    What runs there must not wait for other pieces.
    """
    return Pool(threads, thread_name_prefix="pieces")


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[tuple[Item, Result]]:
    """Yield (item, function(item)) in the order of the items, computed ahead on threads.

    At most two results a thread wait for the caller, so that memory stays bounded however slow it is.
    """
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    with Pool(threads) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(function, item)))
                if len(waiting) >= 2 * threads:
                    first, future = waiting.popleft()
                    yield first, pool.result(future)
            while waiting:
                first, future = waiting.popleft()
                yield first, pool.result(future)
        finally:
            for _, future in waiting:
                future.cancel()
