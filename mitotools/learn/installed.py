"""Models by name: those that installed packages bring along. Without torch."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from mitotools.errors import InputError, ModelError

GROUP = "mitotools.models"
"""Of entry points: the name is the model's, the object its path, or a function that returns it."""

BUNDLED = Path(__file__).with_name("bundled.safetensors")
"""What the entry point of mitotools itself names (examples/models/bundled says how it was made)."""


def installed_models() -> list[str]:
    """Return the names of the models that installed packages bring along."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def model_file(name: Path) -> Path:
    """Return the file of a model: itself, or that of an installed model of that name.

    A word without suffix is the installed model, also where a file or folder here is called like it.

    Raises
    ------
    InputError
        Where there is neither.
    ModelError
        Where the package that brings it along cannot say where it is.
    """
    if name.suffix and name.is_file():
        return name
    for entry in entry_points(group=GROUP):
        if entry.name == str(name):
            try:
                found = entry.load()
                return Path(found() if callable(found) else found)
            except Exception as error:  # it is another package's code
                raise ModelError(str(name), f"its package cannot say where it is ({error})") from error
    if name.is_dir():
        raise InputError(str(name), "is a folder, not a model")
    if name.exists():
        return name
    known = ", ".join(installed_models())
    raise InputError(
        str(name),
        "no such file, and no such model is installed",
        f"Installed: {known}" if known else "Models are made by 'mitotools train'",
    )
