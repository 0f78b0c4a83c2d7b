"""Assemble tiles into one volume."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools import history
from mitotools.errors import InputError, UsageError
from mitotools.stages.assembly import Assembly, TileFile
from mitotools.stages.blocks.blockwise import write_volume
from mitotools.stages.blocks.work import Work
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box, size3
from mitotools.volume.files import check_finished, open_volume
from mitotools.volume.formats import HDF5, is_glob, matching
from mitotools.volume.outputs import check_target
from mitotools.volume.path import VolumePath, parse_volume_path
from mitotools.volume.plan import extent_in_name, read_plan, set_in_name, unflat
from mitotools.volume.unchanged import Watched
from mitotools.volume.world import kept, moved

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from mitotools.conventions import Size
    from mitotools.parameters import MergeParameters
    from mitotools.run.running import Running

LISTED = 5
"""Files and holes named in a message; the rest are counted."""


def merge_tiles(
    tiles: Sequence[str], target: VolumePath, parameters: MergeParameters, running: Running
) -> VolumeSpec:
    """Assemble tile files into one volume.

    Tiles that state their core give that and nothing else: halos are dropped. Of other tiles, whose names
    state their extent, overlaps are blended.

    Parameters
    ----------
    tiles : sequence of str
        Tile files, folders of them, globs, or plans that lie beside their tiles.
    target : VolumePath
    parameters : MergeParameters
    running : Running

    Returns
    -------
    VolumeSpec
        Of the new volume.

    Raises
    ------
    InputError
        Where tiles cannot be read, do not fit each other, or leave holes (unless `parameters.fill` is given).
    TargetError
    UsageError
        Where `parameters.fill` is no value of the tiles' type.
    """
    check_target(target, force=running.force, resume=bool(running.resume))
    found = _opened(list(dict.fromkeys(_tile_paths(tiles, accepts_holes=parameters.fill is not None))))
    watched = Watched([Path(tile.path.file) for tile in found])
    first = found[0]
    _check_fill(parameters.fill, first.spec.dtype)
    size = _volume_size(found)
    overlap = _check_cover(found, size, parameters)
    back = size3([-start for start in first.extent.start])
    spec = VolumeSpec(
        shape=first.spec.shape[:-3] + size,
        dtype=first.spec.dtype,
        voxel_size_nm=first.spec.voxel_size_nm,
        history=history.extended([tile.source for tile in found], running.command_line, asdict(parameters)),
        is_labels=first.spec.is_labels,
        compression=parameters.compression,
        attributes=kept(moved(first.spec.attributes, back, first.spec.voxel_size_nm)),
    )
    spec = replace(spec, chunks=parameters.chunks or spec.chunks)
    assembly = Assembly.of(found, spec, parameters)
    work = Work(assembly, "merge", _layouts(found), _voxel_bytes(spec, is_blended=overlap))
    made = write_volume(target, spec, work, running)
    watched.check()
    return made


def _tile_paths(tiles: Iterable[str], *, accepts_holes: bool) -> Iterable[VolumePath]:
    for name in tiles:
        path = Path(name)
        check_finished(path)  # once, not for every tile
        if path.suffix == ".json":
            plan = read_plan(path)
            files = (path.parent / plan.file_name(tile) for tile in plan.tiles)
            yield from (VolumePath(str(file)) for file in files if file.exists() or not accepts_holes)
        elif path.is_dir():
            yield from (VolumePath(str(file)) for file in path.iterdir() if _is_tile(file))
        elif is_glob(name):
            yield from (VolumePath(str(file)) for file in matching(path))
        else:
            yield parse_volume_path(name)


def _is_tile(file: Path) -> bool:
    return file.suffix.lower() in HDF5.suffixes and not file.name.startswith(".")


def _opened(paths: list[VolumePath]) -> list[TileFile]:
    if not paths:
        raise InputError("the tiles", "there are none", "Tile files end in .h5")
    found, broken = [], []
    for path in paths:
        try:
            found.append(_tile_file(path))
        except InputError as error:
            broken.append(error)
    if broken and len(paths) == 1:
        raise broken[0]
    if broken:
        listing = "; ".join(f"{error.what}: {error.why}" for error in broken[:LISTED])
        raise InputError(f"{len(broken)} of {len(paths)} tiles", f"cannot be used: {listing}{_more(broken)}")
    _check_alike(found)
    return sorted(found, key=lambda tile: (tile.core, tile.extent))  # whatever the order they were named in


def _tile_file(path: VolumePath) -> TileFile:
    with open_volume(path) as volume:
        spec = volume.spec
        extent = extent_in_name(Path(path.file).name)
        if extent is None:
            raise InputError(str(path), "its name does not end in _z0-z1-y0-y1-x0-x1.h5")
        if extent.shape != spec.size:
            raise InputError(str(path), f"its name states {extent}, but it holds {spec.size} voxels")
        stated, size = (
            [int(value) for value in spec.attributes.get(name, ())] for name in ("core", "volume_size")
        )
        core = unflat(stated) if stated else extent
        whole = Box.whole(size3(size or core.stop))
        if core.is_empty or not extent.contains(core) or not whole.contains(core):
            raise InputError(str(path), f"its attributes state the core {core} of a volume of {size} voxels")
        return TileFile(
            path=path,
            extent=extent,
            core=core,
            volume_size=size3(size) if size else None,
            spec=spec,
            source=volume.source(),
        )


def _check_alike(found: list[TileFile]) -> None:
    expected = _common(found[0])
    for tile in found:
        for what, value in _common(tile).items():
            if value != expected[what]:
                other = f"{value}, but {found[0].path} has {expected[what]}"
                raise InputError(str(tile.path), f"has {what} {other}", _advice(what, tile, found[0]))


def _advice(what: str, *tiles: TileFile) -> str:
    """Return how to name the tiles of one set alone, where it is the set that differs."""
    if what not in ("name", "tag"):
        return ""
    path = max((Path(tile.path.file) for tile in tiles), key=lambda path: bool(set_in_name(path.name)[1]))
    name, tag = set_in_name(path.name)
    return f"Quote a pattern for the tiles of one: '{path.parent / name}_*{tag and '_'}{tag}{path.suffix}'"


def _common(tile: TileFile) -> dict[str, object]:
    """Return what all tiles of a volume share."""
    name, tag = set_in_name(Path(tile.path.file).name)
    return {
        "name": repr(name),
        "tag": repr(tag),
        "channels": tile.spec.channels,
        "type": tile.spec.dtype,
        "volume size": tile.volume_size,
        "voxel size": tile.spec.voxel_size_nm,
    }


def _layouts(found: list[TileFile]) -> list[TileFile]:
    """Return one tile of each way in which their chunks lie in the volume."""
    return list({(tile.spec.chunks, tile.offset): tile for tile in found}.values())


def _voxel_bytes(spec: VolumeSpec, *, is_blended: bool) -> float:
    """Return what a voxel of a block takes: itself, the tile's, and where tiles are blended its sums."""
    channels, own = spec.channels or 1, spec.dtype.itemsize
    return channels * (3 * own + (24 if is_blended else 0)) + (18 if is_blended else 0)


def _check_fill(fill: float | None, dtype: np.dtype[Any]) -> None:
    """Raise UsageError where a type has not the value."""
    if fill is None or dtype.kind == "f":
        return
    low, high = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    if not (low <= fill <= high and fill == int(fill)):
        raise UsageError("--fill", f"{fill:g} is no value of {dtype} voxels")


def _volume_size(found: list[TileFile]) -> Size:
    stated = found[0].volume_size
    return stated or size3([max(tile.extent.stop[axis] for tile in found) for axis in range(3)])


def _check_cover(found: list[TileFile], size: Size, parameters: MergeParameters) -> bool:
    """Return whether tiles overlap; InputError where they leave holes, or must not overlap."""
    counts, edges = _cover(found, size)
    holes = np.argwhere(counts == 0)
    if holes.size and parameters.fill is None:
        boxes = [
            str(Box(size3([e[i] for e, i in zip(edges, cell, strict=True)]),
                    size3([e[i + 1] for e, i in zip(edges, cell, strict=True)])))
            for cell in holes
        ]  # fmt: skip
        listing = ", ".join(boxes[:LISTED])
        what_next = "Predict the other parts first, or give --fill VALUE"
        raise InputError("the tiles", f"leave holes: {listing}{_more(boxes)}", what_next)
    if counts.max() <= 1:
        return False
    dtype = found[0].spec.dtype
    if found[0].is_ours:
        raise InputError("the tiles", "own some voxels twice: they belong to more than one plan")
    if parameters.blend != "none" and dtype.kind != "f" and dtype != np.uint8:
        raise InputError("the tiles", f"overlap, and {dtype} ids cannot be blended", "Give --blend none")
    return True


def _cover(found: list[TileFile], size: Size) -> tuple[npt.NDArray[np.int64], list[list[int]]]:
    """Count the tiles over each cell of the grid that all tiles' faces span."""
    edges = [
        sorted({0, size[axis]} | {end[axis] for tile in found for end in (tile.core.start, tile.core.stop)})
        for axis in range(3)
    ]
    positions = [{edge: index for index, edge in enumerate(of_axis)} for of_axis in edges]
    counts = np.zeros([len(of_axis) - 1 for of_axis in edges], np.int64)
    for tile in found:
        index = tuple(
            slice(at[start], at[stop])
            for at, start, stop in zip(positions, tile.core.start, tile.core.stop, strict=True)
        )
        counts[index] += 1
    return counts, edges


def _more(items: Sequence[object]) -> str:
    return f" and {len(items) - LISTED} more" if len(items) > LISTED else ""
