"""The most memory that a process has had.

What `getrusage` calls so counts the process that started this one as well, and so hides what this one took.
"""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

IMPORT = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from peak_memory import peak_kib\n"
"""For programs that run in a process of their own."""

STATUS = Path("/proc/self/status")


def peak_kib():
    if not STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
    return int(re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text())[1])
