"""Blocks on the processes of a Dask cluster: one of this machine's own, or one that runs already.

Loads Dask, which is an extra; `Running.engine` imports this when it is asked for processes.
"""

from __future__ import annotations

import logging
import re
import time
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlparse

import cloudpickle
import dask
from distributed import Client, LocalCluster
from distributed.scheduler import KilledWorker

import mitotools
from mitotools.errors import MitotoolsError, UsageError
from mitotools.interruption import deaf_processes, uninterrupted
from mitotools.run.memory import free_bytes
from mitotools.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_TASKS = 10_000
"""In flight: the scheduler holds no more of a graph, however many blocks there are."""

AHEAD = 3
"""Tasks in flight for every one that is computed, so that no worker waits for the next."""

CONNECT_S = 10
"""How long a scheduler may take to answer."""

FIRST_WORKER_S = 30
"""How long the first of its workers may take."""

LOOK_EVERY_S = 2.0
"""How long nothing is finished before it is asked whether there are workers."""

WITHOUT_WORKERS_S = 120.0
"""How long a cluster may be without workers: a queue may be about to send some."""

LAST_BLOCKS_S = 60.0
"""How long blocks that are not wanted any more may take to finish."""

_ADDRESS = re.compile(r"(\w+://)?(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):\d+")

_GONE = "the scheduler is gone, or gave the work up"

# Memory is the budget's business: Dask would pause, spill or kill.
SETTINGS: dict[str, object] = {
    f"distributed.worker.memory.{action}": False for action in ("target", "spill", "pause", "terminate")
}
SETTINGS["distributed.admin.large-graph-warning-threshold"] = "1TB"  # a function may name many tiles


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster as an engine: see `run.engine.Engine`."""

    client: Client
    threads: int
    processes: int

    @property
    def free_bytes(self) -> int:
        """Memory that is free on all machines that have a worker."""
        of_host: dict[str, int] = {}
        for address, free in self.client.run(free_bytes).items():
            host = urlparse(str(address)).hostname or str(address)
            of_host[host] = min(free, of_host.get(host, free))
        return sum(of_host.values())

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], slots: int
    ) -> Generator[tuple[Item, Result]]:
        """Yield (item, function(item)) as they are finished; blocks of workers that die are begun anew."""
        # A task of its own, so that workers hand it to each other: it may name 10^5 tiles.
        pickled = self.client.submit(_itself, cloudpickle.dumps(function), pure=False)
        source = iter(items)
        waiting: dict[str, tuple[Any, Item]] = {}
        finished: Queue[Any] = Queue()

        def begin(count: int) -> None:
            for item in islice(source, count):
                future = self.client.submit(_call, pickled, item, pure=False)
                waiting[future.key] = (future, item)
                future.add_done_callback(finished.put)

        ahead = slots if slots < self.threads else AHEAD * slots
        begin(min(ahead, MOST_TASKS))
        try:
            while waiting:
                future = self._next(finished, waiting)
                if future.key not in waiting:  # it has been found before Dask told of it
                    continue
                _, item = waiting.pop(future.key)
                result = _result(future, item)
                begin(1)
                yield item, result
        finally:
            if waiting:
                self._give_up([future for future, _ in waiting.values()])

    def _next(self, finished: Queue[Any], waiting: dict[str, tuple[Any, Item]]) -> Any:
        """Return a finished task; an error where there has been nobody to work on any for too long."""
        lonely_since = None
        while True:
            with suppress(Empty):
                return finished.get(timeout=LOOK_EVERY_S)
            for future, _ in waiting.values():
                if future.done():  # Dask tells on a thread of its own, which it may not have got
                    return future
            if self._workers():
                lonely_since = None
            elif lonely_since is None:
                lonely_since = time.monotonic()
                log.warning("the cluster has no workers left: waiting %g s for others", WITHOUT_WORKERS_S)
            elif time.monotonic() - lonely_since > WITHOUT_WORKERS_S:
                why = f"has had no workers for {WITHOUT_WORKERS_S:g} s"
                raise MitotoolsError("the cluster", why, "Start some")

    def _workers(self) -> int:
        try:
            return len(self.client.nthreads())
        except (OSError, TimeoutError, CancelledError) as error:
            raise MitotoolsError("the cluster", _GONE) from error

    def _give_up(self, futures: list[Any]) -> None:
        """Cancel tasks, and wait for those that workers have begun: they may write what is to be deleted."""
        until = time.monotonic() + LAST_BLOCKS_S
        with suppress(OSError, TimeoutError, CancelledError):
            self.client.cancel(futures)
            while any(self.client.run(_running_calls, on_error="ignore").values()):
                if time.monotonic() > until:
                    return
                time.sleep(0.05)


def _result(future: Any, item: object) -> Any:
    try:
        result = future.result()
    except KilledWorker as error:
        why = f"{error.allowed_failures + 1} workers died over {item}"
        raise MitotoolsError("the cluster", why, "Is there too little memory?") from error
    except Exception as error:
        if future.status == "error":  # the block's own
            raise
        raise MitotoolsError("the cluster", _GONE) from error
    if isinstance(result, _Failure):
        raise result.error
    return result


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
    UsageError
        Where the address is none.
    """
    for name in list(logging.root.manager.loggerDict):  # each of Dask's has a level of its own
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)  # a worker that dies is replaced, in silence
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(SETTINGS))
        if scheduler:
            yield _running(stack.enter_context(_connected(scheduler)), scheduler)
            return
        each = max(threads // workers, 1)
        started = stack.enter_context(_started(workers, each))
        yield Cluster(stack.enter_context(Client(started, set_as_default=False)), each * workers, workers)


@contextmanager
def _started(workers: int, threads: int) -> Iterator[LocalCluster]:
    with temporary_folder() as folder, ExitStack() as stack:
        try:
            with uninterrupted(), deaf_processes():  # a cluster that is started by half cannot be closed
                started = stack.enter_context(
                    LocalCluster(
                        n_workers=workers,
                        threads_per_worker=threads,
                        memory_limit=0,
                        dashboard_address="127.0.0.1:0",
                        silence_logs=logging.CRITICAL,
                        local_directory=str(folder),
                    )
                )
        except (OSError, RuntimeError) as error:
            raise MitotoolsError("--workers", f"cannot be started ({error})") from error
        yield started


def _connected(scheduler: str) -> Client:
    if not _ADDRESS.fullmatch(scheduler):
        raise UsageError("--scheduler", f"{scheduler!r} is no address", "Say tcp://host:port")
    try:
        return Client(scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise MitotoolsError("--scheduler", f"{scheduler} does not answer ({error})") from error


def _running(client: Client, scheduler: str) -> Cluster:
    try:
        client.wait_for_workers(1, timeout=FIRST_WORKER_S)
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


def _itself(pickled: bytes) -> bytes:
    return pickled


@dataclass(frozen=True)
class _Failure:
    """An error in words, on its way to the client."""

    error: MitotoolsError | OSError

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the error without its causes."""
        return _failure, (type(self.error), self.error.args)


def _failure(kind: type[MitotoolsError | OSError], arguments: tuple[Any, ...]) -> _Failure:
    return _Failure(kind(*arguments))


_calls_running: list[None] = []


def _running_calls() -> int:
    """Return how many blocks this worker process computes."""
    return len(_calls_running)


def _call(pickled: bytes, item: Item) -> Any:
    _calls_running.append(None)
    try:
        return _unpickled(pickled)(item)
    except (MitotoolsError, OSError) as error:
        # Raised, an error with a long story (causes, tracebacks) would reach the client as bare text.
        return _Failure(error.with_traceback(None))
    finally:
        _calls_running.pop()


@lru_cache(maxsize=4)
def _unpickled(pickled: bytes) -> Callable[[Any], Any]:
    """Return a function; the volumes it holds are opened once in a process, not once a block."""
    function: Callable[[Any], Any] = cloudpickle.loads(pickled)
    return function
