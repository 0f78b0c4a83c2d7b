"""Opening volumes, and creating them so that they appear only when they are complete."""

from __future__ import annotations

import errno
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from mitotools import history
from mitotools.errors import InputError, TargetError
from mitotools.volume.base import Volume
from mitotools.volume.formats import OME_ZARR, SLICES, format_of, is_glob
from mitotools.volume.plan import PLAN_NAME, extent_in_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mitotools.volume.base import Reader, VolumeSpec, Writer
    from mitotools.volume.path import VolumePath

Kind = Literal["any", "image", "labels", "maps"]

UNFINISHED = ".unfinished"
"""Suffix under which an output is written."""

REPLACED = ".replaced"
"""Suffix under which the folder that an output replaces is kept until it is replaced."""

_ZARR_METADATA = ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata")
_ZARR_CHUNK = re.compile(r"c|(c\.)?\d+(\.\d+)*")
_LITTER = (".DS_Store", "Thumbs.db")

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def open_volume(path: VolumePath, kind: Kind = "any") -> Volume:
    """Open a volume for reading.

    Parameters
    ----------
    path : VolumePath
    kind : {"any", "image", "labels", "maps"}
        What the caller needs: "image" and "labels" are (Z, Y, X), and labels are integers; "maps" are
        (C, Z, Y, X) uint8 or floating point.

    Raises
    ------
    InputError
        Where the volume is missing, unreadable, empty or of another kind.
    """
    # Path.exists raises an OSError for a name that is too long, os.path.exists does not.
    if not is_glob(path.file) and not os.path.exists(path.file):  # noqa: PTH110
        raise InputError(path.file, "no such file or folder")
    reader = format_of(path.file).load().open_reader(Path(path.file), path.dataset)
    try:
        return _as_kind(_viewed(path, reader), kind)
    except BaseException:
        reader.close()
        raise


def source_of(path: VolumePath, volume: Volume) -> history.Input:
    """Return what a history says of a volume that was read."""
    file = str(Path(path.file).resolve())
    return history.Input(file, volume.spec.shape, str(volume.spec.dtype), volume.spec.history)


@contextmanager
def create_volume(target: VolumePath, spec: VolumeSpec, *, force: bool = False) -> Iterator[Writer]:
    """Create a volume that appears under its name when the block ends without an error.

    Raises
    ------
    TargetError
        Where the target exists and `force` is not given, or cannot be written.
    """
    check_target(target, force=force)
    kind = format_of(target.file)
    final = _final(target)
    with _unfinished(final, force=force) as path:
        module = kind.load()
        writer = module.create_writer(path, module.planned(spec, Path(target.file)), Path(target.file))
        try:
            yield writer
        finally:
            writer.close()
        if not kind.has_attributes:
            history.write_sidecar(path, spec.history)


@contextmanager
def create_file(final: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a path to write a file to, which is renamed to `final` when the block ends without an error."""
    check_file(final, force=force)
    with _unfinished(final, force=force) as path:
        yield path


def check_target(target: VolumePath, *, force: bool = False) -> None:
    """Raise TargetError where a volume cannot be created, so that no work is done in vain."""
    if target.is_pipe:
        return
    if target.dataset or target.ranges or target.channels is not None:
        raise TargetError(str(target), "an output is a whole file", f"Write to {target.file}")
    try:
        kind = format_of(target.file)
    except InputError as error:
        raise TargetError(error.what, error.why, error.what_next) from error
    final = _final(target)
    check_file(final, force=force)
    if final.is_dir() and kind not in (OME_ZARR, SLICES):
        raise TargetError(str(final), "is a folder")


def check_file(final: Path, *, force: bool = False) -> None:
    """Raise TargetError where a file or folder exists already or has no folder to lie in."""
    if not final.absolute().parent.is_dir():
        raise TargetError(str(final), f"the folder {final.parent} does not exist")
    if final.exists() and not force:
        raise TargetError(str(final), "exists already", "Use --force to replace it")
    for suffix, why in (
        (UNFINISHED, "another run is writing this output, or was killed"),
        (REPLACED, "is what a run that was killed had begun to replace"),
    ):
        leftover = final.with_name(final.name + suffix)
        if leftover.exists() and not force:
            raise TargetError(str(leftover), why, "Use --force to start over")
    if final.is_dir() and not _is_output(final):
        raise TargetError(str(final), "is a folder with other things in it, which --force would delete")


@contextmanager
def _unfinished(final: Path, *, force: bool) -> Iterator[Path]:
    path = final.with_name(final.name + UNFINISHED)
    sidecar = history.sidecar(path)
    if force:
        remove(path)
        remove(sidecar)
    try:
        yield path
        # No history at all for a moment is better than that of the volume which is replaced.
        remove(history.sidecar(final))
        _replace(path, final)
        if sidecar.exists():
            sidecar.replace(history.sidecar(final))
    except BaseException as error:
        remove(path)
        remove(sidecar)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise TargetError(str(final), f"cannot be written ({os.strerror(error.errno)})") from error
        raise


def _replace(path: Path, final: Path) -> None:
    if not path.is_dir() and not final.is_dir():
        path.replace(final)
        return
    # A folder cannot be replaced in one step: the old one makes room first, and comes back on failure.
    old = final.with_name(final.name + REPLACED)
    remove(old)
    if not final.exists():
        path.rename(final)
        return
    final.rename(old)
    try:
        path.rename(final)
    except BaseException:
        old.rename(final)
        raise
    remove(old)


def remove(path: Path) -> None:
    """Delete a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_output(folder: Path) -> bool:
    """Whether the folder is a zarr, slices or tiles, with nothing else in it."""
    names = [entry.name for entry in folder.iterdir() if entry.name not in _LITTER]
    if _is_zarr(folder):
        return all(_is_part_of_zarr(folder / name) for name in names)
    if PLAN_NAME in names:
        return all(name == PLAN_NAME or extent_in_name(name) for name in names)
    return all(name.lower().endswith((".png", ".tif", ".tiff")) for name in names)


def _is_zarr(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _ZARR_METADATA)


def _is_part_of_zarr(entry: Path) -> bool:
    is_chunk = _ZARR_CHUNK.fullmatch(entry.name) is not None
    return is_chunk or entry.name in (*_ZARR_METADATA, "OME") or (entry.is_dir() and _is_zarr(entry))


def _final(target: VolumePath) -> Path:
    path = Path(target.file)
    return path.parent if is_glob(path.name) else path


def _viewed(path: VolumePath, reader: Reader) -> Volume:
    spec = reader.spec
    if len(spec.shape) not in (3, 4):
        raise InputError(
            str(path), f"expected three dimensions (z, y, x), or four with channels, found shape {spec.shape}"
        )
    if spec.dtype.kind not in "uifb":
        raise InputError(str(path), f"expected numbers, found {spec.dtype}")
    if 0 in spec.shape:
        raise InputError(str(path), f"is empty: its shape is {spec.shape}")
    return Volume(reader, str(path), path.box(spec.size), _channels(path, spec))


def _channels(path: VolumePath, spec: VolumeSpec) -> slice | int | None:
    if path.channels is None:
        return None
    if spec.channels is None:
        raise InputError(str(path), f"has no channels to select from: its shape is {spec.shape}")
    first, stop = (path.channels, path.channels + 1) if isinstance(path.channels, int) else path.channels
    stop = spec.channels if stop is None else stop
    if not 0 <= first < stop <= spec.channels:
        raise InputError(str(path), f"has channels 0 to {spec.channels - 1}, not {first}:{stop}")
    return first if isinstance(path.channels, int) else slice(first, stop)


def _as_kind(volume: Volume, kind: Kind) -> Volume:
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


def _as_maps(volume: Volume) -> Volume:
    dtype = volume.spec.dtype
    if dtype != np.uint8 and dtype.kind != "f":
        raise InputError(volume.name, f"expected maps in uint8 or floating point, found {dtype}")
    return volume.with_channel_axis()
