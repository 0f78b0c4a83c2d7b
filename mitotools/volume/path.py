"""``FILE[:DATASET][CROP]``: how the command line names a volume."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from mitotools.errors import InputError, UsageError
from mitotools.volume.blocks import Box, size3

if TYPE_CHECKING:
    from mitotools.conventions import Size

PIPE = "-"

# What looks like a range is a crop, well-formed or not; other brackets belong to the name: `slices[final]`.
_CROP = re.compile(r"\[(?P<crop>[^\[\]/]*[:,][^\[\]/]*|-?[\d ]*)\]$")
_CONTAINER = re.compile(
    r"^(?P<file>.+?\.(?:h5|hdf5|hdf|zarr|n5|precomputed))(?:(?P<separator>[:/])(?P<dataset>.*))?$",
    re.IGNORECASE,
)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_LOCAL_URL = re.compile(r"file://(?:localhost)?(?=/)", re.IGNORECASE)
_CHANNEL = re.compile(r"\s*\d{1,18}\s*", re.ASCII)
_RANGE = re.compile(r"\s*(?P<start>\d{0,18})\s*:\s*(?P<stop>\d{0,18})\s*", re.ASCII)

Bounds = tuple[int, int | None]
"""Start and stop of a range; None: to the end."""

Crop = tuple[tuple[Bounds, Bounds, Bounds] | None, int | Bounds | None]
"""The ranges and channels of a `VolumePath`."""


@dataclass(frozen=True)
class VolumePath:
    """The name of a volume.

    Parameters
    ----------
    file : str
        Path of the file or folder, a glob, a URL, or ``-``.
    dataset : str, optional
        Name of the array inside the file.
    ranges : three (start, stop), optional
        The crop along (z, y, x); a stop of None is the end.
    channels : int or (start, stop), optional
        The selected channels; an integer drops the channel axis.
    root : str, optional
        The folder in which the images of a JSON tile set lie, wherever it says they are.
    """

    file: str
    dataset: str | None = None
    ranges: tuple[Bounds, Bounds, Bounds] | None = None
    channels: int | Bounds | None = None
    root: str | None = None

    @property
    def is_pipe(self) -> bool:
        """Whether this is ``-``."""
        return self.file == PIPE

    @property
    def is_remote(self) -> bool:
        """Whether this is a URL; one of this machine's files has become a path."""
        return _URL.match(self.file) is not None

    def absolute(self) -> VolumePath:
        """Return the name as it is understood by a process with another working directory."""
        if self.is_remote or self.is_pipe:
            return self
        root = self.root and str(Path(self.root).absolute())
        return replace(self, file=str(Path(self.file).absolute()), root=root)

    def __str__(self) -> str:
        """Return the file and dataset, as messages name them."""
        return f"{self.file}:{self.dataset}" if self.dataset else self.file

    @property
    def crop(self) -> str:
        """The crop as it is written on the command line; empty where there is none."""
        parts = [] if self.channels is None else [_written(self.channels)]
        parts += [_written(bounds) for bounds in self.ranges or ()]
        return f"[{','.join(parts)}]" if parts else ""

    def box(self, size: Size) -> Box:
        """Return the crop of a volume of this (z, y, x) size.

        Raises
        ------
        InputError
            Where the crop is empty or leaves the volume.
        """
        if self.ranges is None:
            return Box.whole(size)
        start = size3([a for a, _ in self.ranges])
        stop = size3([n if b is None else b for (_, b), n in zip(self.ranges, size, strict=True)])
        box = Box(start, stop)
        if box.is_empty or not Box.whole(size).contains(box):
            raise InputError(str(self), f"the crop {box} does not lie in the volume {Box.whole(size)}")
        return box


def parse_volume_path(text: str) -> VolumePath:
    """Return the parts of ``FILE[:DATASET][CROP]``.

    The crop is ``[z0:z1,y0:y1,x0:x1]``, with a channel (``2``) or channel range (``0:2``) before it where
    there are channels, or that alone.

    Raises
    ------
    UsageError
        Where the crop has another form, or there is nothing but a crop.
    """
    crop = _CROP.search(text)
    name = text[: crop.start()] if crop else text
    if not name:
        raise UsageError(text or "''", "names no file")
    container = _CONTAINER.match(name)
    file, dataset = name, None
    if container:
        file, dataset = container["file"], (container["dataset"] or "").strip("/") or None
    file = _without_scheme(file)
    ranges, channels = parse_crop(crop["crop"], text) if crop else (None, None)
    return VolumePath(file, dataset, ranges, channels)


def _without_scheme(file: str) -> str:
    """Return the path that a file:// URL stands for; other names as they are."""
    local = _LOCAL_URL.match(file)
    if local:
        return unquote(file[local.end() :])
    if file.lower().startswith("file://"):
        raise UsageError(
            file, "names a file of another machine", "A file:// URL has three slashes: file:///PATH"
        )
    if _URL.fullmatch(file):
        raise UsageError(file, "names no file")
    return file


def parse_crop(crop: str, what: str) -> Crop:
    """Return the ranges and channels of a crop, which may stand in brackets, and between blanks.

    Parameters
    ----------
    crop : str
    what : str
        What to call it in messages.

    Raises
    ------
    UsageError
        Where it has another form.
    """
    crop = crop.strip()
    if crop.startswith("[") and crop.endswith("]"):
        crop = crop[1:-1]
    parts = crop.split(",")
    if len(parts) not in (1, 3, 4):
        raise UsageError(what, "a crop is [z0:z1,y0:y1,x0:x1], [channel] or [channel,z0:z1,y0:y1,x0:x1]")
    channels = _parse_channels(what, parts[0]) if len(parts) != 3 else None
    if len(parts) == 1:
        return None, channels
    z, y, x = (_parse_range(what, part) for part in parts[-3:])
    return (z, y, x), channels


def _parse_channels(what: str, part: str) -> int | Bounds:
    return int(part) if _CHANNEL.fullmatch(part) else _parse_range(what, part)


def _parse_range(what: str, part: str) -> Bounds:
    match = _RANGE.fullmatch(part)
    if match is None:
        raise UsageError(what, f"{part.strip()!r} is not a range START:STOP of voxels")
    return int(match["start"] or 0), int(match["stop"]) if match["stop"] else None


def _written(bounds: int | Bounds) -> str:
    if isinstance(bounds, int):
        return str(bounds)
    return f"{bounds[0]}:{'' if bounds[1] is None else bounds[1]}"
