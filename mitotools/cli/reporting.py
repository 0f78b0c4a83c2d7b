"""Words and progress on standard error: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import re
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from mitotools.errors import UsageError
from mitotools.printable import printable
from mitotools.run.engine import available_threads
from mitotools.run.running import Running

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Item = TypeVar("Item")

LINE_EVERY_S = 60.0
"""Pause between two lines of progress where there is no terminal."""

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}

_SECONDS_IN_MINUTE = 60


def configure(command: str, *, quiet: bool, verbose: bool) -> None:
    """Send the package's messages to standard error, each as one line with the command's name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LineFormatter(command))
    logger = logging.getLogger("mitotools")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO)


def running_of(
    threads: int | None, memory: str | None, command_line: str, *, force: bool, show_progress: bool
) -> Running:
    """Return how a command runs, showing its progress in the way that suits standard error."""
    running = Running(
        threads or available_threads(),
        force,
        command_line=command_line,
        memory_bytes=parsed_bytes(memory) if memory else None,
    )
    if not show_progress:
        return running
    on_terminal = sys.stderr.isatty()
    return replace(
        running,
        track=_bar if on_terminal else _lines,
        status=_StatusLine(on_terminal=on_terminal),
    )


def parsed_bytes(text: str) -> int:
    """Return the bytes of ``2G``, ``512M``, ``1.5GiB``: units of 1024.

    Raises
    ------
    UsageError
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?", text.strip().upper(), re.ASCII)
    amount = float(match[1]) * UNITS[match[2]] if match else 0
    if not 0 < amount < UNITS["T"] * UNITS["K"]:
        raise UsageError("--memory", f"{text!r} is no amount of memory", "Say 2G, or 512M")
    return int(amount)


class _LineFormatter(logging.Formatter):
    def __init__(self, command: str) -> None:
        super().__init__()
        self._command = command

    def format(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return f"mitotools {self._command}: {level}{printable(' '.join(record.getMessage().split()))}"


class _StatusLine:
    """The latest state of a computation: rewritten in place on a terminal, else a line now and then."""

    def __init__(self, *, on_terminal: bool) -> None:
        self._on_terminal = on_terminal
        self._next_line_at = 0.0

    def __call__(self, text: str) -> None:
        """Show the state; an empty text ends the line."""
        if self._on_terminal:
            sys.stderr.write(f"\r\x1b[K{text}" if text else "\n")
            sys.stderr.flush()
        elif text and time.monotonic() >= self._next_line_at:
            self._next_line_at = time.monotonic() + LINE_EVERY_S
            logging.getLogger("mitotools").info("%s", text)


def _bar(items: Iterable[Item], total: int, label: str, unit: str) -> Iterator[Item]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} " + unit),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    start = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=total, rate="")
        for done, item in enumerate(items, start=1):
            yield item
            rate = done / max(time.monotonic() - start, 1e-9)
            progress.update(task, advance=1, rate=f"{rate:.1f} {unit}/s")


def _lines(items: Iterable[Item], total: int, label: str, unit: str) -> Iterator[Item]:
    start = time.monotonic()
    next_line_at = start + LINE_EVERY_S
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now >= next_line_at:
            next_line_at = now + LINE_EVERY_S
            rate = done / (now - start)
            logging.getLogger("mitotools").info(
                "%s: %d of %d %s, %.1f a second, %s left", label, done, total, unit, rate,
                minutes((total - done) / rate),
            )  # fmt: skip


def minutes(seconds: float) -> str:
    """Return a duration as ``M:SS``."""
    whole = round(seconds)
    return f"{whole // _SECONDS_IN_MINUTE}:{whole % _SECONDS_IN_MINUTE:02d}"
