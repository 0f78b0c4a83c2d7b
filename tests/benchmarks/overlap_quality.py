"""Promise: windows that overlap by a quarter cost no quality beside windows that overlap by more.

Maps are predicted with each overlap, without mirror images, decoded with the model's options and evaluated;
the time is that of the whole command, beside that of windows that do not overlap.

Run: python tests/benchmarks/overlap_quality.py FOLDER [MODEL RAW LABELS [IGNORE]]
By default the model that comes along, on the sample in examples/data that it has not seen.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from learning_quality import mitotools

SAMPLE = Path(__file__).parents[2] / "examples" / "data" / "medulla_test.h5"
OVERLAPS = ("0", "0.25", "0.5", "0.67")


def main() -> None:
    """Print the table, a row when it is known."""
    folder, *given = sys.argv[1:]
    model, raw, labels, *ignore = given or ("bundled", f"{SAMPLE}:raw", f"{SAMPLE}:labels")
    maps, found = (f"{folder}/{name}.zarr" for name in ("maps", "labels"))
    print("| overlap | AP-75 | AP-50:95 | Jaccard | instances | time |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    here, without = Path(), 0.0
    for overlap in OVERLAPS:
        begun = time.monotonic()
        mitotools(here, "", "predict", raw, maps, "-m", model, "--overlap", overlap, "-q", "-f")
        seconds = time.monotonic() - begun
        without = without or seconds
        mitotools(here, "", "decode", maps, found, "-q", "-f")
        words = [word for one in ignore for word in ("--ignore", one)]
        words += ["--format", "json"]
        report: dict[str, Any] = json.loads(mitotools(here, "", "evaluate", found, labels, *words))
        ap, jaccard = report["ap"], report["foreground"]["jaccard"]
        print(
            f"| {overlap} | {ap['0.75']['all']:.3f} | {ap['0.50:0.95']['all']:.3f} | {jaccard:.4f} | "
            f"{report['prediction']['instances']} | {seconds / without:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
