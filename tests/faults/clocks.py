"""Set the clock while commands run, an hour forth and back: they make what they make anyway.

But Dask waits by that clock, and may say that its workers did not come in time.

Run: python tests/faults/clocks.py [--count N]      (PYTHONPATH: the project's folder and tests/)

Needs a C compiler, and Linux's LD_PRELOAD.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from command_runs import started
from faults.trials import CASES, Trials, compiled, ended, run

SOURCE = "jumping_clock.c"


def jump(trials: Trials, shim: Path, name: str) -> str:
    """Run a command under a clock that jumps, and again under a good one; say what was seen."""
    place = trials.place(name)
    status, words = ended(started(place, *CASES[name].words, LD_PRELOAD=str(shim)))
    assert status == 0 or "--workers: cannot be started" in words, (status, words)
    trials.check(name, place, words)
    trials.run_again(name, place)
    return f"status {status}"


def drawn(_: random.Random) -> tuple[()]:
    """Return how clocks differ: they do not."""
    return ()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        shim = compiled(SOURCE, Path(name))
        run(__doc__, drawn, lambda trials, case: jump(trials, shim, case))
