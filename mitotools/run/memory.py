"""How much memory there is to have, and how much this process has."""

from __future__ import annotations

import ctypes
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator


def resident_bytes() -> int:
    """Return the resident memory of this process, without what the blocks of an earlier step have left."""
    with suppress(OSError, AttributeError):  # glibc keeps what was freed; others do so less
        ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_info().rss)


def resident_bytes_of_all(process: psutil.Process | None = None) -> int:
    """Return the resident memory of a process, by default this one, and all that it started."""
    total = 0
    process = process or psutil.Process()
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.Error):  # it has ended since
            total += int(one.memory_info().rss)
    return total


def free_bytes(groups: Path = Path("/sys/fs/cgroup"), own_groups: Path = Path("/proc/self/cgroup")) -> int:
    """Return the memory that this process could get: of the machine, or of its control groups.

    Parameters
    ----------
    groups : Path
        Where the control groups are, of version 2 or 1.
    own_groups : Path
        The list of this process's.
    """
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):
        for line in own_groups.read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers == "":
                free = min([free, *_left(groups, name, _VERSION_2)])
            elif "memory" in controllers.split(","):
                free = min([free, *_left(groups / "memory", name, _VERSION_1)])
    return max(free, 0)


_VERSION_2 = ("memory.max", "memory.current", "inactive_file")
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _left(root: Path, name: str, files: tuple[str, str, str]) -> Iterator[int]:
    """Yield what a control group, and each that it is in, leaves of its limit."""
    limit, used, cache = files
    own = root / name.lstrip("/")
    for folder in (own, *own.parents):
        with suppress(OSError, ValueError):  # "max", or not mounted here
            left = int((folder / limit).read_text()) - int((folder / used).read_text())
            # The kernel counts files that it keeps in memory as used, and gives them up when asked.
            kept = re.search(rf"^{cache} (\d+)$", _text(folder / "memory.stat"), re.MULTILINE)
            yield left + (int(kept[1]) if kept else 0)
        if folder == root:
            return


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""
