"""``mitotools completion``."""

from __future__ import annotations

import click

SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that lets SHELL complete commands, options, their values and file names.

    \b
      $ mitotools completion bash > ~/.local/share/bash-completion/completions/mitotools
      $ mitotools completion zsh > "${fpath[1]}/_mitotools"
      $ mitotools completion fish > ~/.config/fish/completions/mitotools.fish
    """
    from click.shell_completion import get_completion_class

    from mitotools.cli.main import mitotools

    if writer := get_completion_class(shell):
        click.echo(writer(mitotools, {}, "mitotools", "_MITOTOOLS_COMPLETE").source())
