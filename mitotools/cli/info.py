"""``mitotools info``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from mitotools.cli import arguments, options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath


@click.command(short_help="Show what a file holds, and how it came to be.")
@click.argument("file", type=arguments.VOLUME)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--history", "with_history", is_flag=True, help="Print the commands that led to the file, oldest first."
)
@options.running
def info(file: VolumePath, as_json: bool, with_history: bool, running: Running) -> None:
    """Show what FILE holds: a volume, a model, a plan, or a table or whatever else a command wrote.

    Tables have a header where standard output is no terminal.

    \b
      $ mitotools info raw.zarr
      $ mitotools info labels.h5 --history
    """
    from mitotools.stages.info import describe
    from mitotools.volume.table import tsv_lines

    with options.source_volumes(file) as (source,):
        description, history = describe(source, running)
    if as_json:
        click.echo(json.dumps({**description, "history": list(history)}, indent=1))
        return
    columns = ("time_utc", "version", "command_line") if with_history else ("key", "value")
    records = ([str(record.get(column)) for column in columns] for record in history)
    lines = tsv_lines(columns, records if with_history else _lines(description))
    if sys.stdout.isatty():
        next(lines)  # the header, which is for programs
    for line in lines:
        click.echo(line)


def _lines(description: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, str]]:
    """Return a name and a text for each value; the names of a table's values begin with the table's."""
    for key, value in description.items():
        if isinstance(value, Mapping):
            yield from _lines(value, f"{start}{key}.")
        else:
            yield start + key, "none" if value is None and not key.endswith("_nm") else _words(value)


def _words(value: Any) -> str:
    if value is None:
        return "unknown"
    return " ".join(map(_words, value)) if isinstance(value, list | tuple) else str(value)
