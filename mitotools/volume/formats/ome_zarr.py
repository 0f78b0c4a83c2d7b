"""OME-Zarr (NGFF 0.4 on zarr v2, 0.5 on zarr v3) and plain zarr arrays. Written as NGFF 0.5.

NGFF: https://ngff.openmicroscopy.org/0.5/, sections *multiscales* and *axes*.
"""

from __future__ import annotations

import asyncio
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import zarr
from zarr.codecs import GzipCodec, ZstdCodec
from zarr.core.sync import sync

from mitotools import history
from mitotools.errors import InputError, TargetError
from mitotools.volume.base import VolumeSpec, known_voxel_size
from mitotools.volume.blocks import size3

if TYPE_CHECKING:
    from pathlib import Path

    from mitotools.conventions import Array, VoxelSize
    from mitotools.volume.blocks import Box

DATASET = "main"

LEVEL_0 = "0"
"""Name of the array of full resolution in images that mitotools writes."""

COMPRESSIONS: dict[str, Any] = {
    "default": (ZstdCodec(level=1),),
    "zstd": (ZstdCodec(level=3),),
    "gzip": (GzipCodec(level=4),),
    "none": None,
}

NANOMETRES = {
    "angstrom": 0.1,
    "nanometer": 1.0,
    "micrometer": 1e3,
    "millimeter": 1e6,
    "meter": 1e9,
}

AXES = ("c", "z", "y", "x")

Json = dict[str, Any]


class ZarrReader:
    """An array of a zarr hierarchy, its axes brought into the order c, z, y, x.

    Parameters
    ----------
    path : Path
        Of the zarr, for messages.
    array : zarr.Array
    image : dict, optional
        The entry of `multiscales` that the array belongs to, the array first among its datasets.
    records : object
        What stands under `history`.
    """

    def __init__(self, path: Path, array: zarr.Array[Any], image: Json | None, records: object) -> None:
        self._path = path
        self._array = array
        self._axes = _axes_of(image, array.ndim)
        lengths = dict(zip(self._axes, array.shape, strict=False))
        others = [axis for axis in lengths if axis not in AXES]
        if any(lengths[axis] != 1 for axis in others) or not {"y", "x"} <= set(lengths):
            why = f"expected three dimensions (z, y, x), or four with channels, found shape {array.shape}"
            raise InputError(str(path), why)
        chunks = dict(zip(self._axes, array.shards or array.chunks, strict=True))
        leading = (lengths["c"],) if "c" in lengths else ()
        self.spec = VolumeSpec(
            shape=(*leading, lengths.get("z", 1), lengths["y"], lengths["x"]),
            dtype=np.dtype(array.dtype).newbyteorder("="),
            voxel_size_nm=_voxel_size(image),
            history=history.from_records(records),
            chunks=(chunks.get("z", 1), chunks["y"], chunks["x"]),
        )

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels."""
        parts: dict[str, slice] = dict(zip("zyx", box.slices, strict=True))
        index = tuple(parts.get(axis, slice(None)) if axis in AXES else 0 for axis in self._axes)
        try:
            array = np.asarray(self._array[index])
        except Exception as error:  # what codecs raise over a damaged chunk is theirs to say
            sync(_others_done())
            raise InputError(str(self._path), f"{box} cannot be read ({error})") from error
        kept = [axis for axis in self._axes if axis in AXES]
        array = array.transpose([kept.index(axis) for axis in AXES if axis in kept])
        if "z" not in kept:
            array = array[..., np.newaxis, :, :]
        return array.astype(self.spec.dtype, copy=False)

    def close(self) -> None:
        """Nothing stays open."""


class ZarrWriter:
    """A new OME-Zarr image of one level."""

    def __init__(self, path: Path, spec: VolumeSpec, *, is_new: bool) -> None:
        self.spec = spec
        group = zarr.open_group(path, mode="w" if is_new else "r+", zarr_format=3)
        if is_new:
            self._create(group)
        self._array = cast("zarr.Array[Any]", group[LEVEL_0])

    def _create(self, group: zarr.Group) -> None:
        spec = self.spec
        axes = ["c", "z", "y", "x"][-len(spec.shape) :]
        group.create_array(
            LEVEL_0,
            shape=spec.shape,
            dtype=spec.dtype,
            chunks=(1,) * (len(axes) - 3) + spec.chunks,
            compressors=COMPRESSIONS[spec.compression],
            dimension_names=axes,
            fill_value=0,
        )
        group.attrs.update({"ome": _ome_metadata(axes, spec.voxel_size_nm), "history": list(spec.history)})

    def write(self, box: Box, array: Array) -> None:
        """Store the voxels of `box`."""
        try:
            self._array[(..., *box.slices)] = array
        except OSError:
            sync(_others_done())
            raise

    def close(self) -> None:
        """Nothing stays open."""


_waiting: set[asyncio.Task[Any] | None] = set()


async def _others_done() -> None:
    """Wait for the chunks that zarr still reads or writes when it has given up over one of them.

    Else they would appear in a folder that has just been removed, and fail on standard error one by one.
    """
    this = asyncio.current_task()
    _waiting.add(this)
    await asyncio.gather(*(asyncio.all_tasks() - _waiting), return_exceptions=True)
    _waiting.discard(this)


def open_reader(path: Path, dataset: str | None) -> ZarrReader:
    """Open an array: the one named, else level 0 of the image, else the only array, else `main`."""
    try:
        node = zarr.open(path, mode="r", path=dataset or "")
        if isinstance(node, zarr.Group):
            return _open_group(path, dataset, node)
        return ZarrReader(path, node, _image_of(path, dataset), node.attrs.get("history"))
    except InputError:
        raise
    except Exception as error:  # what zarr raises over broken metadata depends on what is broken
        raise _unreadable(path, dataset, error) from error


def planned(spec: VolumeSpec, target: Path) -> VolumeSpec:
    """Return the volume with chunks that are no larger than it."""
    if spec.compression not in COMPRESSIONS:
        raise TargetError(str(target), f"OME-Zarr has no compression {spec.compression!r}")
    return replace(spec, chunks=size3([min(c, n) for c, n in zip(spec.chunks, spec.size, strict=True)]))


def create_writer(path: Path, spec: VolumeSpec, target: Path) -> ZarrWriter:  # noqa: ARG001
    """Create an image."""
    return ZarrWriter(path, spec, is_new=True)


def reopen_writer(path: Path, spec: VolumeSpec, target: Path) -> ZarrWriter:  # noqa: ARG001
    """Continue an image."""
    return ZarrWriter(path, spec, is_new=False)


def _open_group(path: Path, dataset: str | None, group: zarr.Group) -> ZarrReader:
    image = _multiscales(group)
    if image is None:
        return _open_only_array(path, dataset, group)
    name = image["datasets"][0]["path"]
    array = group.get(name)
    if not isinstance(array, zarr.Array):
        raise InputError(str(path), f"the image names the array {name!r}, which is missing")
    return ZarrReader(path, array, image, array.attrs.get("history") or group.attrs.get("history"))


def _open_only_array(path: Path, dataset: str | None, group: zarr.Group) -> ZarrReader:
    members = _members(group)
    groups = {name: item for name, item in members.items() if isinstance(item, zarr.Group)}
    images = {name: group for name, group in groups.items() if _multiscales(group)}
    arrays = {name: item for name, item in members.items() if isinstance(item, zarr.Array)}
    depth = min((name.count("/") for name in images), default=0)
    outermost = [name for name in images if name.count("/") == depth]
    if len(outermost) == 1:  # as bioformats2raw nests its only image
        return _open_group(path, dataset, images[outermost[0]])
    name = next(iter(arrays)) if len(arrays) == 1 else DATASET
    if name in arrays:
        records = arrays[name].attrs.get("history") or group.attrs.get("history")
        return ZarrReader(path, arrays[name], None, records)
    listing = ", ".join(outermost or [f"{key} {item.shape}" for key, item in arrays.items()]) or "no array"
    where, prefix = (f"{path}:{dataset}", f"{dataset}/") if dataset else (str(path), "")
    raise InputError(where, f"which array? It holds {listing}", f"Say {path}:{prefix}NAME")


def _members(group: zarr.Group) -> dict[str, zarr.Array[Any] | zarr.Group]:
    with warnings.catch_warnings():
        # Other programs' files among the arrays (OME/METADATA.ome.xml, .DS_Store) are no concern of the user.
        warnings.simplefilter("ignore")
        return dict(sorted(group.members(max_depth=4)))


def _unreadable(path: Path, dataset: str | None, error: Exception) -> InputError:
    if dataset is None:
        return InputError(str(path), f"cannot be read as zarr ({error})")
    try:
        listing = ", ".join(_members(zarr.open_group(path, mode="r"))) or "nothing"
    except Exception:
        return InputError(f"{path}:{dataset}", f"cannot be read as zarr ({error})")
    if dataset in listing.split(", "):
        return InputError(f"{path}:{dataset}", f"cannot be read as zarr ({error})")
    return InputError(f"{path}:{dataset}", f"no such array; the zarr holds {listing}")


def _multiscales(group: zarr.Group) -> Json | None:
    attributes = group.attrs.asdict()
    ome = attributes.get("ome", attributes)
    entries = ome.get("multiscales") if isinstance(ome, dict) else None
    return entries[0] if isinstance(entries, list) and entries and isinstance(entries[0], dict) else None


def _image_of(path: Path, dataset: str | None) -> Json | None:
    """Return the multiscales of the image that a named array (``image.zarr:0``) belongs to."""
    if dataset is None:
        return None
    try:
        parent = zarr.open_group(path, mode="r", path=dataset.rpartition("/")[0])
    except ValueError:  # a bare array in a folder
        return None
    image = _multiscales(parent)
    if image is None:
        return None
    own = [entry for entry in image["datasets"] if entry.get("path") == dataset.rpartition("/")[2]]
    return {**image, "datasets": own} if own else None


def _axes_of(image: Json | None, ndim: int) -> list[str]:
    """Return the name of each axis; where the metadata do not say, they are ..., c, z, y, x."""
    entries = (image or {}).get("axes", [])
    names = [str(entry.get("name") if isinstance(entry, dict) else entry) for entry in entries]
    if len(names) == ndim == len(set(names)) and set(names) <= {"t", *AXES}:
        return names
    if ndim < 3:
        return []
    return [*(f"axis {index}" for index in range(ndim - len(AXES))), *AXES[-ndim:]]


def _voxel_size(image: Json | None) -> VoxelSize | None:
    if image is None:
        return None
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in image.get("axes", [])]
    transformations = [
        *image["datasets"][0].get("coordinateTransformations", []),
        *image.get("coordinateTransformations", []),
    ]
    scales = [entry.get("scale", []) for entry in transformations if entry.get("type") == "scale"]
    if not scales or any(len(scale) != len(axes) for scale in scales):
        return None
    scale = np.prod(np.asarray(scales, dtype=float), axis=0)
    lengths = {
        axis.get("name"): length * NANOMETRES[axis["unit"]]
        for axis, length in zip(axes, scale.tolist(), strict=True)
        if axis.get("unit") in NANOMETRES
    }
    return known_voxel_size(tuple(lengths[name] for name in "zyx" if name in lengths))


def _ome_metadata(axes: list[str], voxel_size_nm: VoxelSize | None) -> Json:
    # The standard demands a scale: where the voxel size is unknown it is 1 of no unit.
    unit = {"unit": "nanometer"} if voxel_size_nm else {}
    scale = [1.0] * (len(axes) - 3) + list(voxel_size_nm or (1.0, 1.0, 1.0))
    image = {
        "axes": [
            {"name": name, "type": "channel"} if name == "c" else {"name": name, "type": "space", **unit}
            for name in axes
        ],
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}],
    }
    return {"version": "0.5", "multiscales": [image]}
