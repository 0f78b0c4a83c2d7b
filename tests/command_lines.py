"""Finds the mitotools command lines in texts and scripts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile

# What a script's variables stand for when its lines are only parsed.
VARIABLES = {
    '"$minutes"': "3",
    "$data": "data",
    'predict "$@"': "predict plan.json tiles/ -m model.safetensors",
    '"$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"': "1/16",
}

# A command starts a line, or follows a prompt, a pipe, a parenthesis or a quoted word; prose is left alone.
_COMMAND = re.compile(r"""(?:^|[$|`(]|&&|"\s)\s*mitotools\s+(?=[a-z-])""")


def command_lines(text: str) -> Iterator[list[str]]:
    """Yield the words after `mitotools` of every command line in a text."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for line in joined.splitlines():
        for match in _COMMAND.finditer(line):
            rest = line[match.end() :].split("`")[0]
            for name, value in VARIABLES.items():
                rest = rest.replace(name, value)
            yield list(takewhile(lambda word: not set(word) <= set("|&;<>()"), _words(rest)))


def _words(line: str) -> Iterator[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.wordchars += ":[],$%+"
    return iter(lexer)
