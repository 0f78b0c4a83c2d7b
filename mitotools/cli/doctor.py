"""``mitotools doctor``."""

from __future__ import annotations

import json

import click


@click.command(short_help="Print what this machine and this installation offer.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(as_json: bool) -> None:
    """Print processors, memory, GPUs, engines, codecs, extras and models, as found here.

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
