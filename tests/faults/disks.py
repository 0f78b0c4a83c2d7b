"""Let the disk fail in the middle of commands: full, broken, or taking less than it is given.

Run: python tests/faults/disks.py [--seed N] [--count N]      (PYTHONPATH: the project's folder and tests/)

Needs a C compiler, and Linux's LD_PRELOAD. A failure is one line that names it, the target absent or whole;
on a disk that is well again, the next run makes what an undisturbed one does. Short writes are no failure.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from command_runs import started
from faults.trials import CASES, Trials, ended, run

SOURCE = Path(__file__).with_name("failing_disk.c")

WORDS = {"ENOSPC": "No space left on device", "EIO": "Input/output error"}
KINDS = (*WORDS, "SHORT")

MOST_WRITES = 60
"""After which the first one fails; commands here make some dozens to thousands."""


def compiler() -> str | None:
    """Return the C compiler, if there is one, and a loader that takes what it makes."""
    return shutil.which("cc") if sys.platform == "linux" else None


def library(folder: Path) -> Path:
    """Compile what makes a disk fail."""
    target = folder / "failing_disk.so"
    command = [compiler() or "cc", "-shared", "-fPIC", "-O1", "-o", str(target), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return target


def fail(trials: Trials, shim: Path, name: str, kind: str, after: int) -> str:
    """Run a command on a disk that fails after some writes, and again on a good one; say what was seen."""
    place = trials.place(f"{name} {kind} {after}")
    broken = {
        "LD_PRELOAD": str(shim),
        "FAULT_FOLDER": str(place),
        "FAULT_KIND": kind,
        "FAULT_AFTER": str(after),
    }
    status, words = ended(started(place, *CASES[name].words, **broken))
    if kind == "SHORT":
        assert status == 0, words
    if status:
        assert status == 1, (status, words)
        assert WORDS[kind] in words, words
    trials.check(name, place, words)
    trials.run_again(name, place)
    return f"status {status}"


def drawn(draw: random.Random) -> tuple[str, int]:
    """Return how a disk fails, and after how many writes."""
    return draw.choice(KINDS), int(MOST_WRITES ** draw.random()) - 1


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        shim = library(Path(name))
        run(__doc__, drawn, lambda trials, *case: fail(trials, shim, *case))
