"""Kill commands at random moments, and look at what is left: nothing, or all of it, and never half.

Run: python tests/faults/kills.py [--seed N] [--count N]      (PYTHONPATH: the project's folder and tests/)

After each kill the target is absent or complete, and an interrupted run (not a killed one) has removed its
temporaries. Then the command is run again, with --resume where it has it, and must make what an undisturbed
run made.
"""

from __future__ import annotations

import os
import random
import signal
import time

from command_runs import names_in, started
from faults.trials import CASES, Trials, ended, run

SIGNALS = ("SIGKILL", "SIGINT", "SIGTERM")

EARLIEST_S = 0.3
"""Python itself starts, and answers a signal its own way."""


def kill(trials: Trials, name: str, how: str, part: float) -> str:
    """Kill a command after a part of its time, and run it again; return what was seen, in words."""
    seconds = trials.undisturbed(name).seconds
    place = trials.place(f"{name} {how} {part}")
    number = signal.Signals[how]
    process = started(place, *CASES[name].words)
    time.sleep(EARLIEST_S + part * max(seconds - EARLIEST_S, 0))
    os.kill(process.pid, number)
    status, words = ended(process)
    expected = {0, -number if number is signal.SIGKILL else 130}
    if "interrupted." in words:  # Python ends so where the interruption came in code that was a string
        expected.add(-signal.SIGINT)
    assert status in expected, (status, words)
    trials.check(name, place, words, was_killed=number is signal.SIGKILL)
    left = ", ".join(names_in(place))
    trials.run_again(name, place)
    return f"status {status}; left: {left or 'nothing'}"


def drawn(draw: random.Random) -> tuple[str, float]:
    """Return a signal, and the part of a command's time at which it is sent."""
    return draw.choice(SIGNALS), round(draw.uniform(0, 1.05), 4)


if __name__ == "__main__":
    run(__doc__, drawn, kill)
