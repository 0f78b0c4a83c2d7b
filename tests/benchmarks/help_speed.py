"""Promise: `mitotools --help` answers in less than three times the time of `python -c 'import click'`.

Run: python tests/benchmarks/help_speed.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from promises import promise

RUNS = 15


def seconds(arguments: list[str]) -> float:
    """Return how long one run of Python takes."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Time both in turn, and print the median of the ratios."""
    ratios = [
        seconds(["-m", "mitotools", "--help"]) / seconds(["-c", "import click"]) for _ in range(RUNS + 1)
    ][1:]
    promise("mitotools --help", "python -c 'import click'", statistics.median(ratios), most=3)


if __name__ == "__main__":
    main()
