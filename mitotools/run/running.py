"""What every command is told about how to run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from mitotools.run.engine import available_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

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


@dataclass(frozen=True)
class Running:
    """How a stage runs, none of which changes its result.

    Parameters
    ----------
    threads : int
    force : bool
        Replace outputs that exist.
    track : Tracker
        Shows the progress of a loop.
    status : callable
        Shows the state of a computation that has no fixed number of steps; an empty text ends it.
    command_line : str
        What the history of outputs records.
    """

    threads: int = field(default_factory=available_threads)
    force: bool = False
    track: Tracker = silent
    status: Callable[[str], None] = print_nothing
    command_line: str = ""
