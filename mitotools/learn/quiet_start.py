"""What the server loads that forks loader processes: one that starts while its training ends says nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType


def _say_what_matters(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an exception, unless it is that pipes and semaphores are gone, or Ctrl-C."""
    if not issubclass(kind, OSError | EOFError | KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _say_what_matters
