"""The grid of `tune`, its table, and the file of its best options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mitotools import history
from mitotools.cli.decode_options import SETTINGS, setting, written_config, written_options
from mitotools.cli.score_table import CLASSES, shown_ap, words
from mitotools.errors import UsageError
from mitotools.volume.atomic import create_file
from mitotools.volume.table import tsv_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mitotools.history import History
    from mitotools.stages.tune import Trial

_SEEDS = ("seed-foreground=.65,.7,.75,.8,.85,.9,.95", "seed-contour=.5,.6,.7")

DEFAULT_GRIDS = {
    "mw": _SEEDS,
    "bcd": _SEEDS,
    "cc": ("foreground=.35,.5,.65,.8,.9",),
    "zwatershed": ("merge-affinity=.3,.5,.7", "affinity-high=.9,.99"),
}
"""Seeds of the watersheds are around the values that the MitoEM benchmark found best, .85 and .6."""

_NAMES = {entry.field: entry.name for entry in SETTINGS}


def parsed_grid(texts: Sequence[str], method: str) -> dict[str, tuple[Any, ...]]:
    """Return the values of each field of `DecodeParameters` from ``OPTION=V,V,...``.

    Raises
    ------
    UsageError
    """
    if not texts and method not in DEFAULT_GRIDS:
        raise UsageError(
            f"--method {method}", "has no grid of its own", "Give one, --grid min-size=128,1024 say"
        )
    grid: dict[str, tuple[Any, ...]] = {}
    for text in texts or DEFAULT_GRIDS[method]:
        name, _, values = text.partition("=")
        entry = setting(name.removeprefix("--"))
        if not values or entry.field in grid:
            why = "names an option for the second time" if entry.field in grid else "is not OPTION=V,V,..."
            raise UsageError(f"--grid {text}", why)
        grid[entry.field] = tuple(dict.fromkeys(entry.read(value) for value in values.split(",")))
    return grid


def print_trials(trials: Sequence[Trial], fields: Sequence[str], *, on_terminal: bool) -> None:
    """Print a row for each trial, and the best one's options."""
    thresholds = list(trials[0].report["detection"])
    names = [_NAMES[field] for field in fields]
    columns = [*names, "instances", *(f"AP {name} {size}" for name in thresholds for size in CLASSES)]
    rows = [
        [
            *(getattr(trial.parameters, field) for field in fields),
            trial.report["prediction"]["instances"],
            *(shown_ap(trial.report["ap"][name][size]) for name in thresholds for size in CLASSES),
        ]
        for trial in trials
    ]
    if on_terminal:
        _print_rich(columns, rows, len(fields))
    else:
        click.echo("\n".join(tsv_lines(columns, rows)))
    click.echo(written_options(trials[0].parameters))


def write_best(file: Path, trial: Trial, records: History, *, force: bool) -> None:
    """Write a trial's options as a file that decode reads, with its score and history."""
    thresholds, protocol = ", ".join(trial.report["detection"]), trial.report["protocol"]
    score = "not defined" if trial.ap is None else f"{trial.ap:.4f}"
    with create_file(file, force=force) as path:
        told = f"# AP at IoU {thresholds}, all instances, {protocol} protocol: {score}"
        path.write_text(f"{told}\n{written_config(trial.parameters)}", "utf-8")
        history.write_sidecar(path, records)


def _print_rich(columns: list[str], rows: list[list[Any]], options: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right")
    for number, row in enumerate(rows):
        cells = [f"{value:g}" if isinstance(value, float) else str(value) for value in row[: options + 1]]
        cells += map(words, row[options + 1 :])
        table.add_row(*cells, style="bold" if number == 0 else "")
    Console().print(table)
