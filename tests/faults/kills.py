"""Kill commands at random moments, and look at what is left: nothing, or all of it, and never half.

Run: python tests/faults/kills.py [--seed N] [--kills N]      (PYTHONPATH: the project's folder and tests/)

After each kill the target is absent or complete, and an interrupted run (not a killed one) has removed its
temporaries. Then the command is run again, with --resume where it has it, and must make what an undisturbed
run made.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from command_runs import names_in
from faults.trials import CASES, Trials, begin, ended

SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)

EARLIEST_S = 0.3
"""Python itself starts, and answers a signal its own way."""


def kill(trials: Trials, name: str, number: signal.Signals, part: float) -> str:
    """Kill a command after a part of its time, and run it again; return what was seen, in words."""
    seconds = trials.undisturbed(name).seconds
    place = trials.place(f"{name} {number.name} {part}")
    process = begin(place, CASES[name].words)
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


def drawn(draw: random.Random) -> tuple[signal.Signals, float]:
    """Return a signal, and the part of a command's time at which it is sent."""
    return draw.choice(SIGNALS), round(draw.uniform(0, 1.05), 4)


def run(trials: Trials, seed: int, count: int, only: str = "") -> int:
    """Kill at random, print a line each, and return how often something was wrong."""
    draw = random.Random(seed)  # noqa: S311 (a test, no secret)
    names = [name for name in CASES if only in name]
    wrong = 0
    for number in range(count):
        name = names[number % len(names)]
        how, part = drawn(draw)
        try:
            seen = kill(trials, name, how, part)
        except AssertionError as error:
            wrong += 1
            seen = f"WRONG: {error}"
        print(f"{number + 1}\t{name}\t{how.name}\t{part}\t{seen}", flush=True)
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--only", default="", help="part of the names of cases")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        wrong = run(Trials(Path(name)), chosen.seed, chosen.kills, chosen.only)
    print(f"{chosen.kills} kills, seed {chosen.seed}: {wrong} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
