"""Let the disk fail in the middle of commands: full, broken, or taking less than it is given.

Run: python tests/faults/disks.py [--seed N] [--count N]      (PYTHONPATH: the project's folder and tests/)

Needs a C compiler, and Linux's LD_PRELOAD. A failure is one line that names it, the target absent or whole;
on a disk that is well again, the next run makes what an undisturbed one does. Short writes are no failure.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from command_runs import started
from faults.trials import CASES, Trials, compiled, ended, run

SOURCE = "failing_disk.c"

WORDS = {"ENOSPC": "No space left on device", "EIO": "Input/output error"}
KINDS = (*WORDS, "SHORT")

MOST_WRITES = 60
"""After which the first one fails; commands here make some dozens to thousands."""


def fail(trials: Trials, shim: Path, name: str, kind: str, after: int) -> str:
    """Run a command on a disk that fails after some writes, and again on a good one; say what was seen."""
    place = trials.place(name)
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
        shim = compiled(SOURCE, Path(name))
        run(__doc__, drawn, lambda trials, *case: fail(trials, shim, *case))
