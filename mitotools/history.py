"""How a file came to be: a list of records, oldest first, that travels with every output."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotools import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Record = dict[str, Any]
"""command_line, version, time_utc, parameters, inputs: [{path, shape, dtype, fingerprint}].

An input also has its dataset, crop and root, where they were given.
"""

History = tuple[Record, ...]

_PARTS = ("dataset", "crop", "root")
"""What tells volumes of one file apart."""

_OF_SIZES = 8
"""Digits of a fingerprint that stand for sizes alone: a copy has the same."""


@dataclass(frozen=True)
class Input:
    """A file that a command read, as its history names it.

    Parameters
    ----------
    path : str
    shape : tuple of int
        Of what was read, as are the type and the history.
    dtype : str
    history : History
    dataset, crop, root : str
        What of the file was read, and from where, as `volume.path.VolumePath` has it; empty where it was not
        said.
    files : sequence of Path
        The files that its fingerprint is of: the slices of a folder, say. By default the one at `path`.
    """

    path: str
    shape: tuple[int, ...] = ()
    dtype: str = ""
    history: History = ()
    dataset: str = ""
    crop: str = ""
    root: str = ""
    files: Sequence[Path] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the entry of the record's `inputs`."""
        return {
            "path": self.path,
            **{part: getattr(self, part) for part in _PARTS if getattr(self, part)},
            "shape": list(self.shape),
            "dtype": self.dtype,
            "fingerprint": fingerprint(self),
        }


def input_of(file: Path) -> Input:
    """Return what a history says of a file that was read and is no volume: options, or a table."""
    return Input(str(file.resolve()), history=read_sidecar(file))


def fingerprint(source: Input) -> str:
    """Return 16 hexadecimal digits that change when the file does.

    They stand for sizes (the first half), and for names, times and attributes, not for contents: those may be
    33 GB.
    """
    sizes, others = hashlib.sha256(), hashlib.sha256()
    for file in source.files or (Path(source.path),):
        with suppress(OSError):  # gone, or behind a URL
            stat = file.stat()
            sizes.update(f"{stat.st_size} ".encode())
            others.update(os.fsencode(file.name) + f" {stat.st_mtime_ns} ".encode())
    others.update(json.dumps([source.shape, source.dtype, source.history]).encode())
    return sizes.hexdigest()[:_OF_SIZES] + others.hexdigest()[: 16 - _OF_SIZES]


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
    old: History, new: History, inputs: Sequence[str] = (), *, or_copies: bool = False
) -> list[str]:
    """Return what differs between the last steps of two histories, by name: parameters, then inputs.

    Command line, version and time may differ between runs that make the same.

    Parameters
    ----------
    old, new : History
    inputs : sequence of str
        What to call the inputs; by default their paths.
    or_copies : bool
        Inputs at other paths than before are the same where they may be copies, as far as their sizes tell.
    """
    was, now = (history[-1] if history else {} for history in (old, new))
    names = [
        name
        for name in {**was.get("parameters", {}), **now.get("parameters", {})}
        if differ(was.get("parameters", {}).get(name), now.get("parameters", {}).get(name))
    ]
    pairs = zip_longest(inputs, was.get("inputs", []), now.get("inputs", []))
    changed = (_changed(name, a or {}, b or {}, or_copies=or_copies) for name, a, b in pairs)
    return names + [name for name in changed if name]


def _changed(name: str | None, was: Record, now: Record, *, or_copies: bool) -> str:
    """Return what to call an input that has changed; an empty text for one that has not."""
    called = name or (now or was)["path"]
    if was.get("path") != now.get("path"):
        is_copy = or_copies and not differ(_kept_by_a_copy(was), _kept_by_a_copy(now))
        return "" if is_copy else called
    parts = [part for part in _PARTS if was.get(part) != now.get(part)]
    if parts:
        return f"{' and '.join(parts)} of {called}"
    return called if differ(was, now) else ""


def _kept_by_a_copy(entry: Record) -> Record:
    """Return what is the same of an input and its copy elsewhere."""
    kept = {key: value for key, value in entry.items() if key not in ("path", "root", "fingerprint")}
    return {**kept, "sizes": str(entry.get("fingerprint"))[:_OF_SIZES]}


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
    return tuple(record for record in records if _is_record(record))


def _is_record(record: object) -> bool:
    """Whether this may be one of ours; not all of it has to be there."""
    if not isinstance(record, dict) or not isinstance(record.get("parameters", {}), dict):
        return False
    inputs = record.get("inputs", [])
    return isinstance(inputs, list) and all(
        isinstance(entry, dict) and isinstance(entry.get("path"), str) for entry in inputs
    )


def sidecar(path: Path) -> Path:
    """Return the file that carries the history of a format without attributes."""
    return path.with_name(path.name + ".history.json")


def read_sidecar(path: Path) -> History:
    """Return the history of a file in a format without attributes."""
    file = sidecar(path)
    return from_json(file.read_bytes()) if file.is_file() else ()


def is_of_a_run(path: Path) -> bool:
    """Whether a run that is continued may have made this file: it has a history, or is not there yet."""
    return not path.exists() or bool(read_sidecar(path))


def write_sidecar(path: Path, history: History) -> None:
    """Write the history of a file in a format without attributes beside it."""
    file = sidecar(path)
    file.unlink(missing_ok=True)  # a link is not followed
    with file.open("x", encoding="utf-8") as opened:
        opened.write(to_json(history) + "\n")
