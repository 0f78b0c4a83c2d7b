"""Blocks on the processes of a Dask cluster: one of this machine's own, or one that runs already.

Loads Dask, which is an extra; `Running.engine` imports this when it is asked for processes.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import cloudpickle
import dask
from distributed import Client, LocalCluster, as_completed
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

import mitotools
from mitotools.errors import MitotoolsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_TASKS = 10_000
"""In flight: the scheduler holds no more of a graph, however many blocks there are."""

AHEAD = 3
"""Tasks in flight for every one that is computed, so that no worker waits for the next."""

CONNECT_S = 30
"""How long a scheduler may take to answer."""

# Memory is the budget's business: Dask would pause, spill or kill.
NO_LIMITS = {
    f"distributed.worker.memory.{action}": False for action in ("target", "spill", "pause", "terminate")
}


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster as an engine: see `run.engine.Engine`."""

    client: Client
    threads: int
    processes: int

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], slots: int
    ) -> Iterator[tuple[Item, Result]]:
        """Yield (item, function(item)) as they are finished; blocks of workers that die are begun anew."""
        pickled = cloudpickle.dumps(function)
        source = iter(items)
        item_of: dict[Any, Item] = {}

        def begun(count: int) -> list[Any]:
            futures = []
            for item in islice(source, count):
                future = self.client.submit(_call, pickled, item, pure=False)
                item_of[future.key] = item
                futures.append(future)
            return futures

        ahead = slots if slots < self.threads else AHEAD * slots
        futures = begun(min(ahead, MOST_TASKS))
        waiting = as_completed(futures, loop=self.client.loop, raise_errors=False)
        try:
            for future in waiting:
                item = item_of.pop(future.key)
                result = _result(future, item)
                waiting.update(begun(1))
                yield item, result
        finally:
            self.client.cancel(list(waiting.futures))


def _result(future: Any, item: object) -> Any:
    try:
        return future.result()
    except KilledWorker as error:
        why = f"{error.allowed_failures + 1} workers died over {item}"
        raise MitotoolsError("the cluster", why, "Is there too little memory?") from error
    except FutureCancelledError as error:
        raise MitotoolsError("the cluster", "the scheduler is gone, or gave the work up") from error


@contextmanager
def cluster(workers: int, scheduler: str, threads: int) -> Iterator[Cluster]:
    """Start `workers` processes on this machine, or use those of the scheduler at an address.

    Parameters
    ----------
    workers : int
        Ignored where `scheduler` is given.
    scheduler : str
        ``tcp://host:port``, or "".
    threads : int
        Of all local processes together.

    Raises
    ------
    MitotoolsError
        Where the scheduler does not answer, or its workers have another mitotools.
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # a worker that dies is replaced, in silence
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(NO_LIMITS))
        if scheduler:
            yield _running(stack.enter_context(_connected(scheduler)), scheduler)
            return
        each = max(threads // workers, 1)
        started = stack.enter_context(
            LocalCluster(
                n_workers=workers,
                threads_per_worker=each,
                memory_limit=0,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
        )
        yield Cluster(stack.enter_context(Client(started, set_as_default=False)), each * workers, workers)


def _connected(scheduler: str) -> Client:
    try:
        return Client(scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise MitotoolsError("--scheduler", f"{scheduler} does not answer ({error})") from error


def _running(client: Client, scheduler: str) -> Cluster:
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
        versions = set(client.run(_version).values())
    except (TimeoutError, ImportError) as error:
        why = f"{scheduler} has no workers that know mitotools ({error})"
        raise MitotoolsError("--scheduler", why) from error
    if versions != {mitotools.__version__}:
        other = ", ".join(sorted(versions))
        why = f"the workers of {scheduler} have mitotools {other}, not {mitotools.__version__}"
        raise MitotoolsError("--scheduler", why, "Install the same everywhere")
    threads = client.nthreads()
    return Cluster(client, sum(threads.values()), len(threads))


def _version() -> str:
    return mitotools.__version__


def _call(pickled: bytes, item: Item) -> Any:
    return _unpickled(pickled)(item)


@lru_cache(maxsize=4)
def _unpickled(pickled: bytes) -> Callable[[Any], Any]:
    """Return a function; the volumes it holds are opened once in a process, not once a block."""
    function: Callable[[Any], Any] = cloudpickle.loads(pickled)
    return function
