"""Write and read volumes through one format's module, as the processes of a command would."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from volume_files import refusal

from mitotools.errors import InputError, TargetError
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box, grid
from mitotools.volume.formats import format_of, writable_format_of

LENGTHS = st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7))


def plan(target, array, voxel_size=(30.0, 8.0, 4.0), **properties):
    spec = VolumeSpec(array.shape, array.dtype, voxel_size, **properties)
    return writable_format_of(str(target)).load().planned(spec, target)


def save(target, array, voxel_size=(30.0, 8.0, 4.0), seed=0, **properties):
    """Write blocks in random order from two writers that know the file only by its name."""
    kind = format_of(str(target))
    spec = plan(target, array, voxel_size, **properties)
    first = kind.load().create_writer(target, spec, target)
    boxes = grid(spec.size, spec.unit)
    writers = [first]
    if kind.writers == "processes":
        first.close()
        writers = [kind.load().reopen_writer(target, spec, target) for _ in range(2)]
        boxes = [boxes[index] for index in np.random.default_rng(seed).permutation(len(boxes))]
    for index, box in enumerate(boxes):
        writers[index % len(writers)].write(box, array[(..., *box.slices)])
    for writer in writers:
        writer.close()
    return spec


def load(path, dataset=None, block=(2, 3, 4), **options):
    """Return the voxels, read by blocks, and what the volume is."""
    reader = format_of(str(path)).load().open_reader(path, dataset, **options)
    try:
        array = np.zeros(reader.spec.shape, reader.spec.dtype)
        for box in grid(reader.spec.size, block):
            part = reader.read(box)
            assert part.dtype == reader.spec.dtype
            part += np.ones((), part.dtype)  # whoever reads may change what was read
            array[(..., *box.slices)] = reader.read(box)
        return array, reader.spec
    finally:
        reader.close()


def crop(path, start, stop, dataset=None):
    reader = format_of(str(path)).load().open_reader(path, dataset)
    try:
        return reader.read(Box(start, stop))
    finally:
        reader.close()


def unreadable(path, dataset=None, **options):
    """Return why a volume cannot be read."""
    error = refusal(load, path, dataset, **options)
    assert isinstance(error, InputError)
    return str(error)


def unwritable(target, array, voxel_size=(30.0, 8.0, 4.0), **properties):
    """Return why a volume cannot be written."""
    error = refusal(plan, target, array, voxel_size, **properties)
    assert isinstance(error, TargetError)
    return str(error)
