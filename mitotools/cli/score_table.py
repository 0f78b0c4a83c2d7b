"""The scores of `evaluate` for people (table), programs (tsv) and papers (markdown)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mitotools.printable import printable
from mitotools.volume.table import tsv_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

CLASSES = ("small", "medium", "large", "all")
"""The order of the papers' tables."""

DIGITS = 3

LEAST_WIDTH = 60
"""Of the table on a terminal: a narrower one wraps its lines, where rich would leave digits out."""

UNDEFINED_AP = -1
"""What tables say of an AP where there is no truth, as the benchmark's own do; other scores stay empty."""

Row = tuple[str, list[float | None]]


def print_table(report: dict[str, Any], form: str) -> None:
    """Print a report as "table", "tsv" or "markdown"."""
    if form == "tsv":
        rows = [[name, *values] for name, values in (*_rows(report), *_rows_of_how(report))]
        click.echo("\n".join(tsv_lines(["score", *CLASSES], rows)))
    elif form == "markdown":
        click.echo("\n".join(_markdown(report)))
    else:
        _print_rich(report)


def _rows(report: dict[str, Any]) -> Iterator[Row]:
    """Yield the whole table: what is by size class, then scores of all voxels."""
    for group in _rows_by_class(report):
        yield from group
    yield from ((name, [None, None, None, value]) for name, value in _rows_of_all(report))


def _rows_by_class(report: dict[str, Any]) -> Iterator[list[Row]]:
    """Yield groups of rows: AP, and of how many truths; then what was detected at each threshold."""
    intervals = report.get("bootstrap", {}).get("ap", {})
    rows: list[Row] = []
    for threshold in [*report["detection"], "0.50:0.95"]:
        rows.append((f"AP {threshold}", [shown_ap(report["ap"][threshold][name]) for name in CLASSES]))
        for end, word in enumerate(("low", "high") if intervals else ()):
            ends = [intervals[threshold][name] for name in CLASSES]
            rows.append((f"AP {threshold} {word}", [pair[end] if pair else None for pair in ends]))
    of_any = next(iter(report["detection"].values()))
    rows.append(("truths", [of_any[name]["tp"] + of_any[name]["fn"] for name in CLASSES]))
    yield rows
    for threshold, by_class in report["detection"].items():
        keys = ("precision", "recall", "f1", "accuracy", "pq", "tp", "fp", "fn")
        yield [(f"{key} {threshold}", [by_class[name][key] for name in CLASSES]) for key in keys]


def _rows_of_all(report: dict[str, Any]) -> Iterator[tuple[str, float | None]]:
    """Yield the scores without size classes."""
    yield from ((f"foreground {key}", value) for key, value in report["foreground"].items())
    yield from ((f"VOI {key}", value) for key, value in report["voi"].items())
    yield "adapted Rand error", report["adapted_rand_error"]
    yield from ((f"{key} instances", value) for key, value in report["errors"].items())


def _rows_of_how(report: dict[str, Any]) -> Iterator[Row]:
    """Yield by which protocol it was scored, and what was left out: in numbers, as all columns hold."""
    small, medium = report["sizes"]
    yield f"protocol {report['protocol']}, voxels up to", [small, medium, None, None]
    yield "truth left out under voxels", [None, None, None, report["min_truth_size"]]
    if "ignore" in report:
        yield "ignored voxels", [None, None, None, report["ignore"]["voxels"]]
    for side, count in report.get("ignore_border", {}).items():
        yield f"{side} left out at the border", [None, None, None, count]


def shown_ap(value: float | None) -> float:
    """Return an AP as tables show it."""
    return UNDEFINED_AP if value is None else value


def _headline(report: dict[str, Any]) -> Iterator[str]:
    volumes = report.get("volumes", [report])
    for volume in volumes:
        for side in ("prediction", "truth"):
            told = volume[side]
            yield f"{side:<10} {told['path']}: {told['instances']} instances, {told['voxels']} voxels"
    small, medium = report["sizes"]
    yield f"protocol   {report['protocol']}: small up to {small} voxels, medium up to {medium}" + (
        f", truth under {report['min_truth_size']} left out" if report["min_truth_size"] else ""
    )
    if len(volumes) > 1:
        yield f"overall    mean over {len(volumes)} volumes; counts are sums"
    if report["score"] == "file":
        yield "ranked     by the scores of a table"
    if report["score"] == "heatmap":
        yield f"ranked     by the means of a heatmap {report['heatmap']['path']}"
    if "ignore" in report:
        yield f"ignored    {report['ignore']['path']}: {report['ignore']['voxels']} voxels"
    if "ignore_border" in report:
        cut = report["ignore_border"]
        yield f"left out   {cut['prediction']} predictions and {cut['truth']} truths at the border"
    if "bootstrap" in report:
        sample = report["bootstrap"]
        yield f"low, high  {sample['level']:.0%} interval of AP, {sample['samples']} samples of the instances"


def _markdown(report: dict[str, Any]) -> Iterator[str]:
    yield from (f"{printable(line)}  " for line in _headline(report))
    yield ""
    yield "| | " + " | ".join(name.capitalize() for name in CLASSES) + " |"
    yield "| --- |" + " ---: |" * len(CLASSES)
    for name, values in _rows(report):
        yield f"| {name} | " + " | ".join(words(value) for value in values) + " |"


def _print_rich(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    by_class = Table(box=None, pad_edge=False, header_style="bold")
    by_class.add_column("", min_width=22)
    for name in CLASSES:
        by_class.add_column(name.capitalize(), justify="right", min_width=7)
    for number, group in enumerate(_rows_by_class(report)):
        if number:
            by_class.add_row()
        for name, values in group:
            is_ap = name.startswith("AP") and not name.endswith(("low", "high"))
            by_class.add_row(name, *map(words, values), style="bold" if is_ap else "")
    of_all = Table(box=None, pad_edge=False, show_header=False)
    of_all.add_column("", min_width=22)
    of_all.add_column("", justify="right", min_width=7)
    for name, value in _rows_of_all(report):
        of_all.add_row(name, words(value))
    console = Console()
    console.width = max(console.width, LEAST_WIDTH)
    for line in _headline(report):
        console.print(printable(line), highlight=False, markup=False, soft_wrap=True)
    for table in (by_class, of_all):
        console.print()
        console.print(table)


def words(value: float | None) -> str:
    """Return a score as people read it."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.{DIGITS}f}"
