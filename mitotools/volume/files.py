"""Opening volumes, whatever their format."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from mitotools import history
from mitotools.errors import InputError, UsageError
from mitotools.volume.atomic import UNFINISHED
from mitotools.volume.base import Volume
from mitotools.volume.formats import MARKS, OME_ZARR, SLICES, TILE_SET, check_stored, format_of, is_glob
from mitotools.volume.unchanged import Watched

if TYPE_CHECKING:
    from types import EllipsisType, TracebackType

    from mitotools.conventions import Array
    from mitotools.volume.base import Reader, VolumeSpec
    from mitotools.volume.blocks import Box
    from mitotools.volume.path import VolumePath

Kind = Literal["any", "image", "labels", "maps"]

_METADATA = (*MARKS, ".zattrs")
"""Files of a chunked volume that are written whenever it is."""

LONGEST = np.iinfo(np.int64).max
"""Axis or chunk, in voxels."""


@dataclass(frozen=True)
class OpenReader:
    """A reader that another process opens for itself when it is sent there."""

    reader: Reader
    path: VolumePath

    @property
    def spec(self) -> VolumeSpec:
        """What the volume is."""
        return self.reader.spec

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels."""
        return self.reader.read(box)

    def close(self) -> None:
        """Let go of the file."""
        self.reader.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to open the file again."""
        return _open_reader, (self.path.absolute(),)


class FileVolume(Volume):
    """A volume of files that nobody else is to change while it is open.

    Parameters
    ----------
    reader : Reader
    path : VolumePath
        What the reader reads, and the part of it that is the volume.

    Raises
    ------
    InputError
        Where the crop is not within the file, or it has no such channels.
    """

    def __init__(self, reader: Reader, path: VolumePath) -> None:
        super().__init__(reader, str(path), path.box(reader.spec.size), _channels(path, reader.spec))
        self._path = path
        self._files = [] if path.is_remote else _files(path)
        self._watched = None if path.is_remote else Watched(self._files or [Path(path.file)])

    def source(self) -> history.Input:
        """Return what a history says of it."""
        path, spec = self._path, self.spec
        return history.Input(
            path=path.file if path.is_remote else str(Path(path.file).resolve()),
            shape=spec.shape,
            dtype=str(spec.dtype),
            history=spec.history,
            dataset=path.dataset or "",
            crop=path.crop,
            root=str(Path(path.root).resolve()) if path.root else "",
            files=self._files,
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs, where nobody looks after the files."""
        return {**super().__getstate__(), "_files": [], "_watched": None}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the volume.

        Raises
        ------
        InputError
            Where nothing else went wrong, and a file is not what it was.
        """
        super().__exit__(kind, error, trace)
        if kind is None and self._watched:
            self._watched.check(self.name)


def _open_reader(path: VolumePath) -> OpenReader:
    if path.is_remote:
        opener = cast("Any", OME_ZARR.load())  # alone among formats it takes URLs
        return OpenReader(opener.open_reader(path.file, path.dataset), path)
    # Path.exists raises an OSError for a name that is too long, os.path.exists does not.
    if not is_glob(path.file) and not os.path.exists(path.file):  # noqa: PTH110
        raise InputError(path.file, "no such file or folder")
    check_stored(path.file)
    kind = format_of(path.file)
    if path.root is None:
        return OpenReader(kind.load().open_reader(Path(path.file), path.dataset), path)
    if kind is not TILE_SET:
        raise UsageError("--root", f"is for the images of a JSON tile set, and {path.file} is none")
    opener = cast("Any", kind.load())
    return OpenReader(opener.open_reader(Path(path.file), path.dataset, root=Path(path.root)), path)


def open_volume(path: VolumePath, kind: Kind = "any", *, unfinished: bool = False) -> FileVolume:
    """Open a volume for reading.

    Parameters
    ----------
    path : VolumePath
    kind : {"any", "image", "labels", "maps"}
        What the caller needs: "image" and "labels" are (Z, Y, X), and labels are integers; "maps" are
        (C, Z, Y, X) uint8 or floating point.
    unfinished : bool
        Whether it may be one that is being written.

    Raises
    ------
    InputError
        Where the volume is missing, unreadable, empty, of another kind, or named as what no run has finished.
    """
    if not unfinished:
        check_finished(Path(path.file) / (path.dataset or ""))
        check_finished(Path(path.file))
    reader = _open_reader(path)
    try:
        _check_spec(path, reader.spec)
        return _as_kind(FileVolume(reader, path), kind)
    except BaseException:
        reader.close()
        raise


def check_finished(path: Path) -> None:
    """Raise InputError where a file or folder, or the folder that it lies in, is an output yet unfinished.

    What is missing of it would be read as background.
    """
    for place in (path, path.parent):
        if place.name.endswith(UNFINISHED) and os.path.exists(place):  # noqa: PTH110
            why = "is not finished: another run is writing it, or was killed"
            what_next = "Wait for it, or continue it with --resume; to read what there is, rename it"
            raise InputError(str(place), why, what_next)


def _files(path: VolumePath) -> list[Path]:
    """Return what changes with a volume: its images, or the metadata of a chunked one; none for one file."""
    place, kind = Path(path.file), format_of(path.file)
    if kind is SLICES:
        return cast("list[Path]", cast("Any", kind.load()).slice_files(place))
    if kind is TILE_SET:
        return cast("list[Path]", cast("Any", kind.load()).files_of(place, path.root and Path(path.root)))
    folders = dict.fromkeys((place, place / (path.dataset or "")))
    return [folder / name for folder in folders for name in _METADATA if (folder / name).is_file()]


def _check_spec(path: VolumePath, spec: VolumeSpec) -> None:
    if len(spec.shape) not in (3, 4):
        raise InputError(
            str(path), f"expected three dimensions (z, y, x), or four with channels, found shape {spec.shape}"
        )
    if spec.dtype.kind not in "uifb":
        raise InputError(str(path), f"expected numbers, found {spec.dtype}")
    if 0 in spec.shape:
        raise InputError(str(path), f"is empty: its shape is {spec.shape}")
    if max(*spec.shape, *spec.unit) > LONGEST:
        raise InputError(str(path), "is too large to be true: an axis, or a chunk, of 2^63 voxels or more")


def _channels(path: VolumePath, spec: VolumeSpec) -> slice | int | EllipsisType:
    if path.channels is None:
        return ...
    if spec.channels is None:
        raise InputError(str(path), f"has no channels to select from: its shape is {spec.shape}")
    first, stop = (path.channels, path.channels + 1) if isinstance(path.channels, int) else path.channels
    stop = spec.channels if stop is None else stop
    if not 0 <= first < stop <= spec.channels:
        raise InputError(str(path), f"has channels 0 to {spec.channels - 1}, not {first}:{stop}")
    return first if isinstance(path.channels, int) else slice(first, stop)


def _as_kind(volume: FileVolume, kind: Kind) -> FileVolume:
    if kind == "maps":
        return _as_maps(volume)
    if kind == "any":
        return volume
    if volume.spec.channels not in (None, 1):
        raise InputError(
            volume.name,
            f"expected (z, y, x), found {volume.spec.channels} channels",
            f"Select one: {volume.name}[0]",
        )
    if kind == "labels" and volume.spec.dtype.kind not in "uib":
        raise InputError(
            volume.name, f"expected integer labels, found {volume.spec.dtype}", "Run 'mitotools decode' first"
        )
    return volume.without_channel_axis()


def _as_maps(volume: FileVolume) -> FileVolume:
    dtype = volume.spec.dtype
    if dtype != np.uint8 and dtype.kind != "f":
        raise InputError(volume.name, f"expected maps in uint8 or floating point, found {dtype}")
    return volume.with_channel_axis()
