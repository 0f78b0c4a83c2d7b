"""How a file came to be: a list of records, oldest first, that travels with every output."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotools import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Record = dict[str, Any]
"""command_line, version, time_utc, parameters, inputs: [{path, shape, dtype, fingerprint}]."""

History = tuple[Record, ...]


@dataclass(frozen=True)
class Input:
    """A file that a command read, as its history names it."""

    path: str
    shape: tuple[int, ...] = ()
    dtype: str = ""
    history: History = ()

    def as_json(self) -> dict[str, Any]:
        """Return the entry of the record's `inputs`."""
        return {
            "path": self.path,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "fingerprint": fingerprint(self),
        }


def fingerprint(source: Input) -> str:
    """Return 16 hexadecimal digits that change when the file does.

    They stand for the size and time of the file (of a folder: of its metadata file) and its attributes, not
    for its contents: those may be 33 GB.
    """
    path = Path(source.path)
    for metadata in ("zarr.json", ".zattrs", ".zarray"):
        if (path / metadata).is_file():
            path = path / metadata
            break
    if not path.exists():
        path = path.parent  # of a pattern such as slices/*.png, the folder
    stat = path.stat() if path.exists() else None
    facts = [stat and stat.st_size, stat and stat.st_mtime_ns, source.shape, source.dtype, source.history]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def extended(inputs: Sequence[Input], command_line: str, parameters: Mapping[str, Any]) -> History:
    """Return the history of an output: those of its inputs, then what this command did.

    Parameters
    ----------
    inputs : sequence of Input
    command_line : str
    parameters : mapping of str to JSON values
    """
    record = {
        "command_line": command_line,
        "version": __version__,
        "time_utc": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "parameters": dict(parameters),
        "inputs": [source.as_json() for source in inputs],
    }
    return (*united(source.history for source in inputs), record)


def differences(
    old: History, new: History, inputs: Sequence[str] = (), ignoring: Sequence[str] = ()
) -> list[str]:
    """Return what differs between the last steps of two histories, by name: parameters, then inputs.

    Command line, version and time may differ between runs that make the same.

    Parameters
    ----------
    old, new : History
    inputs : sequence of str
        What to call the inputs; by default their paths.
    ignoring : sequence of str
        Facts of inputs that may differ.
    """
    was, now = (history[-1] if history else {} for history in (old, new))
    names = [
        name
        for name in {**was.get("parameters", {}), **now.get("parameters", {})}
        if differ(was.get("parameters", {}).get(name), now.get("parameters", {}).get(name))
    ]
    pairs = zip_longest(inputs, was.get("inputs", []), now.get("inputs", []))
    return names + [
        name or (b or a)["path"]
        for name, a, b in pairs
        if differ(*({key: fact[key] for key in fact if key not in ignoring} for fact in (a or {}, b or {})))
    ]


def differ(a: object, b: object) -> bool:
    """Whether two values are written differently: a tuple is the list that it is read back as."""
    return json.dumps(a) != json.dumps(b)


def united(histories: Iterable[History]) -> History:
    """Return several histories as one, in which a shared ancestor stands once."""
    records = {json.dumps(record, sort_keys=True): record for history in histories for record in history}
    return tuple(records.values())


def to_json(history: History) -> str:
    """Return the history as the JSON text that files carry."""
    return json.dumps(list(history))


def from_json(text: str | bytes | None) -> History:
    """Return the history in a JSON text; what other programs left under that name is no history."""
    try:
        return from_records(json.loads(text) if text else [])
    except (ValueError, TypeError, RecursionError):
        return ()


def from_records(records: object) -> History:
    """Return the history in parsed JSON, likewise."""
    if not isinstance(records, list):
        return ()
    return tuple(record for record in records if isinstance(record, dict))


def sidecar(path: Path) -> Path:
    """Return the file that carries the history of a format without attributes."""
    return path.with_name(path.name + ".history.json")


def read_sidecar(path: Path) -> History:
    """Return the history of a file in a format without attributes."""
    file = sidecar(path)
    return from_json(file.read_bytes()) if file.is_file() else ()


def write_sidecar(path: Path, history: History) -> None:
    """Write the history of a file in a format without attributes beside it."""
    sidecar(path).write_text(to_json(history) + "\n")
