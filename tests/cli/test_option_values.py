"""Numbers that are none: what every option says of them."""

from __future__ import annotations

import math

import click
import pytest

from mitotools.cli.main import COMMANDS, mitotools
from mitotools.errors import UsageError

MAY_BE_NAN = {"merge --fill"}
"""A voxel in floating point may be: so it says that no tile covers it."""


def taken(word):
    """Yield the floats that each option makes of a word, by command and option; none where it refuses it."""
    for name in COMMANDS:
        command = mitotools.get_command(click.Context(mitotools), name)
        for option in command.params:
            if not isinstance(option, click.Option) or option.is_flag or option.nargs != 1:
                continue
            try:
                value = option.process_value(click.Context(command), [word] if option.multiple else word)
            except (click.BadParameter, UsageError):
                continue
            yield f"{name} {option.opts[-1]}", floats(value)


def floats(value):
    """Return all floats in a value, however deep."""
    if isinstance(value, (tuple, list)):
        return [number for part in value for number in floats(part)]
    return [value] if isinstance(value, float) else []


@pytest.mark.parametrize("word", ["nan", "inf", "nan,nan", "nan,nan,nan", "inf,inf,inf", "0.5:nan:0.1"])
def test_no_option_takes_for_a_number_what_is_none(word):
    takers = {option for option, numbers in taken(word) if not all(map(math.isfinite, numbers))}
    assert takers <= MAY_BE_NAN


def test_every_option_that_takes_a_number_is_among_those_that_are_tried():
    takers = {option for option, numbers in taken("0.5") if numbers}
    assert {"evaluate --found-iou", "decode --link-iou", "predict --overlap", "merge --fill"} <= takers
    assert {option for option, numbers in taken("3,8,8") if numbers} >= {"convert --voxel-size"}
