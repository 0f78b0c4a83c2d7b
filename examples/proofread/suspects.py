"""Print the instances that are most worth a look: unusually large or small, or held together by little.

Run: python suspects.py STATS.tsv SCORES.tsv COUNT

STATS.tsv is what `mitotools stats` prints, SCORES.tsv what `mitotools decode --scores` wrote. An instance is
as suspicious as the rarest thing about it: its volume among all volumes, or its score among all scores. What
the border cuts is not called small.
"""

from __future__ import annotations

import csv
import sys
from typing import Any


def rows_of(file: str) -> dict[int, dict[str, Any]]:
    """Return the rows of a table by id."""
    with open(file, newline="", encoding="utf-8") as table:  # noqa: PTH123
        return {int(row["id"]): row for row in csv.DictReader(table, delimiter="\t")}


def rarity(values: dict[int, float], *, high: bool) -> dict[int, float]:
    """Return of each instance which part of all are as high, or as low, or more so: rare ones are near 0."""
    ranked = sorted(values, key=lambda number: values[number], reverse=high)
    return {number: (place + 1) / len(ranked) for place, number in enumerate(ranked)}


def main() -> None:
    """Print the table."""
    stats, scores = map(rows_of, sys.argv[1:3])
    voxels = {number: float(row["voxels"]) for number, row in stats.items()}
    whole = {number: size for number, size in voxels.items() if stats[number]["touches_border"] == "false"}
    sure = {number: float(row["score"]) for number, row in scores.items() if row["score"] and number in stats}
    reasons = {
        "large": rarity(voxels, high=True),
        "small": rarity(whole, high=False),
        "thin or unsure neck": rarity(sure, high=False),
    }
    found = {number: min((rare.get(number, 1.0), why) for why, rare in reasons.items()) for number in stats}
    print("id\tz\twhy\tvoxels\tscore")
    for number in sorted(found, key=lambda one: (found[one], one))[: int(sys.argv[3])]:
        row = stats[number]
        z = (int(row["z_min"]) + int(row["z_max"])) // 2
        print(
            f"{number}\t{z}\t{found[number][1]}\t{row['voxels']}\t{scores.get(number, {}).get('score', '')}"
        )


if __name__ == "__main__":
    main()
