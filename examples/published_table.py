"""Print reports of `mitotools evaluate --format json` beside published numbers, as Markdown.

Run: python examples/published_table.py PUBLISHED.tsv REPORT.json ...

PUBLISHED.tsv has a row a method: `row`, `title`, and published values, empty where there is none. A column is
called "AP-75 small", "AP-50 all", "Jaccard" ..., with a word in front where a table has several volumes: "H
AP-75 all" is read from H/ROW.json, "AP-75 all" from ROW.json. Without a report its cells stay empty.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

SCORES = ("AP-", "Jaccard")


def main() -> None:
    """Print the table that the command line names."""
    table, *files = map(Path, sys.argv[1:])
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    reports = {(file.parent.name, file.stem): json.loads(file.read_text("utf-8")) for file in files}
    columns = [name for name in rows[0] if name not in ("row", "title")]
    print(f"| method | {' | '.join(f'{name}, published | ours' for name in columns)} |")
    print(f"| --- |{' ---: | ---: |' * len(columns)}")
    for row in rows:
        cells = [f"{row[name]} | {ours(reports, row['row'], name)}" for name in columns]
        print(f"| {row['title']} | {' | '.join(cells)} |")


def ours(reports: dict[tuple[str, str], Any], row: str, column: str) -> str:
    """Return a score, with its interval where there is one; "" where there is no report."""
    words = column.split()
    folder = "" if words[0].startswith(SCORES) else words.pop(0)
    named = [key for key in reports if key[1] == row and folder in ("", key[0])]
    if not named:
        return ""
    report = reports[named[0]]
    if words[0] == "Jaccard":
        return written(report["foreground"]["jaccard"])
    threshold, size = f"0.{words[0].removeprefix('AP-')}", words[1]
    text = written(report["ap"][threshold][size])
    interval = report.get("bootstrap", {}).get("ap", {}).get(threshold, {}).get(size)
    return f"{text} ({written(interval[0])} to {written(interval[1])})" if interval else text


def written(score: float | None) -> str:
    """Return a score as the papers write it."""
    return "" if score is None else f"{score:.3f}".removeprefix("0")


if __name__ == "__main__":
    main()
