"""What can go wrong, in words for the person at the terminal."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class MitotoolsError(Exception):
    """A failure that the user can act on, reported as one line without a traceback.

    Parameters
    ----------
    what : str
        The thing that is wrong: a path, an option, a step.
    why : str
        What is wrong with it. No full stop at the end.
    what_next : str, optional
        What the user can do about it. No full stop at the end.
    """

    def __init__(self, what: str, why: str, what_next: str = "") -> None:
        super().__init__(what, why, what_next)
        self.what = what
        self.why = why
        self.what_next = what_next

    def __str__(self) -> str:
        """One line: ``WHAT: WHY. WHAT NEXT.``."""
        line = f"{self.what}: {self.why}."
        if self.what_next:
            line += f" {self.what_next}" + ("" if self.what_next.endswith("?") else ".")
        return " ".join(line.split())


class InputError(MitotoolsError):
    """An input that is missing, unreadable, or not what the command needs."""


class TargetError(MitotoolsError):
    """An output that exists already, or cannot be written."""


class ModelError(MitotoolsError):
    """A file that is no model, or a model that does not fit its use."""


class MachineError(MitotoolsError):
    """Memory, a device or a library that is not to be had here."""


class UsageError(MitotoolsError):
    """A wrong combination of arguments: exit status 2."""


@contextmanager
def extra(what: str, library: str, name: str) -> Iterator[None]:
    """Say what to install where the import of an optional library fails.

    Parameters
    ----------
    what : str
        What needs it: an option, a method.
    library : str
        What to call it.
    name : str
        The extra of mitotools that brings it.

    Raises
    ------
    MitotoolsError
    """
    try:
        yield
    except ImportError as error:
        why = f"needs {library}, which cannot be loaded ({error})"
        raise MitotoolsError(what, why, f"pip install 'mitotools[{name}]'") from error
