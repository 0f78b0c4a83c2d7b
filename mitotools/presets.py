"""Named settings of train, and settings given as files and as texts.

A preset, then a file, then texts, then options: each changes what the one before says.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from mitotools.errors import InputError, UsageError
from mitotools.parameters import TrainParameters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SOURCE = "source"
"""A key for people: where the settings come from."""

OF_THE_PRESET = "preset"
"""The one parameter that is no setting."""

OF_A_RUN = ("patch_voxels", "minutes", "loaders", "save_minutes", "device", "precision", "seed")
"""Settings that a model which is trained on does not bring along."""

DEFAULT = TrainParameters().preset

POSITIVE = (
    "batch", "accumulate", "iterations", "minutes", "patch_voxels", "section_patch_voxels",
    "isotropic_patch_voxels",
)  # fmt: skip
"""Settings that may not be 0; none may be negative."""

SHARES = ("uniform_share", "momentum", "ema_decay")
"""Settings of which 1 is all there is."""

MOST = 2**63 - 1
"""What a random generator takes as its seed."""


def with_config(base: TrainParameters, path: Path) -> TrainParameters:
    """Return training parameters changed by a TOML file of settings.

    Parameters
    ----------
    base : TrainParameters
    path : Path
        `key = value` lines; a `source` is for people, and changes nothing.

    Raises
    ------
    InputError
        Where the file cannot be read or is no TOML.
    UsageError
        Where there is no such key, which names the nearest ones, or its value is of another kind.
    """
    return _changed(base, read_toml(path), str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds.

    Raises
    ------
    InputError
        Where it cannot be read, or is none.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # no TOML, no UTF-8, or nested without end
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(str(path), f"cannot be read as TOML ({reason})") from error


def with_settings(base: TrainParameters, settings: Sequence[str], **chosen: Any) -> TrainParameters:
    """Return training parameters changed by ``KEY=VALUE`` texts, and by values of options.

    Raises
    ------
    UsageError
        Where there is no such key, which names the nearest ones, it is among the options, or the value is of
        another kind.
    """
    for text in settings:
        key, _, value = text.partition("=")
        what = f"--set {text}"
        if key in chosen:
            raise UsageError(what, "this has an option of its own")
        base = _changed(base, {key: _value(_kind(key, what), value)}, what)
    return replace(base, **chosen)


def of_training(training: Mapping[str, Any], what: str) -> TrainParameters:
    """Return the settings of an earlier training, as its model has them.

    What belongs to a run (its seed, its device, its minutes) is left out, and so is what this version does
    not know.

    Raises
    ------
    UsageError
        Where a value is of another kind, which says `what`.
    """
    known = {
        name: value
        for name, value in training.items()
        if name in _kinds() and name not in OF_A_RUN and value is not None
    }
    preset = str(training.get(OF_THE_PRESET))
    return _changed(TrainParameters(preset=preset if preset in PRESETS else DEFAULT), known, what)


def _changed(base: TrainParameters, values: Mapping[str, Any], what: str) -> TrainParameters:
    found = {}
    for key, value in values.items():
        if key == SOURCE and isinstance(value, str):
            continue
        try:
            found[key] = _checked(_kind(key, what), value)
        except TypeError as error:
            example = getattr(TrainParameters(), key)
            wrong = "is of another kind" if example is None else f"is nothing like {_shown(example)}"
            raise UsageError(what, f"{key} = {_shown(value)} {wrong}", f"It is {error}") from error
        if not _is_in_range(key, found[key]):
            allowed = "above 0" if key in POSITIVE else "from 0 to 1" if key in SHARES else "0 or more"
            raise UsageError(what, f"{key} = {_shown(value)} is out of range", f"It is {allowed}")
    return replace(base, **found)


@cache
def _kinds() -> dict[str, Any]:
    """Return the type of every setting; that of one that may be left open is the type it else has."""
    kinds = get_type_hints(TrainParameters)
    del kinds[OF_THE_PRESET]
    return {name: _without_none(kind) for name, kind in kinds.items()}


def _without_none(kind: Any) -> Any:
    if isinstance(kind, UnionType):
        (kind,) = (part for part in get_args(kind) if part is not NoneType)
    return kind


def _kind(key: str, what: str) -> Any:
    if key in _kinds():
        return _kinds()[key]
    if key == OF_THE_PRESET:
        raise UsageError(what, "a preset is chosen with --preset")
    near = get_close_matches(key, _kinds(), cutoff=0.4) or list(_kinds())
    raise UsageError(what, f"there is no setting {key!r}", f"There is {', '.join(near)}")


def _value(kind: Any, text: str) -> Any:
    """Return what a text of ``--set`` would be in a file; commas separate a list, and ; a list of lists."""
    if get_origin(kind) is tuple:
        part = get_args(kind)[0]
        separator = ";" if get_origin(part) is tuple else ","
        return [_value(part, word) for word in text.split(separator)]
    if kind is str:
        return text
    if kind is bool:
        return {"true": True, "false": False}.get(text, text)
    try:
        return kind(text)
    except ValueError:
        return text


def _checked(kind: Any, value: Any) -> Any:
    """Return a value of a file as the parameter has it.

    Raises
    ------
    TypeError
        Where it is of another kind: the message is what it should be.
    """
    if get_origin(kind) is tuple:
        return _checked_list(get_args(kind), value)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise TypeError({str: "a text", bool: "true or false", int: "a whole number"}.get(kind, "a number"))
    return value


def _checked_list(parts: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    kind, *others = parts
    any_length = others == [Ellipsis]
    if not isinstance(value, list) or not value or (not any_length and len(value) != len(parts)):
        raise TypeError("a list" if any_length else f"a list of {len(parts)}")
    return tuple(_checked(kind, part) for part in value)


def _is_in_range(key: str, value: Any) -> bool:
    numbers = [n for n in (value if isinstance(value, tuple) else [value]) if isinstance(n, int | float)]
    most = 1 if key in SHARES else MOST
    return all(0 <= number <= most and (number > 0 or key not in POSITIVE) for number in numbers)


def _shown(value: Any) -> str:
    """Return a value as a file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_shown(part) for part in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _presets() -> tuple[dict[str, TrainParameters], dict[str, str]]:
    path = Path(__file__).with_suffix(".toml")
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    parameters = {
        name: _changed(TrainParameters(preset=name), table, f"preset {name}")
        for name, table in tables.items()
    }
    return parameters, {name: table[SOURCE] for name, table in tables.items()}


PRESETS, SOURCES = _presets()
"""Named settings of `train`, and where they come from."""
