"""The scores of `evaluate` for people (table), programs (tsv) and papers (markdown)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mitotools.volume.table import tsv_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

CLASSES = ("small", "medium", "large", "all")
"""The order of the papers' tables."""

DIGITS = 3

Row = tuple[str, list[float | None]]


def print_table(report: dict[str, Any], form: str) -> None:
    """Print a report as "table", "tsv" or "markdown"."""
    if form == "tsv":
        rows = [[name, *values] for name, values in _rows(report)]
        click.echo("\n".join(tsv_lines(["score", *CLASSES], rows)))
    elif form == "markdown":
        click.echo("\n".join(_markdown(report)))
    else:
        _print_rich(report)


def _rows(report: dict[str, Any]) -> Iterator[Row]:
    """Yield the table: AP at the chosen thresholds and over all, counts, and scores without size classes."""
    for threshold in [*report["detection"], "0.50:0.95"]:
        yield f"AP {threshold}", [report["ap"][threshold][name] for name in CLASSES]
    for threshold, by_class in report["detection"].items():
        for key in ("precision", "recall", "f1", "accuracy", "tp", "fp", "fn"):
            yield f"{key} {threshold}", [by_class[name][key] for name in CLASSES]
    for key, value in report["foreground"].items():
        yield f"foreground {key}", [None, None, None, value]
    for key, value in report["voi"].items():
        yield f"VOI {key}", [None, None, None, value]
    yield "adapted Rand error", [None, None, None, report["adapted_rand_error"]]
    for key, value in report["errors"].items():
        yield f"{key} instances", [None, None, None, value]


def _headline(report: dict[str, Any]) -> list[str]:
    small, medium = report["sizes"]
    lines = [
        f"{side:<10} {report[side]['path']}: {report[side]['instances']} instances, "
        f"{report[side]['voxels']} voxels"
        for side in ("prediction", "truth")
    ]
    lines.append(
        f"protocol   {report['protocol']}: small up to {small} voxels, medium up to {medium}"
        + (f", truth under {report['min_truth_size']} left out" if report["min_truth_size"] else "")
    )
    return lines


def _markdown(report: dict[str, Any]) -> Iterator[str]:
    yield from (f"{line}  " for line in _headline(report))
    yield ""
    yield "| | " + " | ".join(name.capitalize() for name in CLASSES) + " |"
    yield "| --- |" + " ---: |" * len(CLASSES)
    for name, values in _rows(report):
        yield f"| {name} | " + " | ".join(_words(value) for value in values) + " |"


def _print_rich(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in CLASSES:
        table.add_column(name.capitalize(), justify="right")
    for name, values in _rows(report):
        style = "bold" if name.startswith("AP") else ""
        table.add_row(name, *(_words(value) for value in values), style=style)
    console = Console()
    for line in _headline(report):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print()
    console.print(table)


def _words(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.{DIGITS}f}"
