"""Give commands too little address space: they end well, or say so in one line, and leave nothing half done.

Run: python tests/faults/memory.py [--seed N] [--count N]      (PYTHONPATH: the project's folder and tests/)

C++ libraries and the loader that get no memory end the process; Python waits for ever for a thread that got
none when it began, and OpenBLAS asks for it for ever, or exits with words of its own: that counts as a kill.
With memory again, the next run makes what an undisturbed one does.
"""

from __future__ import annotations

import random
import signal
import subprocess

import psutil
from command_runs import printed_by, started
from faults.trials import CASES, Trials, run

LEAST_MIB, MOST_MIB = 400, 2000
"""Of address space: below, Python hardly starts; above, none of these commands notices."""

ENDED_BY_LIBRARIES = (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS, 127)


def starve(trials: Trials, name: str, mebibytes: int) -> str:
    """Run a command in so much address space, and again in all there is; say what was seen."""
    place = trials.place(name)
    process = started(place, *CASES[name].words)
    psutil.Process(process.pid).rlimit(psutil.RLIMIT_AS, (mebibytes * 2**20,) * 2)
    try:
        _, words = printed_by(process)
        expected: tuple[int, ...] = (0, 1, *ENDED_BY_LIBRARIES)
    except subprocess.TimeoutExpired:
        _, words = process.communicate()
        expected = (-signal.SIGKILL,)
    status = process.returncode
    assert status in expected, (status, words)
    was_killed = status not in (0, 1) or "OpenBLAS error" in words
    trials.check(name, place, words, was_killed=was_killed)
    trials.run_again(name, place)
    return f"status {status}: {words.splitlines()[-1] if words else ''}"


def drawn(draw: random.Random) -> tuple[int]:
    """Return how much there is."""
    return (round(LEAST_MIB * (MOST_MIB / LEAST_MIB) ** draw.random()),)


if __name__ == "__main__":
    run(__doc__, drawn, starve)
