"""What every command is told about how to run."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from mitotools.errors import extra
from mitotools.run.engine import Threads, available_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mitotools.run.engine import Engine

Item = TypeVar("Item")


class Tracker(Protocol):
    """Shows how far a loop has come."""

    def __call__(self, items: Iterable[Item], total: int, label: str, unit: str) -> Iterator[Item]:
        """Yield the items; `total` of them, each one `unit`."""


def silent(items: Iterable[Item], total: int, label: str, unit: str) -> Iterator[Item]:  # noqa: ARG001
    """Yield the items and show nothing."""
    yield from items


def print_nothing(text: str) -> None:
    """Show no state."""


@contextmanager
def without_warnings(logger: str) -> Iterator[None]:
    """Let what logs under a name say nothing but errors."""
    named = logging.getLogger(logger)
    level = named.level
    named.setLevel(logging.ERROR)
    try:
        yield
    finally:
        named.setLevel(level)


@dataclass(frozen=True)
class Running:
    """How a stage runs, none of which changes its result.

    Parameters
    ----------
    threads : int
        Of all local processes together.
    force : bool
        Replace outputs that exist.
    track : Tracker
        Shows the progress of a loop.
    status : callable
        Shows the state of a computation that has no fixed number of steps; an empty text ends it.
    command_line : str
        What the history of outputs records.
    memory_bytes : int, optional
        The most that all processes may have in memory; None: half of what is free.
    workers : int
        Local processes; 0: this one alone.
    scheduler : str
        Address of a running Dask scheduler, or "".
    resume : bool or None
        Continue an unfinished output; None where the command cannot.
    dry_run : callable, optional
        Receives what a stage would need, by name; nothing is computed then.
    opened : Engine, optional
        What computes blocks, where it is open already (see `with_engine`).
    """

    threads: int = field(default_factory=available_threads)
    force: bool = False
    track: Tracker = silent
    status: Callable[[str], None] = print_nothing
    command_line: str = ""
    memory_bytes: int | None = None
    workers: int = 0
    scheduler: str = ""
    resume: bool | None = None
    dry_run: Callable[[Mapping[str, str]], None] | None = None
    opened: Engine | None = None

    @property
    def is_distributed(self) -> bool:
        """Whether other processes compute the blocks."""
        return bool(self.workers or self.scheduler)

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """Yield what computes blocks."""
        if self.opened is not None:
            yield self.opened
            return
        if not self.is_distributed:
            yield Threads(self.threads)
            return
        with extra("--scheduler" if self.scheduler else "--workers", "Dask", "cluster"):
            from mitotools.run.cluster import cluster  # noqa: PLC0415 (loads Dask, an extra)
        with cluster(self.workers, self.scheduler, self.threads) as engine:
            yield engine

    @contextmanager
    def with_engine(self) -> Iterator[tuple[Running, Engine]]:
        """Yield an engine, and this with it: for a stage of several steps, which would each start one."""
        with self.engine() as engine:
            yield replace(self, opened=engine), engine
