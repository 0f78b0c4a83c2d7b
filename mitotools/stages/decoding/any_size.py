"""Maps decoded, however large they are: what decode writes, and tune scores."""

from __future__ import annotations

import logging
import math
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mitotools.errors import InputError, MachineError, UsageError
from mitotools.run.budget import SLACK, BlockPlan, written
from mitotools.run.memory import resident_bytes
from mitotools.run.running import without_warnings
from mitotools.segment.affinities import watershed_levels
from mitotools.segment.decoders import decoder
from mitotools.stages.blocks.blockwise import map_blocks
from mitotools.stages.blocks.pieces import PIECE_BYTES, read_pieces
from mitotools.stages.blocks.planning import memory_of
from mitotools.stages.blocks.steps import LEFT_BYTES
from mitotools.stages.decoding import components, profiles, watershed
from mitotools.stages.decoding.block_step import block_plan, known_parts, workspace
from mitotools.stages.decoding.maps import as_uint8
from mitotools.volume.files import open_volume

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mitotools.conventions import Array, Labels, Maps
    from mitotools.history import History
    from mitotools.parameters import DecodeParameters
    from mitotools.run.running import Running
    from mitotools.volume.base import Volume
    from mitotools.volume.blocks import Box
    from mitotools.volume.files import FileVolume
    from mitotools.volume.path import VolumePath

BLOCKWISE = {"mw": watershed, "bcd": watershed, "cc": components, "iou": profiles}
"""The methods that work block by block, however large maps are."""

READING_BYTES = 3 * PIECE_BYTES
"""What reading maps takes beside them."""

PREDICTED = frozenset({"decode", "window_voxels"})
"""Parameters by which a record of `predict` is known."""


class Decoded(Protocol):
    """Instances that are read by blocks."""

    @property
    def count(self) -> int:
        """Instances are numbered 1 to it."""

    def read(self, box: Box, threads: int) -> Array:
        """Return the instances of `box`, in the smallest unsigned type for all of them."""


@dataclass(frozen=True, eq=False)
class _InMemory:
    """Instances that were found in memory."""

    labels: Labels
    count: int

    def read(self, box: Box, threads: int) -> Array:  # noqa: ARG002 (as stages call it)
        """Return the instances of `box`."""
        return self.labels[box.slices]


@contextmanager
def open_maps(
    source: VolumePath, parameters: DecodeParameters, channels: Mapping[str, int] | None
) -> Iterator[FileVolume]:
    """Yield maps as a method reads them.

    Raises
    ------
    InputError
        Where they do not have its channels.
    UsageError
        Where `channels` are none that it reads.
    """
    with open_volume(source, "maps") as opened:
        chosen = decoder(parameters.method).selected(channels) if channels else None
        volume = opened.with_channels(chosen) if chosen else opened
        try:
            require_fit(parameters, volume.spec.channels or 1)
        except InputError as error:
            raise InputError(str(source), f"{error.what} {error.why}", error.what_next) from error
        yield volume


def require_fit(parameters: DecodeParameters, channels: int) -> None:
    """Refuse parameters that contradict each other, or the number of channels of the maps.

    Raises
    ------
    InputError
        Where the method does not read so many channels.
    UsageError
        Where its options go neither together nor with them.
    """
    method = decoder(parameters.method)
    method.require_channels(channels)
    edges = len(parameters.affinity_offsets)
    if not method.channels and channels != edges:
        why = f"has {edges} --affinity-offsets, and the maps have {channels}"
        raise InputError(f"decoder {method.name}", why)
    if "affinity_high" in method.options:
        watershed_levels(parameters)
    if "landscape" in method.options and parameters.landscape != "mask" and channels == 1:
        raise UsageError(f"--landscape {parameters.landscape}", "the maps have no contour")


def recorded_options(source: VolumePath) -> tuple[object, int]:
    """Return the options that the history of maps says of their model, unchecked, and the maps' channels.

    Parameters
    ----------
    source : VolumePath
        Maps, (C, Z, Y, X).

    Returns
    -------
    recorded : JSON value or None
        Of the latest record of `predict`: the options by the fields of `DecodeParameters`. None: it has none.
    channels : int
        How many the maps have.

    Raises
    ------
    InputError
    """
    # The volume is opened once more to be decoded, and what it says is said then.
    with without_warnings("mitotools.volume"), open_volume(source, "maps") as volume:
        return _recorded(volume.spec.history), volume.spec.channels or 1


def _recorded(records: History) -> object:
    for record in reversed(records):
        found = record.get("parameters")
        # Behind the record of the maps there may be others: of the maps that became the training's labels.
        if isinstance(found, dict) and not PREDICTED.isdisjoint(found):
            return found.get("decode")
    return None


def parameters_used(parameters: DecodeParameters) -> dict[str, Any]:
    """Return the method, and the parameters that it reads."""
    known = decoder(parameters.method).options
    used = {name: value for name, value in asdict(parameters).items() if name in known}
    return {"method": parameters.method, **used}


def needed(volume: Volume, target: VolumePath, parameters: DecodeParameters, running: Running) -> BlockPlan:
    """Return the blocks and the memory of decoding.

    Raises
    ------
    MachineError
        Where the budget is too small.
    """
    if parameters.method not in BLOCKWISE:
        return BlockPlan(volume.spec.size, 1, running.threads, _memory_of_all(volume, parameters, running), 1)
    with running.engine() as engine:
        work = BLOCKWISE[parameters.method].work(parameters)
        return block_plan(volume, target, work, running, engine)


@contextmanager
def decoded(
    volume: Volume, target: VolumePath, records: History, parameters: DecodeParameters, running: Running
) -> Iterator[tuple[Decoded, Running]]:
    """Yield the instances of maps, to be read while the block lasts, and how to run what reads them.

    Parameters
    ----------
    volume : Volume
        Maps, (C, Z, Y, X).
    target : VolumePath
        What lies on the way is beside it.
    records : History
        Of the instances: what is continued must have had the same.
    parameters : DecodeParameters
    running : Running

    Raises
    ------
    InputError, UsageError, TargetError
    """
    if parameters.method not in BLOCKWISE:
        yield _whole(volume, parameters, running), running
        return
    method = BLOCKWISE[parameters.method]
    work = method.work(parameters)
    with running.with_engine() as (running, engine):
        plan = block_plan(volume, target, work, running, engine)
        with workspace(target, records, plan.block, running) as space:
            parts = known_parts(volume, work, space, plan, running, engine)
            found = method.instances(volume, parts, parameters, running, engine)
            if found.count == 0:
                largest = max(of_maps[0] for of_maps in parts.tables("largest"))
                _warn(f"{found.why_none}; the largest mask value is {largest / 255:.2f}")
            yield found, running


def _whole(volume: Volume, parameters: DecodeParameters, running: Running) -> Decoded:
    """Decode maps in memory."""
    _memory_of_all(volume, parameters, running)
    labels = decoder(parameters.method).decode(_read(volume, running), parameters)
    count = int(labels.max(initial=0))
    if count == 0:
        _warn(f"--method {parameters.method} finds none in these maps")
    return _InMemory(labels, count)


def _memory_of_all(volume: Volume, parameters: DecodeParameters, running: Running) -> int:
    """Return what decoding in memory takes; MachineError where that is not to be had."""
    method = decoder(parameters.method)
    if running.is_distributed:
        option = "--scheduler" if running.scheduler else "--workers"
        raise UsageError(option, f"--method {method.name} computes in one process", "Leave it out")
    others = resident_bytes() + LEFT_BYTES + READING_BYTES
    need = int((others + method.bytes_per_voxel * math.prod(volume.spec.size)) / SLACK)
    if need > memory_of(running):
        why = f"{written(memory_of(running))} is too little for --method {method.name}, which holds all maps"
        what_next = f"The least is {written(need)}; {', '.join(BLOCKWISE)} need little"
        raise MachineError("--memory", why, what_next)
    return need


def _read(volume: Volume, running: Running) -> Maps:
    maps = np.empty((volume.spec.channels or 1, *volume.spec.size), np.uint8)

    def read(box: Box, threads: int) -> None:
        maps[(slice(None), *box.slices)] = as_uint8(read_pieces(volume, box, threads), volume.name)

    voxel_bytes = (volume.spec.dtype.itemsize + 8) * maps.shape[0]
    for _ in map_blocks([volume], read, "read", running, voxel_bytes):
        pass
    return maps


def _warn(why: str) -> None:
    logging.getLogger(__name__).warning("no instance: %s", why)
