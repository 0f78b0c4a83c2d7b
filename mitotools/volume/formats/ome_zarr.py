"""OME-Zarr (NGFF 0.4 on zarr v2, 0.5 on zarr v3) and plain zarr arrays. Written as NGFF 0.5.

NGFF: https://ngff.openmicroscopy.org/0.5/, sections *multiscales* and *axes*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import GzipCodec, ZstdCodec

from mitotools.errors import InputError, TargetError
from mitotools.volume.base import VolumeSpec, known_voxel_size
from mitotools.volume.blocks import Box, size3

if TYPE_CHECKING:
    from pathlib import Path

    from mitotools.conventions import Array, VoxelSize

DATASET = "main"

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

Json = dict[str, Any]


class ZarrReader:
    """An array of a zarr hierarchy."""

    def __init__(self, path: Path, array: zarr.Array[Any], multiscales: Json | None, records: Any) -> None:
        self._path = path
        self._array = array
        self._leading = max(len(array.shape) - 4, 0)
        if any(length != 1 for length in array.shape[: self._leading]):
            raise InputError(str(path), f"expected up to four dimensions, found shape {array.shape}")
        self.spec = VolumeSpec(
            shape=array.shape[self._leading :],
            dtype=np.dtype(array.dtype).newbyteorder("="),
            voxel_size_nm=_voxel_size(multiscales),
            history=tuple(record for record in records or () if isinstance(record, dict)),
            chunks=size3((array.shards or array.chunks)[-3:]) if array.ndim >= 3 else (1, 1, 1),
        )

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels."""
        index = (0,) * self._leading + (slice(None),) * (len(self.spec.shape) - 3) + box.slices
        try:
            array = np.asarray(self._array[index])
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(str(self._path), f"{box} cannot be read ({error})") from error
        return array.astype(self.spec.dtype, copy=False)

    def close(self) -> None:
        """Nothing stays open."""


class ZarrWriter:
    """A new OME-Zarr image of one level."""

    def __init__(self, path: Path, spec: VolumeSpec, name: str) -> None:
        self.spec = spec
        if spec.compression not in COMPRESSIONS:
            raise TargetError(name, f"OME-Zarr has no compression {spec.compression!r}")
        group = zarr.open_group(path, mode="w", zarr_format=3)
        axes = ["c", "z", "y", "x"][-len(spec.shape) :]
        chunks = tuple(min(c, n) for c, n in zip(spec.chunks, spec.size, strict=True))
        self._array = group.create_array(
            "0",
            shape=spec.shape,
            dtype=spec.dtype,
            chunks=(1,) * (len(axes) - 3) + chunks,
            compressors=COMPRESSIONS[spec.compression],
            dimension_names=axes,
            fill_value=0,
        )
        group.attrs.update({"ome": _ome_metadata(axes, spec.voxel_size_nm), "history": list(spec.history)})

    def write(self, box: Box, array: Array) -> None:
        """Store the voxels of `box`."""
        self._array[(..., *box.slices)] = array

    def close(self) -> None:
        """Nothing stays open."""


def open_reader(path: Path, dataset: str | None) -> ZarrReader:
    """Open an array: the one named, else level 0 of the image, else the only array, else `main`."""
    try:
        node = zarr.open(path, mode="r", path=dataset or "")
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(path, dataset, error) from error
    if isinstance(node, zarr.Group):
        return _open_group(path, dataset, node)
    return ZarrReader(path, node, *_parent_metadata(path, dataset), node.attrs.get("history"))


def create_writer(path: Path, spec: VolumeSpec, target: Path) -> ZarrWriter:
    """Create an image."""
    return ZarrWriter(path, spec, str(target))


def _open_group(path: Path, dataset: str | None, group: zarr.Group) -> ZarrReader:
    multiscales = _multiscales(group)
    arrays = {name: item for name, item in group.members(max_depth=4) if isinstance(item, zarr.Array)}
    if multiscales:
        name = multiscales["datasets"][0]["path"]
    elif len(arrays) == 1 or DATASET in arrays:
        name = next(iter(arrays)) if len(arrays) == 1 else DATASET
    else:
        listing = ", ".join(f"{key} {item.shape}" for key, item in sorted(arrays.items())) or "no array"
        where = f"{path}:{dataset}" if dataset else str(path)
        raise InputError(where, f"which array? It holds {listing}", f"Say {where.split(':')[0]}:NAME")
    if name not in arrays:
        raise InputError(str(path), f"the image names the array {name!r}, which is missing")
    array = arrays[name]
    return ZarrReader(path, array, multiscales, array.attrs.get("history") or group.attrs.get("history"))


def _unreadable(path: Path, dataset: str | None, error: Exception) -> InputError:
    if dataset is None:
        return InputError(str(path), f"cannot be read as zarr ({error})")
    try:
        group = zarr.open_group(path, mode="r")
    except (OSError, ValueError, KeyError):
        return InputError(str(path), f"cannot be read as zarr ({error})")
    listing = ", ".join(sorted(name for name, _ in group.members(max_depth=4))) or "nothing"
    return InputError(f"{path}:{dataset}", f"no such array; the zarr holds {listing}")


def _multiscales(group: zarr.Group) -> Json | None:
    attributes = group.attrs.asdict()
    ome = attributes.get("ome", attributes)
    entries = ome.get("multiscales") if isinstance(ome, dict) else None
    return entries[0] if isinstance(entries, list) and entries and isinstance(entries[0], dict) else None


def _parent_metadata(path: Path, dataset: str | None) -> tuple[Json | None]:
    """Return the multiscales of the image that a named array (``image.zarr:0``) belongs to."""
    if dataset is None:
        return (None,)
    parent = zarr.open(path, mode="r", path="/".join(dataset.split("/")[:-1]))
    multiscales = _multiscales(parent) if isinstance(parent, zarr.Group) else None
    if multiscales is None:
        return (None,)
    own = [entry for entry in multiscales["datasets"] if entry.get("path") == dataset.split("/")[-1]]
    return ({**multiscales, "datasets": own} if own else None,)


def _voxel_size(multiscales: Json | None) -> VoxelSize | None:
    if multiscales is None:
        return None
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in multiscales.get("axes", [])]
    transformations = [
        *multiscales["datasets"][0].get("coordinateTransformations", []),
        *multiscales.get("coordinateTransformations", []),
    ]
    scale = np.ones(len(axes))
    for entry in transformations:
        if entry.get("type") == "scale" and len(entry.get("scale", [])) == len(axes):
            scale = scale * np.asarray(entry["scale"], dtype=float)
    spatial = [
        length * NANOMETRES[axis["unit"]]
        for axis, length in zip(axes, scale, strict=True)
        if axis.get("name") in ("z", "y", "x") and axis.get("unit") in NANOMETRES
    ]
    return known_voxel_size(tuple(spatial))


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
