"""The JSON tile sets of MitoEM, read only: a list of image files, one a slice, or one a tile of a slice."""

from __future__ import annotations

import itertools
import math
import operator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools import history
from mitotools.errors import InputError
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box, boxes_within, size3
from mitotools.volume.formats.chunked import read_json
from mitotools.volume.formats.slice_cache import SliceCache
from mitotools.volume.formats.slice_files import read_slice
from mitotools.volume.formats.tile_pixels import (
    IMAGE_TYPES,
    cast_to,
    ids_or_greys,
    zoomed,
    zoomed_size,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mitotools.conventions import Array, Size

PLACE = "{row}_{column}"
"""What the name of a tile's file has where that of a slice has nothing."""

MOST_TILES = 10**7
"""In one set: more is a slip of the pen."""

MOST_RATIO = 10**12
"""By which tiles are zoomed, or its inverse: the size of more may be no number."""

Pair = tuple[int, int]
"""(y, x) voxels, or (row, column)."""


@dataclass(frozen=True)
class TileSet:
    """What the JSON file says.

    Parameters
    ----------
    patterns : tuple of str
        The file of each slice; where it contains `PLACE`, of each of its tiles.
    size : (z, y, x) voxels
    tile_size : (y, x) voxels
        After zooming.
    first : (row, column)
        What the numbers in the names start from.
    ratio : float
        By which tiles are zoomed.
    dtype : numpy.dtype, optional
        Of the volume; None: that of the files.
    """

    patterns: tuple[str, ...]
    size: Size
    tile_size: Pair
    first: Pair
    ratio: float
    dtype: np.dtype[Any] | None

    def unit(self, z: int) -> Size:
        """Return the voxels (1, y, x) of one file of a slice."""
        y, x = self.tile_size if PLACE in self.patterns[z] else self.size[1:]
        return 1, min(y, self.size[1]), min(x, self.size[2])

    def file(self, z: int, row: int, column: int) -> str:
        """Return the name of a tile's file."""
        if PLACE not in self.patterns[z]:
            return self.patterns[z]
        place = f"{row + self.first[0]}_{column + self.first[1]}"
        return self.patterns[z].replace(PLACE, place)

    def rows_and_columns(self, z: int) -> Pair:
        """Return how many tiles a slice has."""
        _, y, x = self.unit(z)
        return -(-self.size[1] // y), -(-self.size[2] // x)

    def files(self) -> Iterator[str]:
        """Yield the names of all files."""
        for z in range(self.size[0]):
            rows, columns = self.rows_and_columns(z)
            for row, column in itertools.product(range(rows), range(columns)):
                yield self.file(z, row, column)


class TileSetReader:
    """A tile set as one volume."""

    def __init__(self, path: Path, tiles: TileSet, folder: Path) -> None:
        self._tiles = tiles
        self._folder = folder
        _check_files(path, [folder / file for file in tiles.files()], folder)
        first = self._pixels(0, 0, 0)
        self._dtype = tiles.dtype or first.dtype.newbyteorder("=")
        self._cache = SliceCache(self._tile)
        self._check_size(0, 0, 0, first)  # before work starts
        self.spec = VolumeSpec(
            shape=tiles.size,
            dtype=self._dtype,
            history=history.read_sidecar(path),
            chunks=tiles.unit(0),
            is_labels=self._dtype.name not in IMAGE_TYPES and self._dtype != np.uint16,
        )

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`."""
        array = np.empty(box.shape, self._dtype)
        (z0, y0, x0), (z1, y1, x1) = box.start, box.stop
        for z in range(z0, z1):
            unit = self._tiles.unit(z)
            for part in boxes_within(Box((z, y0, x0), (z + 1, y1, x1)), unit):
                corner = size3([a // n * n for a, n in zip(part.start, unit, strict=True)])
                tile = self._cache.get((z, corner[1] // unit[1], corner[2] // unit[2]))
                array[part.relative_to(box.start).slices] = tile[part.relative_to(corner).slices[1:]]
        return array

    def close(self) -> None:
        """Forget the tiles."""
        self._cache.clear()

    def _pixels(self, z: int, row: int, column: int) -> Array:
        file = self._folder / self._tiles.file(z, row, column)
        return ids_or_greys(file, read_slice(file), self._tiles.dtype)

    def _tile(self, place: Size) -> Array:
        """Return a tile zoomed, in the type of the volume."""
        z, row, column = place
        array = self._pixels(z, row, column)
        self._check_size(z, row, column, array)
        file = self._folder / self._tiles.file(z, row, column)
        return zoomed(cast_to(file, array, self._dtype), self._tiles.ratio)

    def _check_size(self, z: int, row: int, column: int, array: Array) -> None:
        """Raise InputError where a tile has not the size that the volume has it have."""
        size = zoomed_size(array.shape, self._tiles.ratio)
        full = self._tiles.unit(z)[1:]
        starts = (row * full[0], column * full[1])
        ends = [min(n, total - a) for n, total, a in zip(full, self._tiles.size[1:], starts, strict=True)]
        # Tiles at the volume's end are cut to it, or filled up.
        if any(length not in (n, end) for length, n, end in zip(size, full, ends, strict=True)):
            expected, found = (" x ".join(str(n) for n in lengths) for lengths in (full, size))
            file = self._folder / self._tiles.file(z, row, column)
            raise InputError(str(file), f"expected {expected} pixels, found {found}")


def open_reader(path: Path, dataset: str | None, root: Path | None = None) -> TileSetReader:
    """Open a tile set.

    Parameters
    ----------
    path : Path
        Of the JSON file; relative names in it count from its folder.
    dataset : None
        A tile set holds none.
    root : Path, optional
        A folder that replaces the leading folders of all names. As many are dropped as must be, and no more,
        for one file at least to be found: ``/lab/EM30-H/im/im0000.png`` is looked for as
        ``ROOT/lab/EM30-H/im/im0000.png``, ``ROOT/EM30-H/im/im0000.png``, ``ROOT/im/im0000.png`` and last
        ``ROOT/im0000.png``. The same number of folders is dropped from every name.
    """
    if dataset is not None:
        raise InputError(f"{path}:{dataset}", "a tile set holds no datasets")
    return TileSetReader(path, *_found(path, root))


def files_of(path: Path, root: Path | None) -> list[Path]:
    """Return the JSON file, and all the images that it lists."""
    tiles, folder = _found(path, root)
    return [path, *(folder / file for file in tiles.files())]


def _found(path: Path, root: Path | None) -> tuple[TileSet, Path]:
    """Return a tile set, and the folder in which its images lie under the names that it then has."""
    content = read_json(path)
    if isinstance(content, dict) and "kind" in content and "tiles" in content:
        advice = "Name the volume that it cuts into tiles instead"
        raise InputError(str(path), "is a plan of mitotools, not a volume", advice)
    try:
        tiles = _parsed(content)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        why = (
            f"is no tile set ({error})" if not isinstance(error, KeyError) else f"is no tile set: no {error}"
        )
        raise InputError(str(path), why) from error
    if root is None:
        return tiles, path.parent
    dropped = _folders_to_drop(path, tiles, root)
    names = (str(PurePosixPath(*PurePosixPath(name).parts[dropped:])) for name in tiles.patterns)
    return replace(tiles, patterns=tuple(names)), root


def _parsed(content: Any) -> TileSet:
    patterns = content["image"]
    if not isinstance(patterns, list) or not all(isinstance(name, str) and name for name in patterns):
        raise ValueError("its image is no list of file names")
    size = size3([_positive(content, key) for key in ("depth", "height", "width")])
    if size[0] != len(patterns):
        raise ValueError(f"it states a depth of {size[0]} and lists {len(patterns)} slices")
    tile_size = _pair(content.get("tile_size", size[1:]))
    ratio = float(content.get("tile_ratio", 1))
    if min(tile_size) < 1 or not 1 / MOST_RATIO <= ratio <= MOST_RATIO:
        raise ValueError(f"tiles of {tile_size} pixels, zoomed by {ratio}")
    name = content.get("dtype")
    dtype = np.dtype(str(name).rpartition(".")[2]) if name is not None else None
    if dtype is not None and dtype.kind not in "uif":
        raise ValueError(f"its dtype is {name}")
    tiles = TileSet(tuple(patterns), size, tile_size, _pair(content.get("tile_st", (0, 0))), ratio, dtype)
    if sum(math.prod(tiles.rows_and_columns(z)) for z in range(size[0])) > MOST_TILES:
        raise ValueError(f"slices of {size[1:]} in tiles of {tile_size} pixels are more than {MOST_TILES}")
    return tiles


def _positive(content: Any, key: str) -> int:
    value = operator.index(content[key])
    if value < 1:
        raise ValueError(f"its {key} is {value}")
    return value


def _pair(values: Any) -> Pair:
    first, second = values if isinstance(values, list | tuple) else (values, values)
    return operator.index(first), operator.index(second)


def _folders_to_drop(path: Path, tiles: TileSet, root: Path) -> int:
    names = [PurePosixPath(tiles.file(z, 0, 0)).parts for z in range(tiles.size[0])]
    # The first part of an absolute name is its slash.
    for dropped in range(int(names[0][0] == "/"), min(len(parts) for parts in names)):
        if any(root.joinpath(*parts[dropped:]).is_file() for parts in names):
            return dropped
    first = "/".join(names[0]).replace("//", "/")
    raise InputError(
        str(path), f"no tile of it lies in {root}: neither {first} nor any other, however much of it"
    )


def _check_files(path: Path, files: list[Path], folder: Path) -> None:
    missing = [file for file in files if not file.is_file()]
    if missing:
        others = f", and so are {len(missing) - 1} others of the {len(files)} tiles" if missing[1:] else ""
        raise InputError(
            str(missing[0]), f"is missing{others} of {path}", "Say --root DIR if they lie in another folder"
        )
    # The list may be somebody else's: what it names outside its folder is read when the user says so.
    inside = folder.resolve()
    folders = {file.parent for file in files}
    strays = {place for place in folders if not place.resolve().is_relative_to(inside)}
    for file in files:
        if file.parent in strays or (file.is_symlink() and not file.resolve().is_relative_to(inside)):
            raise InputError(
                str(file), f"lies outside of {folder}", "Say --root DIR, a folder that it lies in"
            )
