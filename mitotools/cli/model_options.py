"""The options of decoders that a model brings along in the history of its maps."""

from __future__ import annotations

import logging
import reprlib
from typing import TYPE_CHECKING, Any

from mitotools.cli import options
from mitotools.cli.decode_options import SETTINGS, Setting, written_options
from mitotools.errors import MitotoolsError, UsageError
from mitotools.parameters import DecodeParameters
from mitotools.segment.decoders import DECODERS, decoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mitotools.cli.decode_options import Given
    from mitotools.volume.path import VolumePath


LARGEST = 2**62
"""Of integers: no volume has so many voxels, and arrays count no further."""


def completed(given: Given, maps: VolumePath, channels: Mapping[str, int] | None) -> DecodeParameters:
    """Return parameters for maps: what was not given is taken from their model, and printed.

    A file may hold anything: where one option is none of decode, or does not fit the maps, all are left
    alone, with a warning.

    Parameters
    ----------
    given : Given
    maps : VolumePath
    channels : mapping of str to int, optional
        Which channel of the maps is what, as given.

    Raises
    ------
    InputError
        Where the maps cannot be opened.
    UsageError
        Where an option was typed that the method does not read.
    """
    from mitotools.stages.decoding.any_size import recorded_options

    recorded, count = recorded_options(maps)
    tuned: dict[str, Any] = {}
    if recorded is not None:
        try:
            tuned = _tuned(recorded, given, channels, count)
        except MitotoolsError as error:
            why = " ".join(part.strip() for part in (error.what, error.why))
            logging.getLogger(__name__).warning("options of the model are ignored: %s", why)
    taken = {field: value for field, value in tuned.items() if field not in given.values}
    if taken:
        words = written_options(DecodeParameters(**tuned), taken)
        options.say(f"options of the model: {words}")
    parameters = DecodeParameters(**{**tuned, **given.values})
    _require_read(given.typed, parameters.method)
    return parameters


def _require_read(typed: Mapping[str, Any], method: str) -> None:
    """Raise UsageError where an option was typed that the method does not read."""
    known = decoder(method).options
    for entry in SETTINGS:
        if entry.field in typed and entry.field not in known:
            flags = ", ".join(other.flag for other in SETTINGS if other.field in known)
            raise UsageError(entry.flag, f"--method {method} does not read it", f"It reads {flags}")


def _tuned(recorded: object, given: Given, channels: Mapping[str, int] | None, count: int) -> dict[str, Any]:
    """Return a model's options that are of the method asked for, `method` among them.

    Raises
    ------
    InputError, UsageError
        Where they are nonsense, or not for these channels of maps, of all that there are.
    """
    from mitotools.stages.decoding.any_size import require_fit

    if not isinstance(recorded, dict):
        raise UsageError(_short(recorded), "is no table")
    method = recorded.get("method", DecodeParameters.method)
    if given.values.get("method", method) != method:
        return {}
    if method not in [entry.name for entry in DECODERS]:
        raise UsageError(_short(method), "is no method")
    tuned = {"method": method, **_values(recorded, method)}
    require_fit(DecodeParameters(**tuned), len(decoder(method).selected(channels)) if channels else count)
    return tuned


def _values(recorded: Mapping[str, object], method: str) -> dict[str, Any]:
    """Return the values of a method's options; UsageError where there are others, or what they cannot be."""
    settings = {entry.field: entry for entry in SETTINGS if entry.field in decoder(method).options}
    found = {}
    for field, value in recorded.items():
        if field == "method":
            continue
        if field not in settings:
            raise UsageError(_short(field), f"is no option of --method {method}")
        found[field] = _value(settings[field], value)
    return found


def _value(entry: Setting, value: object) -> Any:
    """Return the value of an option as JSON has it.

    Raises
    ------
    UsageError
        Where it is of another type, or out of range.
    """
    try:
        return entry.read(_text(value, type(getattr(DecodeParameters, entry.field))))
    except (UsageError, ValueError) as error:
        raise UsageError(entry.flag, f"cannot be {_short(value)}") from error


def _text(value: object, kind: type) -> str:
    """Return a value of this type as it would be typed; ValueError where it is none."""
    if kind is tuple and isinstance(value, list):
        return ";".join(_text(part, list) for part in value)
    if kind is list and isinstance(value, list):
        return ",".join(_text(step, int) for step in value)
    if isinstance(value, int) and (isinstance(value, bool) or abs(value) > LARGEST):
        raise ValueError(f"not {kind.__name__}")
    if isinstance(value, (int, float) if kind is float else kind):
        return str(value)
    raise ValueError(f"not {kind.__name__}")


def _short(value: object) -> str:
    """Return a value in few characters, all of them printable."""
    return reprlib.repr(value)
