"""Ctrl-C, and the signal by which job schedulers end a job: what has to be whole before they take effect."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


@contextmanager
def uninterrupted() -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Let interruptions wait for the end of the block: what is changed by half cannot be continued.

    What it yields, called, makes a block within in which they take effect. Then there is no moment, before
    and behind, in which one could come between what the outer block makes, and the try that removes it:

        with uninterrupted() as interruptible:
            folder.mkdir()
            try:
                with interruptible():
                    ...
            finally:
                folder.rmdir()
    """
    if threading.current_thread() is not threading.main_thread():  # where signals never arrive
        yield nullcontext
        return
    caught: list[int] = []
    is_over = False
    # Ctrl-C last: it may be answered at once, while nothing else is left to be given back.
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def wait() -> None:
        for number in before:
            signal.signal(number, lambda number, _: caught.append(number))

    def answer() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        if caught:  # what failed in the block may have failed because of it
            first = caught[0]
            caught.clear()
            signal.raise_signal(first)

    @contextmanager
    def interruptible() -> Iterator[None]:
        try:
            answer()
            yield
        finally:
            if not is_over:
                wait()

    try:
        wait()
        yield interruptible
    finally:
        is_over = True
        answer()


@contextmanager
def deaf_processes() -> Iterator[None]:
    """Let processes that are started in the block, and by threads of it, not hear Ctrl-C.

    A terminal sends it to all of them, while it is for this one to end the others.
    """
    from multiprocessing import resource_tracker  # noqa: PLC0415 (every command would wait for it)

    resource_tracker.ensure_running()  # it would unblock the signal when it starts (before Python 3.12)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
