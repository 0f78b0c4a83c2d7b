"""Run a command, and see how much memory it and its children have resident, all together."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from mitotools.run.memory import resident_bytes_of_all

EVERY_S = 0.02


@dataclass(frozen=True)
class Usage:
    """What a command took."""

    seconds: float
    peak_bytes: int


def measured(arguments: Sequence[object]) -> Usage:
    """Run `mitotools ARGUMENTS`, which must succeed, and sample the memory of its process tree."""
    start, peak = time.perf_counter(), 0
    process = subprocess.Popen([sys.executable, "-m", "mitotools", *map(str, arguments)])
    root = psutil.Process(process.pid)
    while process.poll() is None:
        with suppress(psutil.Error):
            peak = max(peak, resident_bytes_of_all(root))
        time.sleep(EVERY_S)
    if process.returncode != 0:
        raise SystemExit(f"mitotools {' '.join(map(str, arguments))} ended with status {process.returncode}")
    return Usage(time.perf_counter() - start, peak)
