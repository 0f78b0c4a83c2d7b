"""Kill commands right before each change that they make to names of files: outputs, histories, journals.

Run: python tests/faults/moments.py [--only PART]      (PYTHONPATH: the project's folder and tests/)

Random moments (kills.py) seldom fall between two of these. Each command writes something new, and replaces
what is there; the next run must find what it needs, and leave what an undisturbed run leaves.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from command_runs import environment
from faults.trials import CASES, Trials, ended, names

SIGNALS = (signal.SIGKILL, signal.SIGINT)


def changes(trials: Trials, name: str, *, replaces: bool) -> list[str]:
    """Return what a command changes, in the order in which it does."""
    place = trials.place(name)
    status, words = disturbed(trials, name, place, -1, signal.SIGKILL, replaces=replaces)
    assert status == 0, words
    return place.with_name(f"{place.name}.changes").read_text().splitlines()


def kill(trials: Trials, name: str, number: int, how: signal.Signals, *, replaces: bool) -> str:
    """Kill a command before one of its changes, and run it again; return what was seen, in words."""
    place = trials.place(name)
    status, words = disturbed(trials, name, place, number, how, replaces=replaces)
    assert status in {0, -how if how is signal.SIGKILL else 130}, (status, words)
    trials.check(name, place, words, was_killed=how is signal.SIGKILL, replaces=replaces)
    left = ", ".join(names(place))
    trials.run_again(name, place, replaces=replaces)
    return f"status {status}; left: {left or 'nothing'}"


def disturbed(
    trials: Trials, name: str, place: Path, number: int, how: signal.Signals, *, replaces: bool
) -> tuple[int, str]:
    """Run a command in a folder, with a signal before one of its changes; return its status and words."""
    words = list(CASES[name].words)
    if replaces:
        words.append("--force")
        for entry in trials.undisturbed(name).place.iterdir():
            if entry.is_file():
                shutil.copy2(entry, place)
            elif entry.name != "temporary":
                shutil.copytree(entry, place / entry.name, dirs_exist_ok=True)
    return ended(
        subprocess.Popen(
            [sys.executable, "-m", "faults.changing", str(number), str(int(how)), *words],
            cwd=place,
            env=environment(place),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    )


def every_moment(trials: Trials, name: str, *, replaces: bool) -> Iterator[tuple[int, str, signal.Signals]]:
    """Yield the number of each change that a command makes, what it is, and a signal."""
    for number, change in enumerate(changes(trials, name, replaces=replaces)):
        for how in SIGNALS:
            yield number, change, how


def main() -> None:
    """Try every moment of every command, print a line each, and exit: with 1 if any was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="part of the names of cases")
    only = parser.parse_args().only
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        trials = Trials(Path(folder))
        chosen = [name for name in CASES if only in name]
        list(pool.map(trials.undisturbed, chosen))
        cases = [
            (name, replaces, moment)
            for name in chosen
            for replaces in (False, True)
            for moment in every_moment(trials, name, replaces=replaces)
        ]

        def tried(case: tuple[str, bool, tuple[int, str, signal.Signals]]) -> bool:
            name, replaces, (number, change, how) = case
            try:
                seen, is_wrong = kill(trials, name, number, how, replaces=replaces), False
            except AssertionError as error:
                seen, is_wrong = f"WRONG: {error}", True
            print(f"{name}{' --force' if replaces else ''}\t{change}\t{how.name}\t{seen}", flush=True)
            return is_wrong

        wrong = sum(pool.map(tried, cases))
    print(f"{len(cases)} kills: {wrong} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
