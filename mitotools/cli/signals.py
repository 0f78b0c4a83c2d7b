"""Ctrl-C and SIGTERM: one KeyboardInterrupt that is not lost, and after it no words but ours."""

from __future__ import annotations

import signal
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED = 130
"""The exit status, as shells have it."""

SOON_S = 0.02
"""After which an interruption is tried again that came where none can be raised."""

_raised: list[int] = []


def hear_signals() -> None:
    """Raise KeyboardInterrupt for SIGTERM, and for SIGINT unless a shell has it ignored, in the background.

    While a library is imported it waits for the end, since C code makes other errors of it. It waits as well
    where a block is entered or left: its `finally` would be skipped. In a destructor, or a callback of C
    code, Python drops it: it is raised once more.
    """
    caller = sys._getframe(1)

    def interrupt(number: int, frame: FrameType | None) -> None:
        if frame and frame.f_globals.get("__name__") == "contextlib":
            _soon()
            return
        while frame and frame is not caller:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                _soon()
                return
            frame = frame.f_back
        _raised.append(number)
        silence_libraries()
        raise KeyboardInterrupt

    sys.unraisablehook = _raise_or_say
    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, interrupt)


def was_interrupted() -> bool:
    """Whether KeyboardInterrupt was raised, of which libraries may have made another error."""
    return bool(_raised)


def ignore_signals() -> None:
    """Let what is done be done: from here on nothing interrupts."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)


def silence_libraries() -> None:
    """Keep libraries from complaining of what was left in the middle, where we say why."""
    sys.unraisablehook = _raise_again
    warnings.simplefilter("ignore")
    if "asyncio" in sys.modules:
        import logging

        logging.getLogger("asyncio").disabled = True


def _soon() -> None:
    """Have SIGTERM answered, by whoever does so then."""

    def answer(_: int, frame: FrameType | None) -> None:
        handler = signal.getsignal(signal.SIGTERM)
        if callable(handler):
            handler(signal.SIGTERM, frame)

    signal.signal(signal.SIGALRM, answer)
    signal.setitimer(signal.ITIMER_REAL, SOON_S)


def _raise_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Raise again an interruption that Python dropped."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        _soon()


def _raise_or_say(unraisable: sys.UnraisableHookArgs) -> None:
    """Raise again an interruption that Python dropped; say any other error, as Python would."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        _soon()
    else:
        sys.__unraisablehook__(unraisable)
