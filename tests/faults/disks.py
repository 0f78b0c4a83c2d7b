"""Let the disk fail in the middle of commands: full, broken, or taking less than it is given.

Run: python tests/faults/disks.py [--seed N] [--faults N]      (PYTHONPATH: the project's folder and tests/)

Needs a C compiler, and Linux's LD_PRELOAD. A failure is one line that names it, the target absent or whole;
on a disk that is well again, the next run makes what an undisturbed one does. Short writes are no failure.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from faults.trials import CASES, Trials, begin, ended

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
    status, words = ended(begin(place, CASES[name].words, broken))
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


def main() -> None:
    """Let disks fail as the command line asks, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--only", default="", help="part of the names of cases")
    chosen = parser.parse_args()
    draw = random.Random(chosen.seed)  # noqa: S311 (a test, no secret)
    names = [name for name in CASES if chosen.only in name]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        trials, shim = Trials(Path(folder)), library(Path(folder))
        for number in range(chosen.faults):
            name, (kind, after) = names[number % len(names)], drawn(draw)
            try:
                seen = fail(trials, shim, name, kind, after)
            except AssertionError as error:
                wrong += 1
                seen = f"WRONG: {error}"
            print(f"{number + 1}\t{name}\t{kind}\t{after}\t{seen}", flush=True)
    print(f"{chosen.faults} faults, seed {chosen.seed}: {wrong} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
