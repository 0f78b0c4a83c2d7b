"""Types of arguments: what a word on the command line may be, and what becomes of it."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from mitotools.conventions import LARGEST_ID, LARGEST_VOXEL_NM, SMALLEST_VOXEL_NM
from mitotools.errors import UsageError
from mitotools.volume.path import PIPE, VolumePath, parse_volume_path

_MOST_VOXELS = 10**9
"""Along an axis: more is a slip of the finger."""

_MOST_THRESHOLDS = 1000


class Number(click.FloatRange):
    """A finite number within limits: NaN is neither below nor above any, and would pass them all."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number", param, ctx)
        return number


PROBABILITY = Number(0, 1)
VOXELS = click.IntRange(min=0)
SIGNED = Number(-1, 1)
SHARE = Number(0, 1, min_open=True, max_open=True)


_PIPE_CROPPED = "-["
_STDIN_CROPPED = "/dev/stdin["


def no_option(word: str) -> str:
    """Return ``-[CROP]`` as a name that click does not take for an option, and any other word as it is."""
    return word.replace(_PIPE_CROPPED, _STDIN_CROPPED, 1) if word.startswith(_PIPE_CROPPED) else word


class VolumeType(click.ParamType[VolumePath]):
    """``FILE[:DATASET][CROP]`` or ``-``."""

    name = "volume"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> VolumePath:
        """Return the parts of the name."""
        if isinstance(value, VolumePath):
            return value
        try:
            if value.startswith(_STDIN_CROPPED):
                value = value.replace(_STDIN_CROPPED, _PIPE_CROPPED, 1)
            return parse_volume_path(value)
        except UsageError as error:
            self.fail(str(error).rstrip("."), param, ctx)

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """Let the shell complete the name of the file."""
        return [CompletionItem(incomplete, type="file")]


class OutputType(click.Path):
    """A file or folder that a command writes, which ``-`` is not: volumes alone go through pipes.

    Parameters
    ----------
    is_file, is_folder : bool
        What it may be where it is there already.
    what_next : str
        What to do instead of ``-``.
    """

    def __init__(
        self, *, is_file: bool = True, is_folder: bool = True, what_next: str = "name what to write"
    ) -> None:
        super().__init__(file_okay=is_file, dir_okay=is_folder, path_type=Path)
        self._what_next = what_next

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if str(value) == PIPE:
            self.fail(f"only volumes go through a pipe: {self._what_next}", param, ctx)
        return super().convert(value, param, ctx)


class TripleType(click.ParamType[tuple[Any, ...]]):
    """Three numbers for (z, y, x): ``Z,Y,X`` or ``ZxYxX``."""

    name = "Z,Y,X"

    def __init__(self, number: type[int] | type[float], *, least: float, most: float) -> None:
        self._number = number
        self._least = least
        self._most = most

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        """Return the three numbers."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(self._number(word) for word in re.split("[,x]", value))
        except ValueError:
            numbers = ()
        if len(numbers) != 3 or not all(self._least <= number <= self._most for number in numbers):
            words = f"three numbers from {self._least:g} to {self._most:.10g}"
            self.fail(f"{value!r} is not Z,Y,X, {words}", param, ctx)
        return numbers


class OffsetsType(click.ParamType[tuple[tuple[int, ...], ...]]):
    """Steps along (z, y, x): ``Z,Y,X;Z,Y,X;...``."""

    name = "Z,Y,X;..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[tuple[int, ...], ...]:
        """Return the steps."""
        if isinstance(value, tuple):
            return value
        try:
            offsets = tuple(tuple(int(word) for word in part.split(",")) for part in value.split(";"))
        except ValueError:
            offsets = ()
        if not offsets or any(len(offset) != 3 or not any(offset) for offset in offsets):
            self.fail(f"{value!r} is not Z,Y,X;Z,Y,X;..., steps that lead elsewhere", param, ctx)
        return offsets


VOLUME = VolumeType()
OUTPUT = OutputType()
OUTPUT_FILE = OutputType(is_folder=False)
OUTPUT_FOLDER = OutputType(is_file=False)
OUTPUT_TABLE = OutputType(is_folder=False, what_next="leave it out, and the table goes to standard output")
SIZE = TripleType(int, least=1, most=_MOST_VOXELS)
MARGIN = TripleType(int, least=0, most=_MOST_VOXELS)
NANOMETRES = TripleType(float, least=SMALLEST_VOXEL_NM, most=LARGEST_VOXEL_NM)
FACTORS = TripleType(float, least=0.001, most=1000)
OFFSETS = OffsetsType()


def integers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Return the numbers of ``N,N,...``."""
    if value is None:
        return None
    try:
        return tuple(int(word) for word in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not N,N,...", ctx, param) from error


def ids(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Return the ids of ``N,N,...``."""
    numbers = integers(ctx, param, value)
    wrong = next((number for number in numbers or () if not 1 <= number <= LARGEST_ID), None)
    if wrong is not None:
        raise click.BadParameter(f"{wrong} is no id: they are 1 to {LARGEST_ID}", ctx, param)
    return numbers


def two_sizes(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Return the numbers of ``SMALL,MEDIUM``."""
    numbers = integers(ctx, param, value)
    if numbers is None:
        return None
    if len(numbers) != 2 or not 0 < numbers[0] < numbers[1]:
        raise click.BadParameter(f"{value!r} is not SMALL,MEDIUM, two ascending numbers", ctx, param)
    return numbers[0], numbers[1]


def percentiles(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, float] | None:
    """Return the numbers of ``LOW,HIGH``."""
    if value is None:
        return None
    try:
        low, high = (float(word) for word in value.split(","))
    except ValueError:
        low, high = 1.0, 0.0
    if not 0 <= low < high <= 100:
        raise click.BadParameter(f"{value!r} is not LOW,HIGH, two ascending percentiles", ctx, param)
    return low, high


def channels(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, int] | None:
    """Return the channel of each name in ``NAME=N,NAME=N``."""
    if value is None:
        return None
    pairs = [word.partition("=") for word in value.split(",")]
    found = {name: int(number) for name, _, number in pairs if name and number.isdecimal()}
    if len(found) != len(pairs):
        raise click.BadParameter(f"{value!r} is not NAME=N,NAME=N, channels counted from 0", ctx, param)
    return found


def thresholds(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[float, ...]:
    """Return the thresholds of ``T`` and ``FIRST:LAST:STEP``, in 0..1, the last one included."""
    found: list[float] = []
    for text in value:
        try:
            first, last, step = (
                (float(word) for word in text.split(":")) if ":" in text else (float(text),) * 2 + (1.0,)
            )
        except ValueError as error:
            raise click.BadParameter(f"{text!r} is neither T nor FIRST:LAST:STEP", ctx, param) from error
        if not (0 < first <= last <= 1 and step > 0):
            raise click.BadParameter(f"{text!r} leaves 0..1, or is empty", ctx, param)
        if (last - first) / step >= _MOST_THRESHOLDS:
            raise click.BadParameter(f"{text!r} is more than {_MOST_THRESHOLDS} thresholds", ctx, param)
        count = int((last - first) / step + 1e-9) + 1
        found += [first + number * step for number in range(count)]
    return tuple(found)


def part(text: str) -> tuple[int, int]:
    """Return the numbers of ``K/N``, a part counted from 1."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count:
        raise UsageError("--part", f"{text!r} is not K/N with K from 1 to N")
    return number, count
