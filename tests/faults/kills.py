"""Kill commands at random moments, and look at what is left: nothing, or all of it, and never half.

Run: python tests/faults/kills.py [--seed N] [--count N]      (PYTHONPATH: the project's folder and tests/)

After each kill the target is absent or complete, and an interrupted run (not a killed one) has removed its
temporaries. Then the command is run again, with --resume where it has it, and must make what an undisturbed
run made. Needs Linux's /proc.
"""

from __future__ import annotations

import os
import random
import re
import signal
import time
from pathlib import Path

from command_runs import started, wait_until
from faults.trials import CASES, Trials, ended, names, run

SIGNALS = ("SIGKILL", "SIGINT", "SIGTERM")


def kill(trials: Trials, name: str, how: str, part: float) -> str:
    """Kill a command after a part of its time, and run it again; return what was seen, in words."""
    seconds = trials.undisturbed(name).seconds
    place = trials.place(name)
    number = signal.Signals[how]
    process = started(place, *CASES[name].words)
    wait_until(lambda: hears(process.pid), process)  # before, Python answers a signal in its own way
    time.sleep(part * seconds)
    os.kill(process.pid, number)
    status, words = ended(process)
    expected = {0, -number if number is signal.SIGKILL else 130}
    assert status in expected, (status, words)
    trials.check(name, place, words, was_killed=number is signal.SIGKILL)
    left = ", ".join(names(place))
    trials.run_again(name, place)
    return f"status {status}; left: {left or 'nothing'}"


def hears(pid: int) -> bool:
    """Whether a process of Linux has a handler for SIGTERM."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def drawn(draw: random.Random) -> tuple[str, float]:
    """Return a signal, and the part of a command's time at which it is sent."""
    return draw.choice(SIGNALS), round(draw.uniform(0, 1.05), 4)


if __name__ == "__main__":
    run(__doc__, drawn, kill)
