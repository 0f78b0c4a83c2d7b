"""OME-Zarr (NGFF 0.4 on zarr v2, 0.5 on zarr v3) and plain zarr arrays, in folders and behind URLs."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mitotools import history
from mitotools.errors import InputError, MitotoolsError, TargetError
from mitotools.volume.base import VolumeSpec, has_channels_last
from mitotools.volume.blocks import size3
from mitotools.volume.formats.ngff import (
    AXES,
    axes_named,
    axes_of,
    group_documents,
    translation_of,
    voxel_size_of,
)
from mitotools.volume.formats.pyramid import clipped, pyramid
from mitotools.volume.formats.zarr_arrays import (
    COMPRESSIONS,
    FastArray,
    check_array,
    create_array,
    open_array,
    wait_for_others,
)
from mitotools.volume.formats.zarr_find import find
from mitotools.volume.formats.zarr_labels import label_place
from mitotools.volume.formats.zarr_places import is_url, read_json, unwritable, within, write_json
from mitotools.volume.world import TRANSLATION, kept

if TYPE_CHECKING:
    from pathlib import Path

    from mitotools.conventions import Array, Size
    from mitotools.volume.blocks import Box
    from mitotools.volume.formats.ngff import Json
    from mitotools.volume.formats.zarr_find import Found
    from mitotools.volume.formats.zarr_places import Place

log = logging.getLogger(__name__)

METADATA_ERRORS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
"""That zarr raises where metadata are not what it expects."""

WAITS_SECONDS = (0.2, 1.0, 3.0)
"""How long a reader waits before it asks a server again."""


class ZarrReader:
    """An array of a zarr hierarchy, its axes brought into the order c, z, y, x.

    Parameters
    ----------
    place : Path or str
        Of the zarr, for messages.
    found : Found
    """

    def __init__(self, place: Place, found: Found) -> None:
        array = found.array
        if 0 in (*array.chunks, *(array.shards or ())):
            raise InputError(str(place), f"states chunks of no voxels: {array.shards or array.chunks}")
        self._place = place
        self._array = FastArray(array)
        self._axes = axes_of(found.image, array.ndim)
        if found.image is None:
            guessed = ["z", "y", "x", "c"] if has_channels_last(array.shape) else self._axes
            self._axes = axes_named(getattr(array.metadata, "dimension_names", None)) or guessed
        self._missing: set[Path] = set()
        self._fill_value = array.fill_value
        lengths = dict(zip(self._axes, array.shape, strict=False))
        others = [axis for axis in lengths if axis not in AXES]
        if any(lengths[axis] != 1 for axis in others) or not {"y", "x"} <= set(lengths):
            why = f"expected three dimensions (z, y, x), or four with channels, found shape {array.shape}"
            raise InputError(str(place), why)
        leading = (lengths["c"],) if "c" in lengths else ()
        self.spec = VolumeSpec(
            shape=(*leading, lengths.get("z", 1), lengths["y"], lengths["x"]),
            dtype=np.dtype(array.dtype).newbyteorder("="),
            voxel_size_nm=voxel_size_of(found.image, place),
            history=history.from_records(found.records),
            chunks=self._zyx(array.chunks),
            shards=self._zyx(array.shards) if array.shards else None,
            levels=len(found.image["datasets"]) if found.image else 1,
            zarr_format=array.metadata.zarr_format,
            is_labels=found.is_labels,
            attributes=kept({**found.attributes, TRANSLATION: translation_of(found.image)}),
        )

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels."""
        parts: dict[str, slice] = dict(zip("zyx", box.slices, strict=True))
        index = tuple(parts.get(axis, slice(None)) if axis in AXES else 0 for axis in self._axes)
        if log.isEnabledFor(logging.DEBUG):
            self._missing.update(file for file in self._array.files(index) if not file.exists())
        try:
            array = self._patiently_read(index)
        except InputError:
            raise
        except Exception as error:  # what codecs raise over a damaged chunk is theirs to say
            raise InputError(str(self._place), f"{box} cannot be read ({error})") from error
        kept = [axis for axis in self._axes if axis in AXES]
        array = array.transpose([kept.index(axis) for axis in AXES if axis in kept])
        if "z" not in kept:
            array = array[..., np.newaxis, :, :]
        return array.astype(self.spec.dtype, copy=False)

    def close(self) -> None:
        """Say once how many chunks were not there; nothing stays open."""
        if self._missing:
            words = "%d chunks of %s are missing, and read as the fill value %s"
            log.debug(words, len(self._missing), self._place, self._fill_value)
            self._missing = set()

    def _patiently_read(self, index: tuple[slice | int, ...]) -> Array:
        for seconds in WAITS_SECONDS if is_url(self._place) else ():
            try:
                return self._array.read(index)
            except PermissionError:
                raise
            except Exception as error:
                log.debug("%s: asked again in %s s (%s)", self._place, seconds, error)
                time.sleep(seconds)
        return self._array.read(index)

    def _zyx(self, lengths: tuple[int, ...]) -> Size:
        named = dict(zip(self._axes, lengths, strict=True))
        return size3([named.get(axis, 1) for axis in "zyx"])


class ZarrWriter:
    """A new OME-Zarr image, or one level of it."""

    def __init__(self, place: Place, spec: VolumeSpec, level: int = 0) -> None:
        self._place = place
        self._levels = pyramid(spec)
        self.spec = self._levels[level]
        self._array = open_array(within(place, str(level)))

    def write(self, box: Box, array: Array) -> None:
        """Store the voxels of `box`."""
        leading = (slice(None),) * (len(self.spec.shape) - 3)
        try:
            self._array.write((*leading, *box.slices), array)
        except Exception as error:
            if is_url(self._place) and not isinstance(error, MitotoolsError):
                raise unwritable(str(self._place), error) from error
            raise

    def level(self, k: int) -> ZarrWriter:
        """Return the writer of level `k` of the image; 0 is the full resolution.

        The voxels of a level are read from the one before, ``open_reader(place, str(k - 1))``.
        """
        return self if k == 0 else ZarrWriter(self._place, self._levels[0], k)

    def close(self) -> None:
        """Nothing stays open."""


def open_reader(path: Place, dataset: str | None) -> ZarrReader:
    """Open an array: the one named, else level 0 of the image, else the only array, else `main`."""
    found = find(path, dataset)
    try:
        return ZarrReader(path, found)
    except METADATA_ERRORS as error:
        raise InputError(str(path), f"cannot be read as zarr ({error})") from error


def planned(spec: VolumeSpec, target: Place) -> VolumeSpec:
    """Return the volume with chunks and shards that fit it, and the levels that there will be."""
    if spec.zarr_format not in COMPRESSIONS:
        raise TargetError(str(target), f"there is no zarr v{spec.zarr_format}", "Known are 2 and 3")
    if spec.compression not in COMPRESSIONS[spec.zarr_format]:
        raise TargetError(str(target), f"OME-Zarr has no compression {spec.compression!r}")
    if spec.shards and spec.zarr_format == 2:
        raise TargetError(str(target), "zarr v2 has no shards", "Write zarr v3, or leave them out")
    if spec.shards and any(s < 1 or s % c for s, c in zip(spec.shards, spec.chunks, strict=True)):
        why = f"shards of {_words(spec.shards)} voxels are no multiple of chunks of {_words(spec.chunks)}"
        raise TargetError(str(target), why)
    fitting = clipped(spec)
    return replace(fitting, levels=len(pyramid(fitting)))


def create_writer(path: Place, spec: VolumeSpec, target: Place) -> ZarrWriter:
    """Create an image, as planned. Behind a URL it cannot be found until `publish` is called."""
    try:
        for k, level in enumerate(pyramid(spec)):
            create_array(within(path, str(k)), level)
        if not is_url(path):
            publish(path, spec, target)
    except BaseException as error:
        wait_for_others()  # of an interruption zarr's own thread does not hear
        if is_url(path) and isinstance(error, Exception) and not isinstance(error, MitotoolsError):
            raise unwritable(str(path), error) from error
        raise
    return ZarrWriter(path, spec)


def reopen_writer(path: Place, spec: VolumeSpec, target: Place) -> ZarrWriter:
    """Continue an image; its metadata stay as they are.

    Raises
    ------
    TargetError
        Where they are missing, damaged or others: what is written would not be what was planned.
    """
    try:
        for k, level in enumerate(pyramid(spec)):
            check_array(within(path, str(k)), level)
        if not is_url(path):
            _check_group(path, spec, target)
        return ZarrWriter(path, spec)
    except (FileNotFoundError, InputError, *METADATA_ERRORS) as error:
        why = f"is not what was begun ({error})"
        raise TargetError(str(path), why, "Use --force without --resume to start over") from error
    except Exception as error:
        if is_url(path) and not isinstance(error, MitotoolsError):
            raise unwritable(str(path), error) from error
        raise


def _check_group(path: Place, spec: VolumeSpec, target: Place) -> None:
    for name, document in _group(spec, target).items():
        if _but_history(read_json(path, name)) != _but_history(document):
            raise ValueError(f"{name} says something else")


def _but_history(document: object) -> object:
    """Return what a metadata file says, as JSON has it, without the history: another run's differs."""
    words = json.dumps(document)
    return json.loads(words, object_hook=lambda pairs: {k: v for k, v in pairs.items() if k != "history"})


def _group(spec: VolumeSpec, target: Place) -> dict[str, Json]:
    return group_documents(spec, "../../" if label_place(target) else None)


def publish(place: Place, spec: VolumeSpec, target: Place) -> None:
    """Give an image its name: behind a URL only when all of its voxels are written."""
    for name, document in _group(spec, target).items():
        write_json(place, name, document)


def _words(size: Size) -> str:
    return ",".join(map(str, size))
