"""What a model file says of itself, readable without torch.

A model is a safetensors file: named tensors, and a JSON header. Nothing in it is ever executed.
"""

from __future__ import annotations

import json
import math
import operator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from mitotools.errors import InputError, ModelError
from mitotools.volume.voxel_size import known_voxel_size

if TYPE_CHECKING:
    from pathlib import Path

    from mitotools.conventions import Size, VoxelSize
    from mitotools.history import History

KEY = "mitotools"
"""Name of the entry in the header."""

VERSION = 1
"""Of the entry's content."""

LONGEST_PATCH = 2**16
"""Voxels along an axis: more is damage. Whether there is memory for a patch, its use decides."""


@dataclass(frozen=True)
class Normalisation:
    """How grey values become the network's input: `low` to -1 and `high` to 1."""

    low: float
    high: float


@dataclass(frozen=True)
class ModelMetadata:
    """All that is needed to rebuild a network and to use what it puts out.

    Parameters
    ----------
    architecture : str
        Name in `mitotools.learn.models`.
    settings : dict
        Arguments of the network.
    targets : tuple of str
        What each output channel is.
    patch_voxels : (z, y, x) voxels
        What the network was trained on, and the window that it is applied to.
    voxel_size_nm : (z, y, x) nanometres, or None
        Of the training volume.
    decode : dict
        Options of `mitotools decode` that suit maps with voxels of the training's size.
    training : dict
        Parameters of the training, and `iterations_done`, `final_loss`; where it was validated,
        `best_iteration` and `validation_ap75`.
    card : dict of str to str
        What a model that is given to others says of itself: title, data, terms, cite, scores, limits.
    history : History
    """

    architecture: str
    settings: dict[str, Any]
    targets: tuple[str, ...]
    patch_voxels: Size
    voxel_size_nm: VoxelSize | None = None
    decode: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    card: dict[str, str] = field(default_factory=dict)
    history: History = ()

    def decode_at(self, voxel_size_nm: VoxelSize | None) -> dict[str, Any]:
        """Return the options for maps with voxels of this size: numbers of voxels stand for volumes."""
        if voxel_size_nm is None or self.voxel_size_nm is None:
            return self.decode
        times = math.prod(self.voxel_size_nm) / math.prod(voxel_size_nm)
        return {
            name: max(round(value * times), min(value, 1))
            if name.endswith("_voxels") and _counts(value)
            else value
            for name, value in self.decode.items()
        }

    def as_json(self) -> dict[str, Any]:
        """Return everything but the history, as JSON values."""
        values = asdict(self)
        del values["history"]
        return values

    def header(self) -> dict[str, str]:
        """Return the safetensors header."""
        return {KEY: json.dumps({"version": VERSION, **self.as_json(), "history": list(self.history)})}


def _counts(value: object) -> bool:
    """Whether this is a number of voxels; a file may hold anything."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def is_model(path: Path) -> bool:
    """Whether a file, whatever its name, begins as safetensors files do: the header's length, and JSON."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= path.stat().st_size - 8


def read_metadata(path: Path) -> ModelMetadata:
    """Read what a model file says of itself.

    Raises
    ------
    InputError
        Where there is no such file.
    ModelError
        Where it is no model, or one of a newer version.
    """
    if not path.is_file():
        raise InputError(str(path), "no such file")
    try:
        with safe_open(path, framework="numpy") as file:
            content = json.loads((file.metadata() or {})[KEY])
        return _parsed(path, content)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"its header has no {error}" if isinstance(error, KeyError) else error
        raise ModelError(
            str(path), f"is not a mitotools model ({reason})", "Models are made by 'mitotools train'"
        ) from error


def _parsed(path: Path, content: dict[str, Any]) -> ModelMetadata:
    if content["version"] > VERSION:
        why = f"has version {content['version']}, newer than this program's {VERSION}"
        raise ModelError(str(path), why, "Install a newer mitotools")
    z, y, x = (operator.index(length) for length in content["patch_voxels"])
    if not all(1 <= length <= LONGEST_PATCH for length in (z, y, x)):
        raise ValueError(f"its patches have {z} x {y} x {x} voxels")
    return ModelMetadata(
        architecture=str(content["architecture"]),
        settings=_table(content, "settings"),
        targets=tuple(map(str, content["targets"])),
        patch_voxels=(z, y, x),
        voxel_size_nm=known_voxel_size(content["voxel_size_nm"] and tuple(content["voxel_size_nm"])),
        decode=_table(content, "decode"),
        training=_table(content, "training"),
        card={key: str(value) for key, value in _table({"card": {}, **content}, "card").items()},
        history=tuple(record for record in content["history"] if isinstance(record, dict)),
    )


def _table(content: dict[str, Any], name: str) -> dict[str, Any]:
    table = content[name]
    if not isinstance(table, dict):
        raise TypeError(f"its {name} is no table")
    return table
