"""HDF5 files, and what names in them lead to.

HDF5 follows links, virtual datasets and external storage to any file that they name. Here names are followed
link by link, and another file is opened only where it is a regular one in or below the folder of the first.

Files are locked while they are read, as HDF5 does it: what another program has open for writing is refused,
for half of it may be missing. Where the file system has no locks (some network disks), files are read without
one. The environment variable HDF5_USE_FILE_LOCKING has the last word: FALSE reads whatever is there.
"""

from __future__ import annotations

import errno
import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py

from mitotools.errors import InputError
from mitotools.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    Shape = tuple[int, ...] | None

MOST_LINKS = 100_000
"""Links that are looked at before the user is asked for a name: seconds. A long path counts as several."""

BYTES_OF_A_LINK = 640
"""Of a path, for which it counts as one link: all paths of a listing then take at most 64 MB."""

MOST_DETOURS = 16
"""Soft and external links in a name, as in HDF5, and datasets that are virtual behind one that is."""

MOST_LISTED, LONGEST_SHOWN = 10, 120
"""Datasets of a message, and the signs of a name in it."""

_BUSY = (errno.EAGAIN, errno.EACCES)
"""What locking says of a file that another program has locked."""

_ONE_FILE = "Write it into one file with h5repack"


class Hdf5Files:
    """An HDF5 file and those that it leads to, open for reading.

    Parameters
    ----------
    path : Path

    Raises
    ------
    InputError
        Where it cannot be read; methods raise it too, where a name leads out of the folder of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._main = path.resolve()
        # Kept open, under their own names: HDF5 then finds the sources of a virtual dataset where they were
        # found here, and cannot run out of files half way, which it would show as fill values.
        self._open = {self._main: _opened(path, self._main)}
        self._depths: dict[tuple[int, int], int] = {}
        self._left = MOST_LINKS

    def dataset(self, name: str) -> h5py.Dataset | None:
        """Return the dataset of a name, or None where there is none."""
        return self._dataset(self._main, _encoded(name))

    def shapes(self) -> dict[str, Shape]:
        """Return the shapes of all datasets; of one with several names, links among them, the first."""
        found: dict[str, Shape] = {}
        seen: set[tuple[int, int]] = set()
        detours: list[bytes] = []
        pending = [(self._root(self._main), b".", b"")]
        while pending:
            parent, name, path = pending.pop()
            about = h5py.h5o.get_info(parent, name)
            key = (about.fileno, about.addr)
            if key in seen:
                continue
            seen.add(key)
            if about.type == h5py.h5o.TYPE_DATASET:
                dataset = h5py.h5o.open(parent, name)
                self._check(dataset, self._main)
                found[_decoded(path)] = h5py.Dataset(dataset).shape
            elif about.type == h5py.h5o.TYPE_GROUP:
                group = h5py.h5o.open(parent, name)
                hard, others = self._links(group, path)
                pending.extend((group, link, _joined(path, link)) for link in reversed(hard))
                detours += others
        for path in detours:
            self._count(path.count(b"/"))
            linked = self._dataset(self._main, path)
            if linked is not None and _key(linked.id) not in seen:
                seen.add(_key(linked.id))
                found[_decoded(path)] = linked.shape
        return found

    def close(self) -> None:
        """Close all files."""
        for file in self._open.values():
            file.close()

    def _links(self, group: h5py.h5g.GroupID, path: bytes) -> tuple[list[bytes], list[bytes]]:
        """Return the names of the hard links of a group, and the paths of its soft and external ones."""
        hard: list[bytes] = []
        others: list[bytes] = []

        def note(name: bytes, link: Any) -> bool | None:
            self._left -= 1 + (len(path) + len(name)) // BYTES_OF_A_LINK
            if link.type == h5py.h5l.TYPE_HARD:
                hard.append(name)
            else:
                others.append(_joined(path, name))
            return self._left < 0 or None  # anything but None ends it

        group.links.iterate(note, info=True)
        self._count(0)
        return hard, others

    def _count(self, links: int) -> None:
        self._left -= links
        if self._left < 0:
            why = f"has more than {MOST_LINKS} links to look through"
            raise InputError(str(self._path), why, f"Say {self._path}:NAME, without links on the way to it")

    def _root(self, file: Path) -> h5py.h5g.GroupID:
        return h5py.h5g.open(self._open[file].id, b"/")

    def _dataset(self, file: Path, name: bytes) -> h5py.Dataset | None:
        """Return the dataset of a name in a file, having looked where all of it lies."""
        found, file = self._object(file, name)
        if not isinstance(found, h5py.h5d.DatasetID):
            return None
        self._check(found, file)
        return h5py.Dataset(found)

    def _object(self, file: Path, name: bytes) -> tuple[h5py.h5g.ObjectID | None, Path]:
        """Return what a name leads to, or None, and the file that it lies in."""
        here, steps, detours = self._root(file), _steps(name), 0
        while steps:
            step = steps.pop()
            if not isinstance(here, h5py.h5g.GroupID) or not here.links.exists(step):
                return None, file
            kind = here.links.get_info(step).type
            if kind == h5py.h5l.TYPE_HARD:
                here = h5py.h5o.open(here, step)
                continue
            detours += 1
            if detours > MOST_DETOURS or kind not in (h5py.h5l.TYPE_SOFT, h5py.h5l.TYPE_EXTERNAL):
                return None, file
            target = here.links.get_val(step)
            if kind == h5py.h5l.TYPE_EXTERNAL:
                other, target = target
                file = self._named(file, os.fsdecode(other))
                if not file.exists():
                    return None, file
                here = self._root(self._opened(file))
            elif target.startswith(b"/"):
                here = self._root(file)
            steps += _steps(target)
            self._count(target.count(b"/"))
        return here, file

    def _named(self, file: Path, name: str) -> Path:
        """Return where the file lies that another one names; HDF5 looks beside it, if not where it says."""
        place = Path(name)
        if place.is_absolute() and not place.exists():
            place = Path(place.name)
        found = (file.parent / place).resolve()
        if not found.is_relative_to(self._main.parent):
            why = f"leads to {shown(str(found))}, outside of the folder that it lies in"
            advice = "Read that file itself, or copy it beside and link to the copy"
            raise InputError(str(self._path), why, advice)
        if found.exists() and not found.is_file():
            raise InputError(str(self._path), f"leads to {shown(str(found))}, which is no regular file")
        return found

    def _opened(self, file: Path) -> Path:
        if file not in self._open:
            self._open[file] = _opened(file, file)
        return file

    def _check(self, dataset: h5py.h5d.DatasetID, file: Path, behind: tuple[Any, ...] = ()) -> int:
        """Raise InputError where voxels lie elsewhere; return how many virtual datasets follow each other."""
        plan = dataset.get_create_plist()
        name = f"{self._path if file == self._main else file}:{name_of(dataset)}"
        if plan.get_external_count():
            other = shown(os.fsdecode(plan.get_external(0)[0]))
            raise InputError(name, f"keeps its voxels in another file, {other}, which is not read", _ONE_FILE)
        if plan.get_layout() != h5py.h5d.VIRTUAL:
            return 0
        key = _key(dataset)
        if key in behind:
            raise InputError(name, "is a virtual dataset of itself")
        if key not in self._depths and len(behind) < MOST_DETOURS:
            sources = ((plan.get_virtual_filename(i), plan.get_virtual_dsetname(i))
                       for i in range(plan.get_virtual_count()))  # fmt: skip
            depths = (self._source(name, file, *each, (*behind, key)) for each in dict.fromkeys(sources))
            self._depths[key] = 1 + max(depths, default=0)
        depth = self._depths.get(key, MOST_DETOURS + 1)
        if len(behind) + depth > MOST_DETOURS:
            why = f"is a virtual dataset of more than {MOST_DETOURS} that follow each other"
            raise InputError(name, why, _ONE_FILE)
        return depth

    def _source(self, name: str, file: Path, other: str, dataset: str, behind: tuple[Any, ...]) -> int:
        """Check one source of a virtual dataset, as `_check` does."""
        for text in (other, dataset):
            if "%" in text.replace("%%", ""):
                why = f"takes its sources from all that fit {shown(text)}, which is not supported"
                raise InputError(name, why, _ONE_FILE)
        if other != ".":
            file = self._named(file, other.replace("%%", "%"))
            if not file.exists():
                raise _missing(name, shown(str(file)))
            self._opened(file)
        found, place = self._object(file, _encoded(dataset.replace("%%", "%")))
        if not isinstance(found, h5py.h5d.DatasetID):
            raise _missing(name, f"{shown(str(file))}:{shown(dataset)}")
        return self._check(found, place, behind)


def _missing(name: str, source: str) -> InputError:
    return InputError(name, f"is a virtual dataset, and its source {source} is missing", "Copy it there")


def listed(shapes: Mapping[str, Shape]) -> str:
    """Return the names of datasets, with their shapes, for a message."""
    names = [f"{shown(name)} {shape}" for name, shape in islice(shapes.items(), MOST_LISTED)]
    more = f" and {len(shapes) - MOST_LISTED} more" if len(shapes) > MOST_LISTED else ""
    return ", ".join(names) + more or "no dataset"


def name_of(dataset: h5py.h5d.DatasetID) -> str:
    """Return the name of a dataset in its file, for a message."""
    return shown(_decoded(h5py.h5i.get_name(dataset)))


def shown(name: str) -> str:
    """Return a name that a file says, for a message: not too long, and all signs of it printable."""
    text, half = printable(name), LONGEST_SHOWN // 2
    return text if len(text) <= LONGEST_SHOWN else f"{text[:half]}...{text[-half:]}"


def _steps(name: bytes) -> list[bytes]:
    """Return the parts of a path, the last first."""
    return [step for step in reversed(name.split(b"/")) if step not in (b"", b".")]


def _joined(path: bytes, name: bytes) -> bytes:
    return path + b"/" + name if path else name


def _key(thing: h5py.h5g.ObjectID) -> tuple[int, int]:
    """Return what no other open object has."""
    about = h5py.h5o.get_info(thing)
    return about.fileno, about.addr


def _encoded(name: str) -> bytes:
    return name.encode(errors="surrogateescape")


def _decoded(name: bytes) -> str:
    return name.decode(errors="surrogateescape")


def _opened(path: Path, file: Path) -> h5py.File:
    try:
        try:
            return h5py.File(file, "r")
        except OSError as error:
            if not _cannot_lock(error) or error.errno in _BUSY:
                raise
            return h5py.File(file, "r", locking=False)
    except OSError as error:
        raise _in_words(path, error) from error


def _cannot_lock(error: OSError) -> bool:
    return "unable to lock file" in str(error)


def _in_words(path: Path, error: OSError) -> InputError:
    if _cannot_lock(error) and error.errno in _BUSY:
        return InputError(str(path), "another program is writing it", "Try again when it has closed the file")
    if error.errno == errno.EMFILE:
        return InputError(str(path), "is one open file too many", "Allow more of them: ulimit -n")
    if "already open for write" in str(error):
        return InputError(
            str(path),
            "another program is writing it, or was killed while it did",
            "If none is, 'h5clear --status' makes it readable",
        )
    return InputError(str(path), f"cannot be read as HDF5 ({error})", "Check that the file is complete")
