"""Where plots may go, found before what they show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitotools.errors import UsageError
from mitotools.view.plot_file import SUFFIXES
from mitotools.volume.atomic import check_file

if TYPE_CHECKING:
    from pathlib import Path


def check_plot(file: Path, *, force: bool) -> None:
    """Raise an error where a plot cannot be written, so that no work is done in vain.

    Raises
    ------
    UsageError, TargetError
    """
    if file.suffix.lower() not in SUFFIXES:
        raise UsageError(str(file), f"a plot is one of {', '.join(SUFFIXES)}")
    check_file(file, force=force)
