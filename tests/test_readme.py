"""Every command line in the documentation and the examples is one that the program takes."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from command_lines import command_lines

from mitotools.cli.main import COMMANDS, mitotools

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "examples").rglob("*.sh")),
    *sorted((ROOT / "examples").rglob("*.md")),
]


def documented() -> list[tuple[str, list[str]]]:
    found = [(file.name, words) for file in DOCUMENTS for words in command_lines(file.read_text())]
    context = click.Context(mitotools, info_name="mitotools")
    for name in COMMANDS:
        help_text = mitotools.get_command(context, name).help
        found += [(f"{name} --help", words) for words in command_lines(help_text)]
    return [(where, words) for where, words in found if "--help" not in words]


@pytest.mark.parametrize(
    ("where", "words"), documented(), ids=[f"{where}: {' '.join(words)}" for where, words in documented()]
)
def test_a_documented_command_line_parses(where, words):
    context = click.Context(mitotools, info_name="mitotools")
    command = mitotools.get_command(context, words[0])
    assert command is not None, f"{where}: there is no command {words[0]}"
    command.make_context(words[0], words[1:], parent=context)


def test_the_quickstart_runs_every_command_of_the_pipeline():
    used = {words[0] for words in command_lines((ROOT / "examples" / "quickstart.sh").read_text())}
    # Options are tuned on a volume that was neither trained on nor is scored, and there is no third one.
    assert used == set(COMMANDS) - {"tune", "doctor", "completion"}


def test_command_lines_are_found_in_prose_scripts_and_pipes():
    prose = "Run `mitotools info a.h5`.\n"
    text = prose + "    $ mitotools stats a.h5 | sort >b\nmitotools \\\n  tile a.h5 p.json > x\n"
    assert list(command_lines(text)) == [["info", "a.h5"], ["stats", "a.h5"], ["tile", "a.h5", "p.json"]]


def test_readme_shows_the_two_commands():
    readme = (ROOT / "README.md").read_text()
    assert readme.index("sh examples/quickstart.sh") < readme.index("sh tests/run.sh")
