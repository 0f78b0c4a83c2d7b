"""The format table. To add a format: one module with what `FormatModule` lists, one line here."""

from __future__ import annotations

import glob
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast

from mitotools.errors import InputError

if TYPE_CHECKING:
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

    def load(self) -> FormatModule:
        """Import the format's module."""
        return cast("FormatModule", importlib.import_module(self.module))


FORMATS = (
    Format("HDF5", (".h5", ".hdf5", ".hdf"), "mitotools.volume.formats.hdf5", writers="threads"),
    Format("OME-Zarr", (".zarr",), "mitotools.volume.formats.ome_zarr"),
    Format("TIFF", (".tif", ".tiff"), "mitotools.volume.formats.tiff", has_attributes=False),
    Format("slices", (), "mitotools.volume.formats.slices", has_attributes=False),
)
HDF5, OME_ZARR, TIFF, SLICES = FORMATS


def is_glob(file: str) -> bool:
    """Whether the name is a pattern for several files."""
    return any(sign in file for sign in "*?")


def matching(pattern: Path) -> list[Path]:
    """Return the files that a pattern names; its folder may be a pattern too."""
    # Where the folder is there, brackets in its name are no pattern.
    folder = glob.escape(str(pattern.parent)) if pattern.parent.is_dir() else str(pattern.parent)
    return [Path(name) for name in glob.glob(f"{folder}/{pattern.name}")]  # noqa: PTH207


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
    if path.is_dir() and path.suffix.lower() != ".zarr":
        is_zarr = any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))
        return OME_ZARR if is_zarr else SLICES
    for candidate in FORMATS:
        if path.suffix.lower() in candidate.suffixes:
            return candidate
    if not path.suffix or file.endswith("/"):
        return SLICES
    known = " ".join(suffix for candidate in FORMATS for suffix in candidate.suffixes)
    raise InputError(file, f"unknown suffix {path.suffix!r}", f"Known are {known}, and folders of slices")
