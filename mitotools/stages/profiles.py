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
from mitotools.segment.blockwise.profiles import BYTES_PER_VOXEL, ProfilesPart, linked
from mitotools.segment.decoders.profiles import block_part
from mitotools.stages.block_step import BlockWork
from mitotools.stages.instances import Found, Instances, Layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.parameters import DecodeParameters
    from mitotools.run.engine import Engine
    from mitotools.run.running import Running
    from mitotools.segment.blockwise.joining import Markers
    from mitotools.stages.block_step import Parts
    from mitotools.volume.base import Volume


def work(parameters: DecodeParameters) -> BlockWork:
    """Return what is done with a block."""
    return BlockWork(ProfilesPart, block_part, parameters, BYTES_PER_VOXEL)


def instances(
    maps: Volume,
    parts: Parts,
    parameters: DecodeParameters,
    running: Running,  # noqa: ARG001 (as all methods are called)
    engine: Engine,  # noqa: ARG001
) -> Found:
    """Link the profiles across blocks, and number the instances."""
    markers = _chains(parts.tables, parameters.link_iou)
    numbers = markers.final(0, parameters.min_size_voxels)
    layer = Layer(parts.files("runs"), markers.numbers.through(numbers))
    found = Instances(maps.spec.size, parts.blocks, (layer,), int(numbers.max(initial=0)))
    if any(part.found.any() for part in parts.tables):
        return Found(found, f"no instance has --min-size {parameters.min_size_voxels} voxels")
    return Found(found, f"no voxel is foreground with --foreground {parameters.foreground:g}")


def _chains(tables: Sequence[ProfilesPart], link_iou: float) -> Markers:
    """Join the parts of profiles, link profiles to chains, and number chains."""
    shared = [part.shared for part in tables]
    profiles = joined(shared)
    sizes, firsts = group_voxels(shared, profiles), group_firsts(shared, profiles)
    upper = profiles.of(all_names([part.overlaps[:, 0] for part in tables]))
    lower = profiles.of(all_names([part.overlaps[:, 1] for part in tables]))
    pairs, at = np.unique(np.stack([upper, lower]), axis=1, return_inverse=True)
    voxels = np.zeros(pairs.shape[1], np.int64)
    np.add.at(voxels, at.reshape(-1), every([part.overlaps[:, 2] for part in tables]))
    first_profile = linked(np.concatenate([pairs, voxels[None]]).T, sizes, firsts, link_iou)
    names, chains = np.unique(first_profile, return_inverse=True)
    chain_voxels = np.zeros(names.size, np.int64)
    np.add.at(chain_voxels, chains, sizes)
    groups = Groups(profiles.names, chains[profiles.group_of], names.size)
    known = [part.known for part in tables]
    return joined_markers(known, groups, firsts[names], chain_voxels, np.ones(names.size, np.bool_))
