"""Ctrl-C, and the signal by which job schedulers end a job: what has to be whole before they take effect."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let interruptions wait for the end of the block: what is changed by half cannot be continued."""
    if threading.current_thread() is not threading.main_thread():  # where signals never arrive
        yield
        return
    caught: list[int] = []

    def wait(number: int, _: FrameType | None) -> None:
        caught.append(number)

    before = {number: signal.signal(number, wait) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if caught:  # what failed in the block may have failed because of it
            signal.raise_signal(caught[0])


@contextmanager
def deaf_processes() -> Iterator[None]:
    """Let processes that are started in the block, and by threads of it, not hear Ctrl-C.

    A terminal sends it to all of them, while it is for this one to end the others.
    """
    resource_tracker.ensure_running()  # it would unblock the signal when it starts (before Python 3.12)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
