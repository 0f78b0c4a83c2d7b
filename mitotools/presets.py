"""Named settings of train, and settings given as texts."""

from __future__ import annotations

from dataclasses import fields, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from mitotools.errors import UsageError
from mitotools.parameters import TrainParameters

if TYPE_CHECKING:
    from collections.abc import Sequence

PRESETS = {
    "u3d-b": TrainParameters(preset="u3d-b", targets=("mask",)),
    "u3d-bc": TrainParameters(),
}
"""Named settings of `train`."""


def with_settings(base: TrainParameters, settings: Sequence[str], **chosen: Any) -> TrainParameters:
    """Return training parameters changed by ``KEY=VALUE`` texts and by values.

    Raises
    ------
    UsageError
        Where there is no such key, which names the nearest ones, or the value is of another kind.
    """
    for text in settings:
        if text.partition("=")[0] in chosen:
            raise UsageError(f"--set {text}", "this has an option of its own")
    return replace(base, **chosen, **dict(_setting(base, text) for text in settings))


def _setting(base: TrainParameters, text: str) -> tuple[str, Any]:
    key, _, value = text.partition("=")
    known = [field.name for field in fields(base) if getattr(base, field.name) is not None]
    if key not in known:
        near = get_close_matches(key, known, cutoff=0.4) or known
        raise UsageError(f"--set {text}", f"there is no setting {key!r}", f"There is {', '.join(near)}")
    default = getattr(base, key)
    try:
        return key, _like(default, value)
    except ValueError as error:
        raise UsageError(f"--set {text}", f"{value!r} is nothing like {default!r}") from error


def _like(default: Any, value: str) -> Any:
    """Return a value of the same type as the default; tuples are separated by commas."""
    if isinstance(default, tuple):
        return tuple(_like(default[0], word) for word in value.split(","))
    return type(default)(value)
