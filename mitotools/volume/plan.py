"""Plans: a volume cut into tiles, as a JSON file; and the names of tile files."""

from __future__ import annotations

import json
import math
import operator
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotools.errors import InputError, UsageError
from mitotools.history import from_records
from mitotools.volume.blocks import Box, grid, size3
from mitotools.volume.path import VolumePath, parse_volume_path
from mitotools.volume.voxel_size import known_voxel_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.conventions import Size, VoxelSize
    from mitotools.history import History

PLAN_NAME = "plan.json"
"""Name of the plan inside a folder of tiles."""

TILE_NAME = re.compile(
    r"^(?P<name>.*)_(?P<extent>\d+-\d+-\d+-\d+-\d+-\d+)(?P<tag>(?:_[A-Za-z]+)?)\.(?:h5|hdf5|hdf)$",
    re.IGNORECASE | re.ASCII,
)
"""``<name>_<z0>-<z1>-<y0>-<y1>-<x0>-<x1>[_<tag>].h5``; the name may contain anything."""

MOST_TILES = 10**5
"""In one plan: more is a slip of the pen, and would take more memory than their voxels."""

_KIND = "mitotools plan"


@dataclass(frozen=True)
class Tile:
    """A block of the grid, and the block with its halo."""

    core: Box
    extent: Box


@dataclass(frozen=True)
class Plan:
    """A volume and the tiles that it is cut into.

    Parameters
    ----------
    volume : VolumePath
        The volume, relative to the working directory or absolute.
    name : str
        What the names of tile files start with.
    shape : (Z, Y, X) voxels
    size, halo : (z, y, x) voxels
        Of a block, and of the margin around it.
    voxel_size_nm : (z, y, x) nanometres, or None
    history : History
    """

    volume: VolumePath
    name: str
    shape: Size
    size: Size
    halo: Size
    voxel_size_nm: VoxelSize | None = None
    history: History = ()

    @property
    def count(self) -> int:
        """Number of tiles."""
        return math.prod(-(-length // size) for length, size in zip(self.shape, self.size, strict=True))

    @property
    def flaw(self) -> str:
        """Why the tiles cannot be files of their own, or an empty text."""
        if self.count > MOST_TILES:
            return f"makes more than {MOST_TILES} tiles"
        # Tiles are named by their extent: two that the volume's ends cut to the same extent are one file.
        for length, size, halo in zip(self.shape, self.size, self.halo, strict=True):
            last_from_start = min(halo // size, -(-length // size) - 1)
            if last_from_start > 0 and last_from_start * size + halo >= length:
                return "makes tiles that hold the same voxels, so wide is the halo"
        return ""

    @property
    def tiles(self) -> list[Tile]:
        """The tiles, in raster order of their cores."""
        return [Tile(core, core.grown(self.halo, self.shape)) for core in grid(self.shape, self.size)]

    @property
    def largest(self) -> Size:
        """Voxels (z, y, x) of the largest tile, halo included."""
        z, y, x = (
            max(min(start + size + halo, length) - max(start - halo, 0) for start in range(0, length, size))
            for length, size, halo in zip(self.shape, self.size, self.halo, strict=True)
        )
        return z, y, x

    def file_name(self, tile: Tile) -> str:
        """Return the name of a tile's file: its extent, halo included."""
        return f"{self.name}_{'-'.join(map(str, flat(tile.extent)))}.h5"


def flat(box: Box) -> tuple[int, ...]:
    """Return a box as (z0, z1, y0, y1, x0, x1)."""
    return tuple(value for pair in zip(box.start, box.stop, strict=True) for value in pair)


def unflat(values: Sequence[int]) -> Box:
    """Return the box written as (z0, z1, y0, y1, x0, x1)."""
    return Box(size3(values[0::2]), size3(values[1::2]))


def extent_in_name(file_name: str) -> Box | None:
    """Return the extent that a tile file's name states, or None for a file that is no tile."""
    match = TILE_NAME.match(file_name)
    return unflat([int(word) for word in match["extent"].split("-")]) if match else None


def set_in_name(file_name: str) -> tuple[str, str]:
    """Return what a tile file's name says of the set that it belongs to: the volume's name, and the tag."""
    match = TILE_NAME.match(file_name)
    return (match["name"], match["tag"].removeprefix("_")) if match else (file_name, "")


def write_plan(path: Path, plan: Plan, folder: Path) -> None:
    """Write a plan to `path`, in which the volume is named relative to `folder`, where the plan will lie."""
    volume = plan.volume
    file = volume.file if volume.is_remote else os.path.relpath(volume.file, folder)
    content = {
        "kind": _KIND,
        "volume": f"{replace(plan.volume, file=file, ranges=None, channels=None)}{plan.volume.crop}",
        "root": plan.volume.root and os.path.relpath(plan.volume.root, folder),
        "name": plan.name,
        "shape": plan.shape,
        "voxel_size_nm": plan.voxel_size_nm,
        "size": plan.size,
        "halo": plan.halo,
        "tiles": [{"core": flat(tile.core), "extent": flat(tile.extent)} for tile in plan.tiles],
        "history": list(plan.history),
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def is_plan(path: Path) -> bool:
    """Whether a file is named as a plan is, and is not the description of a MitoEM tile set."""
    return path.suffix.lower() == ".json" and not is_tile_set(path)


def is_tile_set(path: Path) -> bool:
    """Whether a file is the description of a MitoEM tile set; what cannot be read is none."""
    try:
        content = json.loads(path.read_bytes()) if path.suffix.lower() == ".json" else None
    except (OSError, ValueError, RecursionError):
        return False  # reading it as something else will say what is wrong
    return isinstance(content, dict) and "image" in content


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises
    ------
    InputError
        Where the file is missing, or no plan.
    """
    if not path.is_file():
        raise InputError(str(path), "no such file")
    try:
        content = json.loads(path.read_text())
        return _parsed(content, path)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UsageError) as error:
        raise InputError(str(path), f"is not a plan ({error})", "Make one with 'mitotools tile'") from error


def _parsed(content: dict[str, Any], path: Path) -> Plan:
    if content["kind"] != _KIND:
        raise ValueError(f"its kind is {content['kind']!r}")
    volume = parse_volume_path(content["volume"])
    shape, size, halo = (_integers(content[key]) for key in ("shape", "size", "halo"))
    plan = Plan(
        volume=replace(
            volume,
            file=volume.file if volume.is_remote else os.path.normpath(path.parent / volume.file),
            root=os.path.normpath(path.parent / content["root"]) if content.get("root") else None,
        ),
        name=content["name"],
        shape=shape,
        size=size,
        halo=halo,
        voxel_size_nm=known_voxel_size(content["voxel_size_nm"] and tuple(content["voxel_size_nm"])),
        history=from_records(content.get("history")),
    )
    if min(plan.shape) < 1 or min(plan.size) < 1 or min(plan.halo) < 0:
        raise ValueError("its sizes are not positive")
    if "/" in plan.name or not plan.name.isprintable():
        raise ValueError("its name is no part of a file name")
    if plan.flaw:
        raise ValueError(f"it {plan.flaw}")
    return plan


def _integers(values: Sequence[int]) -> Size:
    return size3([operator.index(value) for value in values])
