"""``mitotools doctor``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from mitotools.cli import options

if TYPE_CHECKING:
    from mitotools.run.running import Running


@click.command(short_help="Print what this machine and this installation offer.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@options.running
def doctor(as_json: bool, running: Running) -> None:  # noqa: ARG001 (as every command is called)
    """Print CPUs, memory, GPUs, engines, codecs, extras and models, as found here.

    What is missing says how it is installed. Add this to a report of a fault.

    \b
      $ mitotools doctor | grep extra
      $ mitotools doctor --json > machine.json
    """
    from mitotools.stages.doctor import examine

    found = examine()
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for name, value in found.items():
        click.echo(f"{name}\t{value}")
