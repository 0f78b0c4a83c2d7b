"""Write and read volumes as a command does: by blocks, in any order."""

from __future__ import annotations

import numpy as np
import pytest

from mitotools.errors import MitotoolsError
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import grid
from mitotools.volume.files import open_volume
from mitotools.volume.outputs import create_volume
from mitotools.volume.path import VolumePath, parse_volume_path

RECORD = {
    "command_line": "mitotools test",
    "version": "0",
    "time_utc": "2020-01-01T00:00:00+00:00",
    "parameters": {"a": 1},
    "inputs": [],
}


def values(shape, dtype="uint8", seed=0):
    """Random voxels over the whole range of a type."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind == "f":
        return rng.normal(size=shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def write(target, array, voxel_size=None, chunks=(3, 4, 5), *, seed=0, force=False, **properties):
    spec = VolumeSpec(
        array.shape, array.dtype, voxel_size, chunks=chunks, **{"history": (RECORD,), **properties}
    )
    target = target if isinstance(target, VolumePath) else VolumePath(str(target))
    with create_volume(target, spec, force=force) as writer:
        boxes = grid(spec.size, writer.spec.chunks)
        for index in np.random.default_rng(seed).permutation(len(boxes)):
            writer.write(boxes[index], array[(..., *boxes[index].slices)])


def read(name, block=(2, 3, 4), kind="any"):
    """Return the voxels of FILE[:DATASET][CROP], read by blocks, and what the volume is."""
    with open_volume(parse_volume_path(str(name)), kind) as volume:
        array = np.zeros(volume.spec.shape, volume.spec.dtype)
        for box in grid(volume.spec.size, block):
            array[(..., *box.slices)] = volume.read(box)
        return array, volume.spec


def refusal(function, *arguments, **keywords):
    """Return the error that a call raises, which is one of ours and one line."""
    with pytest.raises(MitotoolsError) as caught:
        function(*arguments, **keywords)
    assert "\n" not in str(caught.value)
    return caught.value


def outcome(function, *arguments):
    """Return what a call returns, or the error of ours that it raises; never another."""
    try:
        return function(*arguments)
    except MitotoolsError as error:
        return error
