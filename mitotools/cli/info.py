"""``mitotools info``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from mitotools.cli import arguments, options

if TYPE_CHECKING:
    from mitotools.volume.path import VolumePath


@click.command(short_help="Show what a file holds, and how it came to be.")
@click.argument("file", type=arguments.VOLUME)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--history", "with_history", is_flag=True, help="Print the commands that led to the file, oldest first."
)
def info(file: VolumePath, as_json: bool, with_history: bool) -> None:
    """Show what the volume, model or plan FILE holds.

    \b
      $ mitotools info raw.zarr
      $ mitotools info labels.h5 --history
    """
    from mitotools.cli.reporting import configure
    from mitotools.stages.info import describe

    configure("info", quiet=False, verbose=False)
    with options.source_volumes(file) as (source,):
        description, history = describe(source)
    if as_json:
        click.echo(json.dumps({**description, "history": list(history)}, indent=1))
    elif with_history:
        for record in history:
            click.echo(f"{record.get('time_utc')}\t{record.get('version')}\t{record.get('command_line')}")
    else:
        for key, value in description.items():
            click.echo(f"{key}\t{_words(value)}")


def _words(value: Any) -> str:
    if value is None:
        return "unknown"
    return " ".join(str(part) for part in value) if isinstance(value, list | tuple) else str(value)
