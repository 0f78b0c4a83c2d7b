"""What OME-Zarr says of an image: axes, voxel sizes, levels. Metadata only, no arrays.

https://ngff.openmicroscopy.org/0.4/ (on zarr v2) and https://ngff.openmicroscopy.org/0.5/ (on zarr v3),
sections *axes*, *multiscales*, *coordinateTransformations* and *labels*.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools.volume.formats.pyramid import factors, pyramid
from mitotools.volume.voxel_size import stated_voxel_size
from mitotools.volume.world import TRANSLATION, kept

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mitotools.conventions import Size, VoxelSize
    from mitotools.volume.base import VolumeSpec

Json = dict[str, Any]

VERSIONS = {2: "0.4", 3: "0.5"}
"""The version of OME-Zarr on each version of zarr."""

AXES = ("c", "z", "y", "x")

NANOMETRES = {
    "angstrom": 0.1,
    "nanometer": 1.0,
    "micrometer": 1e3,
    "millimeter": 1e6,
    "meter": 1e9,
}


def ome(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return where a group's attributes speak of OME-Zarr: under `ome` since 0.5."""
    inner = attributes.get("ome", attributes)
    return inner if isinstance(inner, dict) else {}


def image_in(attributes: Mapping[str, Any]) -> Json | None:
    """Return the first image of a group, or None for a group that is no image."""
    entries = ome(attributes).get("multiscales")
    return entries[0] if isinstance(entries, list) and entries and isinstance(entries[0], dict) else None


def is_label_image(attributes: Mapping[str, Any]) -> bool:
    """Whether a group says that its voxels are ids."""
    return "image-label" in ome(attributes)


def axes_of(image: Json | None, ndim: int) -> list[str]:
    """Return the name of each axis; where the metadata do not say, they are ..., c, z, y, x."""
    entries = (image or {}).get("axes", [])
    names = [str(entry.get("name") if isinstance(entry, dict) else entry) for entry in entries]
    if len(names) == ndim == len(set(names)) and set(names) <= {"t", *AXES}:
        return names
    if ndim < 3:
        return []
    return [*(f"axis {index}" for index in range(ndim - len(AXES))), *AXES[-ndim:]]


def axes_named(dimensions: Sequence[str | None] | None) -> list[str]:
    """Return the axes that the `dimension_names` of a zarr v3 array say; none unless they are c, z, y, x."""
    names = [str(name).lower().replace("channel", "c") for name in dimensions or ()]
    are_known = {"z", "y", "x"} <= set(names) <= set(AXES) and len(names) == len(set(names))
    return names if are_known else []


def voxel_size_of(image: Json | None, what: object) -> VoxelSize | None:
    """Return the voxel size of the first dataset of an image, called `what`; None where it is unknown."""
    if image is None:
        return None
    axes = image.get("axes", [])
    scales = [entry.get("scale", []) for entry in _mappings(image) if entry.get("type") == "scale"]
    if not scales or any(len(scale) != len(axes) for scale in scales):
        return None
    return stated_voxel_size(_in_nm(axes, np.prod(np.asarray(scales, dtype=float), axis=0).tolist()), what)


def translation_of(image: Json | None) -> list[float] | None:
    """Return where the first dataset of an image begins, (z, y, x) nanometres; None where it is not said."""
    if image is None or all(entry.get("type") != "translation" for entry in _mappings(image)):
        return None
    axes = image.get("axes", [])
    place = [0.0] * len(axes)
    for entry in _mappings(image):
        kind = str(entry.get("type"))
        numbers = entry.get(kind, [])
        if kind not in ("scale", "translation") or len(numbers) != len(axes):
            return None
        change = operator.mul if kind == "scale" else operator.add
        place = [change(a, float(b)) for a, b in zip(place, numbers, strict=True)]
    return _in_nm(axes, place)


def _mappings(image: Json) -> list[Json]:
    """Return what turns voxels of the first dataset into places, in the order in which it is done."""
    key = "coordinateTransformations"
    return [*image["datasets"][0].get(key, []), *image.get(key, [])]


def _in_nm(axes: Sequence[object], lengths: Sequence[float]) -> list[float]:
    """Return the lengths along z, y and x, of those that have a unit."""
    known = {
        axis.get("name"): length * NANOMETRES[axis["unit"]]
        for axis, length in zip(axes, lengths, strict=True)
        if isinstance(axis, dict) and axis.get("unit") in NANOMETRES
    }
    return [known[name] for name in "zyx" if name in known]


def axis_names(spec: VolumeSpec) -> list[str]:
    """Return the axes of a volume, as arrays and images name them."""
    return list(AXES[-len(spec.shape) :])


def group_documents(spec: VolumeSpec, label_source: str | None = None) -> dict[str, Json]:
    """Return the metadata files of an image's group, in the order in which they are to be written.

    Parameters
    ----------
    spec : VolumeSpec
        As planned.
    label_source : str, optional
        Where the image lies that a label image describes, relative to it.
    """
    version = VERSIONS[spec.zarr_format]
    image: Json = {"multiscales": [_multiscale(spec)]}
    if spec.is_labels and spec.dtype.kind != "f":  # label images are of integers
        source = {"source": {"image": label_source}} if label_source else {}
        image["image-label"] = {"version": version, **source}
    place = {name: value for name, value in kept(spec.attributes).items() if name != TRANSLATION}
    records = {"history": list(spec.history), **place}
    if spec.zarr_format == 2:
        image["multiscales"][0]["version"] = version
        return {".zattrs": {**image, **records}, ".zgroup": {"zarr_format": 2}}
    return {"zarr.json": group_v3({"ome": {"version": version, **image}, **records})}


def group_v3(attributes: Json) -> Json:
    """Return the metadata of a group of zarr v3."""
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes}


def _multiscale(spec: VolumeSpec) -> Json:
    # The standard demands a scale: where the voxel size is unknown it is 1 of no unit.
    unit = {"unit": "nanometer"} if spec.voxel_size_nm else {}
    names = axis_names(spec)
    levels = pyramid(spec)
    return {
        "axes": [
            {"name": name, "type": "channel"} if name == "c" else {"name": name, "type": "space", **unit}
            for name in names
        ],
        "datasets": [
            {"path": str(k), "coordinateTransformations": _transformations(spec, factor)}
            for k, factor in enumerate(factors(levels))
        ],
    }


def _transformations(spec: VolumeSpec, factor: Size) -> list[Json]:
    voxel = spec.voxel_size_nm or (1.0, 1.0, 1.0)
    channel = len(spec.shape) - 3
    scale = [1.0] * channel + [v * f for v, f in zip(voxel, factor, strict=True)]
    first = spec.attributes.get(TRANSLATION) if spec.voxel_size_nm else None
    if factor == (1, 1, 1) and first is None:
        return [{"type": "scale", "scale": scale}]
    # The first voxel of a level is the mean of `factor` voxels: its centre lies amid theirs.
    amid = [(f - 1) / 2 * v for v, f in zip(voxel, factor, strict=True)]
    origin = [0.0] * channel + [a + b for a, b in zip(first or (0.0, 0.0, 0.0), amid, strict=True)]
    return [{"type": "scale", "scale": scale}, {"type": "translation", "translation": origin}]
