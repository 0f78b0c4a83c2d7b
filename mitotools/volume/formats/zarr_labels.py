"""Label images inside an image: ``cell.zarr/labels/mito``, listed in the metadata of the group `labels`."""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from mitotools.errors import TargetError
from mitotools.volume.formats.ngff import VERSIONS, group_v3
from mitotools.volume.formats.zarr_places import consolidate_again, read_json, within, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mitotools.volume.formats.ngff import Json
    from mitotools.volume.formats.zarr_places import Place

LABELS = "labels"

_FILES = {2: ".zattrs", 3: "zarr.json"}
"""Where the list stands, in each version of zarr."""

_LABEL = re.compile(r"(?P<image>.*\.zarr(?:/.+)?)/labels/(?P<name>[^/.][^/]*)/?", re.IGNORECASE)


def label_place(target: Place) -> tuple[str, str] | None:
    """Return the image and the name of the label image that a path names; None where it names none."""
    match = _LABEL.fullmatch(str(target).replace("\\", "/"))
    return (match["image"], match["name"]) if match else None


def check_label_target(container: Place, zarr_format: int) -> None:
    """Raise TargetError where a label image of a zarr format cannot be written into an image.

    Parameters
    ----------
    container : Path or str
        The image's group: ``cell.zarr``.
    zarr_format : int
        Of the label image.
    """
    found = group_format(container)
    if found is None:
        raise TargetError(str(container), "is no zarr group that could hold labels")
    if found != zarr_format:
        why = f"is zarr v{found}, and labels inside it cannot be zarr v{zarr_format}"
        raise TargetError(str(container), why, f"Use --zarr-format {found}")
    labels = within(container, LABELS)
    is_array = (read_json(labels, "zarr.json") or {}).get("node_type") == "array"
    if is_array or read_json(labels, ".zarray") is not None:
        raise TargetError(str(labels), "is an array, and can hold no labels")


def listed_labels(container: Place) -> list[str]:
    """Return the names of the label images in an image, by the metadata of its group `labels`."""
    place = within(container, LABELS)
    holders = (_holder(read_json(place, file), zarr_format)[1] for zarr_format, file in _FILES.items())
    lists = (holder.get(LABELS) for holder in holders)
    return [str(name) for names in lists if isinstance(names, list) for name in names]


def register_label(container: Place, name: str) -> None:
    """Add a label image, which is there already, to the names in the metadata of the group `labels`."""
    with _alone_in(container):
        _add(container, name)


@contextmanager
def _alone_in(container: Place) -> Iterator[None]:
    """Let no other run change the list meanwhile: each would add its name to what both have read."""
    with ExitStack() as stack:
        with suppress(OSError):  # behind a URL, or where the file system has no locks, there is no help
            folder = os.open(container, os.O_RDONLY)
            stack.callback(os.close, folder)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield


def _add(container: Place, name: str) -> None:
    zarr_format = group_format(container)
    if zarr_format is None:
        raise TargetError(str(container), "is no zarr group that could hold labels")
    file = _FILES[zarr_format]
    place = within(container, LABELS)
    before = read_json(place, file)
    document, holder = _holder(before, zarr_format)
    names = holder.get(LABELS, [])
    if not isinstance(names, list):
        raise TargetError(str(place), f"its list of labels is not understood: {names!r}")
    if document == before and name in names:
        return
    holder[LABELS] = [*names, name] if name not in names else names
    write_json(place, file, document)
    if zarr_format == 2 and read_json(place, ".zgroup") is None:
        write_json(place, ".zgroup", {"zarr_format": 2})
    consolidate_again(container)


def _holder(before: Json | None, zarr_format: int) -> tuple[Json, Json]:
    """Return a copy of the metadata file of the group `labels`, and the part that holds its list."""
    if zarr_format == 2:
        document = dict(before or {})
        return document, document
    document = dict(before or group_v3({}))
    document["attributes"] = attributes = _copy(document.get("attributes"))
    attributes["ome"] = ome = {"version": VERSIONS[3], **_copy(attributes.get("ome"))}
    return document, ome


def _copy(value: object) -> Json:
    return dict(value) if isinstance(value, dict) else {}


def group_format(place: Place) -> int | None:
    """Return the version of zarr of a group; None where there is none, or something else."""
    document = read_json(place, "zarr.json")
    if document is not None:
        return 3 if document.get("node_type") == "group" else None
    return 2 if read_json(place, ".zgroup") is not None else None
