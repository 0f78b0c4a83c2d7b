"""Which array of a zarr hierarchy is meant, and what its image says of it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import zarr

from mitotools.errors import InputError
from mitotools.volume.formats.ngff import image_in, is_label_image
from mitotools.volume.formats.zarr_places import is_url, store_at, unreachable

if TYPE_CHECKING:
    from mitotools.volume.formats.ngff import Json
    from mitotools.volume.formats.zarr_arrays import ZarrArray
    from mitotools.volume.formats.zarr_places import Place

DATASET = "main"


@dataclass(frozen=True)
class Found:
    """An array, and what the hierarchy says of it.

    Parameters
    ----------
    array : zarr.Array
    image : dict, optional
        The entry of `multiscales` that the array belongs to, the array first among its datasets.
    records : object
        What stands under `history`.
    is_labels : bool
    attributes : dict
        Of the image's group.
    """

    array: ZarrArray
    image: Json | None = None
    records: object = None
    is_labels: bool = False
    attributes: Json = field(default_factory=dict)


def find(place: Place, dataset: str | None) -> Found:
    """Return an array: the one named, else level 0 of the image, else the only array, else `main`.

    Raises
    ------
    InputError
        Where there is none, several, or something that cannot be read.
    """
    try:
        node = zarr.open(store_at(place, read_only=True), mode="r", path=dataset or "")
        if isinstance(node, zarr.Group):
            return _in_group(place, dataset, node)
        return _named(place, dataset, node)
    except InputError:
        raise
    except Exception as error:  # what zarr raises over broken metadata depends on what is broken
        raise _unreadable(place, dataset, error) from error


def _in_group(place: Place, dataset: str | None, group: zarr.Group) -> Found:
    attributes = group.attrs.asdict()
    image = image_in(attributes)
    if image is None:
        return _only_array(place, dataset, group)
    name = image["datasets"][0]["path"]
    array = group.get(name)
    if not isinstance(array, zarr.Array):
        raise InputError(str(place), f"the image names the array {name!r}, which is missing")
    records = array.attrs.get("history") or attributes.get("history")
    return Found(array, image, records, is_label_image(attributes), attributes)


def _only_array(place: Place, dataset: str | None, group: zarr.Group) -> Found:
    members = _members(group)
    groups = {name: item for name, item in members.items() if isinstance(item, zarr.Group)}
    images = {name: group for name, group in groups.items() if image_in(group.attrs.asdict())}
    arrays = {name: item for name, item in members.items() if isinstance(item, zarr.Array)}
    depth = min((name.count("/") for name in images), default=0)
    outermost = [name for name in images if name.count("/") == depth]
    if len(outermost) == 1:  # as bioformats2raw nests its only image
        return _in_group(place, dataset, images[outermost[0]])
    name = next(iter(arrays)) if len(arrays) == 1 else DATASET
    if name in arrays:
        records = arrays[name].attrs.get("history") or group.attrs.get("history")
        return Found(arrays[name], None, records)
    listing = ", ".join(outermost or [f"{key} {item.shape}" for key, item in arrays.items()]) or "no array"
    where, prefix = (f"{place}:{dataset}", f"{dataset}/") if dataset else (str(place), "")
    raise InputError(where, f"which array? It holds {listing}", f"Say {place}:{prefix}NAME")


def _named(place: Place, dataset: str | None, array: ZarrArray) -> Found:
    records = array.attrs.get("history")
    if dataset is None:
        return Found(array, None, records)
    folder, _, own = dataset.rpartition("/")
    try:
        parent = zarr.open_group(store_at(place, read_only=True), mode="r", path=folder)
    except (ValueError, FileNotFoundError):  # a bare array in a folder
        return Found(array, None, records)
    attributes = parent.attrs.asdict()
    image = image_in(attributes)
    if image is None:
        return Found(array, None, records)
    datasets = [entry for entry in image["datasets"] if entry.get("path") == own]
    level = {**image, "datasets": datasets} if datasets else None
    return Found(array, level, records or attributes.get("history"), is_label_image(attributes), attributes)


def _members(group: zarr.Group) -> dict[str, zarr.Array[Any] | zarr.Group]:
    with warnings.catch_warnings():
        # Other programs' files among the arrays (OME/METADATA.ome.xml, .DS_Store) are no concern of the user.
        warnings.simplefilter("ignore")
        return dict(sorted(group.members(max_depth=4)))


def _unreadable(place: Place, dataset: str | None, error: Exception) -> InputError:
    what = f"{place}:{dataset}" if dataset else str(place)
    is_missing = isinstance(error, FileNotFoundError)
    if is_url(place) and not (dataset and is_missing):
        return unreachable(what, error)
    if dataset is None:
        return InputError(what, f"cannot be read as zarr ({error})")
    try:
        listing = list(_members(zarr.open_group(store_at(place, read_only=True), mode="r")))
    except Exception:
        return InputError(what, f"cannot be read as zarr ({error})")
    if dataset in listing:
        return InputError(what, f"cannot be read as zarr ({error})")
    return InputError(what, f"no such array; the zarr holds {', '.join(listing) or 'nothing'}")
