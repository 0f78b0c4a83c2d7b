"""Profiles of maps of any size, linked along z: exactly those of `segment.decoders.profiles`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mitotools.segment.blockwise.joining import (
    Groups,
    all_names,
    every,
    group_firsts,
    group_voxels,
    joined,
    joined_markers,
)
from mitotools.segment.decoders.profiles import BYTES_PER_VOXEL, block_part, linked
from mitotools.stages.blocks.planning import memory_of
from mitotools.stages.decoding.block_step import BlockWork
from mitotools.stages.decoding.instances import Instances, Layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.parameters import DecodeParameters
    from mitotools.run.engine import Engine
    from mitotools.run.running import Running
    from mitotools.segment.blockwise.joining import Markers
    from mitotools.segment.blockwise.places import Flags, Integers
    from mitotools.segment.blockwise.tables import Known, Shared
    from mitotools.stages.decoding.parts import Parts
    from mitotools.volume.base import Volume


def work(parameters: DecodeParameters) -> BlockWork:
    """Return what is done with a block."""
    return BlockWork(block_part, parameters, BYTES_PER_VOXEL)


def instances(
    maps: Volume,
    parts: Parts,
    parameters: DecodeParameters,
    running: Running,
    engine: Engine,
) -> Instances:
    """Link the profiles across blocks, and number the instances."""

    def matters(block: int, table: Shared) -> Flags:
        """Return which profiles of a block may be linked, or are an instance by themselves."""
        overlaps = parts.table("overlaps", block)
        found: Flags = np.isin(table.ids, overlaps[:, :2]) | (table.voxels >= parameters.min_size_voxels)
        return found

    shared = parts.shared("shared", memory_of(running, engine), matters)
    markers = _chains(
        shared, list(parts.tables("overlaps")), list(parts.tables("known")), parameters.link_iou
    )
    del shared
    numbers = markers.final(0, parameters.min_size_voxels)
    layer = Layer(parts.files("runs"), markers.numbers.through(numbers))
    why_none = f"no voxel is foreground with --foreground {parameters.foreground:g}"
    if any(found.any() for found in parts.tables("found")):
        why_none = f"no instance has --min-size {parameters.min_size_voxels} voxels"
    return Instances(maps.spec.size, parts.blocks, (layer,), int(numbers.max(initial=0)), why_none)


def _chains(
    shared: Sequence[Shared], overlaps: Sequence[Integers], known: Sequence[Known], link_iou: float
) -> Markers:
    """Join the parts of profiles, link profiles to chains, and number chains."""
    profiles = joined(shared)
    sizes, firsts = group_voxels(shared, profiles), group_firsts(shared, profiles)
    upper = profiles.of(all_names([table[:, 0] for table in overlaps]))
    lower = profiles.of(all_names([table[:, 1] for table in overlaps]))
    pairs, at = np.unique(np.stack([upper, lower]), axis=1, return_inverse=True)
    voxels = np.zeros(pairs.shape[1], np.int64)
    np.add.at(voxels, at.reshape(-1), every([table[:, 2] for table in overlaps]))
    first_profile = linked(np.concatenate([pairs, voxels[None]]).T, sizes, firsts, link_iou)
    names, chains = np.unique(first_profile, return_inverse=True)
    chain_voxels = np.zeros(names.size, np.int64)
    np.add.at(chain_voxels, chains, sizes)
    groups = Groups(profiles.names, chains[profiles.group_of], names.size)
    return joined_markers(known, groups, firsts[names], chain_voxels, np.ones(names.size, np.bool_))
