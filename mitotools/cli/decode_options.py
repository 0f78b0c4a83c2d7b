"""The options of decoders: on the command line, in a file from tune, and in tune's grid."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from mitotools.cli import arguments
from mitotools.errors import InputError, UsageError
from mitotools.parameters import DecodeParameters
from mitotools.presets import read_toml
from mitotools.segment.decoders import DECODERS, decoder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

Function = TypeVar("Function", bound="Callable[..., Any]")

TABLE = "decode"
"""Name of the table of options in a file."""


class ScoringType(click.ParamType[str]):
    """What the affinity of a border is: ``mean``, ``quantile-Q`` or ``quantile-Q-max``."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word."""
        if not re.fullmatch("mean|quantile-[1-9][05](-max)?", value):
            self.fail(
                f"{value!r} is not mean, quantile-Q or quantile-Q-max with Q = 10, 15 ... 95", param, ctx
            )
        return str(value)


@dataclass(frozen=True)
class Setting:
    """An option of decoders.

    Parameters
    ----------
    field : str
        Of `DecodeParameters`.
    name : str
        Of the option, without its dashes.
    type : click.ParamType
    text : str
        Its help, but for the methods that read it.
    """

    field: str
    name: str
    type: click.ParamType[Any]
    text: str

    @property
    def flag(self) -> str:
        """The option as it is typed."""
        return f"--{self.name}"

    @property
    def help(self) -> str:
        """The text, and the methods."""
        readers = [entry.name for entry in DECODERS if self.field in entry.options]
        return f"{self.text}." if len(readers) == len(DECODERS) else f"{self.text} ({', '.join(readers)})."

    def read(self, value: Any) -> Any:
        """Return the value that a text or a number in a file stands for."""
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        try:
            return self.type.convert(text, None, None)
        except click.BadParameter as error:
            raise UsageError(f"{self.name} = {text}", error.message.rstrip(".")) from error


SETTINGS = (
    Setting("seed_foreground", "seed-foreground", arguments.PROBABILITY, "Lowest mask of a seed"),
    Setting("seed_contour", "seed-contour", arguments.PROBABILITY, "Highest contour of a seed"),
    Setting("foreground", "foreground", arguments.PROBABILITY, "Lowest mask of an instance"),
    Setting("min_size_voxels", "min-size", arguments.VOXELS, "Drop instances with fewer voxels"),
    Setting("min_seed_voxels", "min-seed", arguments.VOXELS, "Drop seeds with fewer voxels"),
    Setting(
        "landscape",
        "landscape",
        click.Choice(["mask", "mask-contour"]),
        "What is flooded: the mask, or max(mask - contour, 0), so that fronts meet at the membrane",
    ),
    Setting("seed_distance", "seed-distance", arguments.SIGNED, "Lowest signed distance of a seed"),
    Setting(
        "foreground_distance",
        "foreground-distance",
        arguments.SIGNED,
        "Lowest signed distance of an instance",
    ),
    Setting(
        "link_iou",
        "link-iou",
        arguments.PROBABILITY,
        "Lowest IoU of profiles in neighbouring slices that are linked",
    ),
    Setting(
        "as_program",
        "as",
        click.Choice(["mitotools", "pytc"]),
        "Do as another program does; pytc dilates instances where we give voxels to the nearest",
    ),
    Setting(
        "supervoxels",
        "supervoxels",
        click.Choice(["2d", "3d"]),
        "What is joined: parts of the volume, or of each slice, for anisotropic voxels",
    ),
    Setting("beta", "beta", arguments.SHARE, "Above 0.5 cut more, below join more"),
    Setting(
        "affinity_low",
        "affinity-low",
        arguments.PROBABILITY,
        "Cut edges of at most this affinity; voxels without any other are background",
    ),
    Setting(
        "affinity_high", "affinity-high", arguments.PROBABILITY, "Never separate voxels joined above this"
    ),
    Setting(
        "merge_affinity", "merge-affinity", arguments.PROBABILITY, "Merge regions whose border is above this"
    ),
    Setting(
        "scoring",
        "scoring",
        ScoringType(),
        "Affinity of a border: mean, quantile-Q or quantile-Q-max (Q: 10 to 95)",
    ),
    Setting(
        "merge_size_voxels",
        "merge-size",
        arguments.VOXELS,
        "Keep regions apart that both have so many voxels",
    ),
    Setting(
        "affinity_offsets",
        "affinity-offsets",
        arguments.OFFSETS,
        "Z,Y,X of each channel's edges; the nearest attract, the others repel",
    ),
    Setting("mutex_bias", "mutex-bias", arguments.PROBABILITY, "Above 0.5 split more, below join more"),
)


def setting(name: str) -> Setting:
    """Return the option of this name.

    Raises
    ------
    UsageError
        If there is none.
    """
    for entry in SETTINGS:
        if entry.name == name:
            return entry
    names = ", ".join(entry.name for entry in SETTINGS)
    raise UsageError(name, "decode has no such option", f"There is {names}")


method = click.option(
    "--method",
    type=click.Choice([entry.name for entry in DECODERS]),
    default=DecodeParameters.method,
    show_default=True,
    help=f"How ({', '.join(f'{entry.name}: {entry.title}' for entry in DECODERS)}).",
)


@dataclass(frozen=True)
class Given:
    """The options of decoders that somebody gave.

    Parameters
    ----------
    typed : mapping of str to values
        Fields of `DecodeParameters`, `method` among them, from the command line.
    stored : mapping of str to values
        The same from a file; those of the command line come first.
    config : Path, optional
        That file.
    """

    typed: Mapping[str, Any]
    stored: Mapping[str, Any]
    config: Path | None = None

    @property
    def values(self) -> dict[str, Any]:
        """All of them."""
        return {**self.stored, **self.typed}


def decoding(command: Function) -> Function:
    """Add the options of decoders, and pass on those that were given as one `given: Given`."""

    @click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE.toml",
        help="Options in a file; tune writes such ones. Those of the command line come first.",
    )
    @functools.wraps(command)
    def wrapped(*args: Any, config: Path | None, **kwargs: Any) -> Any:
        values = {entry.field: kwargs.pop(entry.field) for entry in SETTINGS}
        values["method"] = kwargs.pop("method")
        context = click.get_current_context()
        typed = {
            field: value
            for field, value in values.items()
            if context.get_parameter_source(field) is not ParameterSource.DEFAULT
        }
        stored = read_config(config) if config else {}
        return command(*args, given=Given(typed, stored, config), **kwargs)

    for entry in reversed(SETTINGS):
        default = getattr(DecodeParameters, entry.field)
        wrapped = click.option(
            entry.flag,
            entry.field,
            type=entry.type,
            default=default,
            show_default=";".join(",".join(map(str, part)) for part in default)
            if isinstance(default, tuple)
            else True,
            help=entry.help,
        )(wrapped)
    return method(wrapped)  # type: ignore[return-value]


def read_config(file: Path) -> dict[str, Any]:
    """Return parameters from a file that tune wrote, or one like it.

    Raises
    ------
    InputError
        Where it cannot be read, is no TOML, or has no such table.
    UsageError
        Where it holds what decode does not know.
    """
    table = read_toml(file).get(TABLE)
    if not isinstance(table, dict):
        raise InputError(str(file), f"has no table [{TABLE}]", f"Put the options below a line [{TABLE}]")
    found = {
        setting(name).field: setting(name).read(value) for name, value in table.items() if name != "method"
    }
    if "method" in table:
        found["method"] = decoder(str(table["method"])).name
    return found


def written_config(parameters: DecodeParameters) -> str:
    """Return the table of a file that `read_config` reads: the method, and the options that it reads."""
    lines = [f"[{TABLE}]", f'method = "{parameters.method}"']
    lines += [
        f"{entry.name} = {_toml(getattr(parameters, entry.field))}"
        for entry in SETTINGS
        if entry.field in decoder(parameters.method).options
    ]
    return "\n".join(lines) + "\n"


def written_options(parameters: DecodeParameters, fields: Collection[str] | None = None) -> str:
    """Return options for a shell: these fields, or all that the method reads, defaults too.

    An option that is left out need not have its default: decode may take it from the model of the maps.
    """
    written = decoder(parameters.method).options if fields is None else fields
    values = [
        f"{entry.flag} {_text(getattr(parameters, entry.field))}"
        for entry in SETTINGS
        if entry.field in written
    ]
    return " ".join([f"--method {parameters.method}", *values])


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "'" + ";".join(",".join(map(str, part)) for part in value) + "'"
    if isinstance(value, float) and float(short := f"{value:g}") == value:
        return short
    return str(value)


def _toml(value: Any) -> str:
    return repr(value) if isinstance(value, (int, float)) else f'"{_text(value).strip(chr(39))}"'
