"""The format table. To add a format: one module with what `FormatModule` lists, one line here."""

from __future__ import annotations

import glob
import importlib
import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast

from mitotools.errors import InputError, TargetError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mitotools.volume.base import Reader, VolumeSpec, Writer


Writers = Literal["processes", "threads", "ordered"]


class FormatModule(Protocol):
    """What a format's module offers."""

    def open_reader(self, path: Path, dataset: str | None) -> Reader:
        """Open a volume; InputError says what is wrong with it."""

    def planned(self, spec: VolumeSpec, target: Path) -> VolumeSpec:
        """Return the volume as this format would store it, creating nothing: its `chunks` may differ.

        Raises
        ------
        TargetError
            Where the format has no such type, channels or compression.
        """

    def create_writer(self, path: Path, spec: VolumeSpec, target: Path) -> Writer:
        """Create a volume, as planned, at `path`, which will be renamed to `target`."""

    def reopen_writer(self, path: Path, spec: VolumeSpec, target: Path) -> Writer:
        """Open the unfinished volume at `path` to write more blocks, where `writers` is "processes"."""


@dataclass(frozen=True)
class Format:
    """A file format, recognised by its suffix."""

    name: str
    suffixes: tuple[str, ...]
    module: str
    has_attributes: bool = True
    """Whether files carry their history themselves; else a sidecar does."""
    writers: Writers = "processes"
    """Who may write blocks of one volume: several processes at once, several threads of the process that
    created it, or one thread in raster order ("ordered"; blocks then hold whole slices)."""
    writes: bool = True
    """Whether volumes can be written, not only read."""
    is_folder: bool = False
    """Whether a volume is a folder, not one file."""

    def load(self) -> FormatModule:
        """Import the format's module."""
        return cast("FormatModule", importlib.import_module(self.module))


FORMATS = (
    Format("HDF5", (".h5", ".hdf5", ".hdf"), "mitotools.volume.formats.hdf5", writers="threads"),
    Format("OME-Zarr", (".zarr",), "mitotools.volume.formats.ome_zarr", is_folder=True),
    Format("TIFF", (".tif", ".tiff"), "mitotools.volume.formats.tiff", has_attributes=False),
    Format("slices", (), "mitotools.volume.formats.slices", has_attributes=False, is_folder=True),
    Format("NIfTI", (".nii",), "mitotools.volume.formats.nifti", has_attributes=False),
    Format(
        "gzipped NIfTI",
        (".nii.gz",),
        "mitotools.volume.formats.nifti",
        has_attributes=False,
        writers="ordered",
    ),
    Format("NumPy", (".npy",), "mitotools.volume.formats.npy", has_attributes=False),
    Format(
        "precomputed",
        (".precomputed",),
        "mitotools.volume.formats.precomputed",
        has_attributes=False,
        is_folder=True,
    ),
    Format("N5", (".n5",), "mitotools.volume.formats.n5", has_attributes=False, writes=False, is_folder=True),
    Format(
        "MRC",
        (".mrc", ".rec", ".st", ".map"),
        "mitotools.volume.formats.mrc",
        has_attributes=False,
        writes=False,
    ),
    Format("tile set", (".json",), "mitotools.volume.formats.tile_set", has_attributes=False, writes=False),
)
HDF5, OME_ZARR, TIFF, SLICES, NIFTI, NIFTI_GZ, NPY, PRECOMPUTED, N5, MRC, TILE_SET = FORMATS

MARKS = {
    "zarr.json": OME_ZARR, ".zgroup": OME_ZARR, ".zarray": OME_ZARR,
    "info": PRECOMPUTED, "attributes.json": N5,
}  # fmt: skip
"""Files by which the format of a folder is known, whatever its name."""


def is_glob(file: str) -> bool:
    """Whether the name is a pattern for several files."""
    return any(sign in file for sign in "*?")


def matching(pattern: Path) -> list[Path]:
    """Return the files that a pattern names; its folder may be a pattern too."""
    # Where the folder is there, brackets in its name are no pattern.
    folder = glob.escape(str(pattern.parent)) if pattern.parent.is_dir() else str(pattern.parent)
    return [Path(name) for name in glob.glob(f"{folder}/{pattern.name}")]  # noqa: PTH207


def check_stored(file: str | Path, most_bytes: float = math.inf) -> None:
    """Raise InputError where a file is larger than it may be, or none: pipes and devices may have no end."""
    try:
        found = os.stat(file)  # noqa: PTH116 (a third of the time of Path's, for every chunk)
    except (OSError, ValueError):  # it is missing, which is well, or this is said when it is read
        return
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise InputError(str(file), "is a pipe or a device, and no file")
    if found.st_size > most_bytes:
        raise InputError(str(file), f"is too large to be true: {found.st_size} bytes", "Copy it again")


def format_of(file: str) -> Format:
    """Return the format of a file or folder, existing or new, by its name.

    Raises
    ------
    InputError
        Where no format has the suffix.
    """
    path = Path(file)
    if is_glob(file):
        return SLICES
    if path.is_dir():
        return _format_of_folder(path)
    by_suffix = format_by_suffix(path.name)
    if by_suffix is not None:
        return by_suffix
    if not path.suffix or file.endswith("/"):
        return SLICES
    raise InputError(file, f"unknown suffix {path.suffix!r}", f"Known are {_listed(FORMATS)}")


def writable_format_of(file: str) -> Format:
    """Return the format of a new file or folder, by its name.

    Raises
    ------
    TargetError
        Where no format has the suffix, or it is only read.
    """
    try:
        found = format_of(file)
    except InputError as error:
        raise TargetError(error.what, error.why, _written()) from error
    if not found.writes:
        raise TargetError(file, f"{found.name} is read, not written", _written())
    return found


def _written() -> str:
    return f"Written are {_listed(candidate for candidate in FORMATS if candidate.writes)}"


def _listed(formats: Iterable[Format]) -> str:
    suffixes = " ".join(suffix for candidate in formats for suffix in candidate.suffixes)
    return f"{suffixes}, and folders of slices"


def format_by_suffix(name: str) -> Format | None:
    """Return the format that has the suffix of a file or folder; None where none has."""
    matching_formats = (
        candidate
        for candidate in FORMATS
        if any(name.lower().endswith(suffix) for suffix in candidate.suffixes)
    )
    return next(matching_formats, None)


def _format_of_folder(path: Path) -> Format:
    by_suffix = format_by_suffix(path.resolve().name)
    if by_suffix is not None and by_suffix.is_folder:
        return by_suffix
    return next((found for mark, found in MARKS.items() if (path / mark).is_file()), SLICES)
