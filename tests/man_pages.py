"""The manual pages, generated from the commands: `python tests/man_pages.py` writes man/."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from mitotools import __version__
from mitotools.cli.main import COMMANDS, mitotools

FOLDER = Path(__file__).parent.parent / "man"


def pages() -> dict[str, str]:
    """Return the text of every page, by file name."""
    group = click.Context(mitotools, info_name="mitotools", **mitotools.context_settings)
    found = {"mitotools.1": "\n".join(_page(mitotools, group, "Mitochondria from electron microscopy."))}
    for name in COMMANDS:
        command = mitotools.get_command(group, name)
        context = click.Context(command, info_name=name, parent=group)
        found[f"mitotools-{name}.1"] = "\n".join(_page(command, context, command.get_short_help_str(80)))
    return found


def _page(command: click.Command, context: click.Context, title: str) -> Iterator[str]:
    name = context.command_path.replace(" ", "-")
    description, _, examples = inspect.cleandoc(command.help).partition("\b")
    yield f'.TH "{name.upper()}" "1" "" "mitotools {__version__}" "mitotools manual"'
    yield f".SH NAME\n{_escaped(name)} \\- {_escaped(title.rstrip('.'))}"
    yield f".SH SYNOPSIS\n.B {_escaped(context.command_path)}"
    yield _escaped(" ".join(command.collect_usage_pieces(context)))
    yield ".SH DESCRIPTION"
    yield "\n.PP\n".join(_escaped(paragraph) for paragraph in description.strip().split("\n\n"))
    if isinstance(command, click.Group):
        yield ".SH COMMANDS"
        for sub in command.list_commands(context):
            title = command.get_command(context, sub).get_short_help_str(80)
            yield f".TP\n\\fBmitotools\\-{sub}\\fP(1)\n{_escaped(title)}"
    yield ".SH OPTIONS"
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record:
            yield f".TP\n\\fB{_escaped(record[0])}\\fP\n{_escaped(record[1])}"
    yield f".SH EXAMPLES\n.nf\n{_escaped(examples.strip(chr(10)))}\n.fi"
    yield ".SH SEE ALSO\n" + ", ".join(
        f"\\fB{page}\\fP(1)" for page in ["mitotools", *(f"mitotools\\-{n}" for n in COMMANDS)]
    )
    yield ""


def _escaped(text: str) -> str:
    """Keep roff from reading hyphens as breaks, backslashes as requests, or a leading dot as a command."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


if __name__ == "__main__":
    for file_name, text in pages().items():
        (FOLDER / file_name).write_text(text)
