"""Write tile files, merge them and read what comes of it."""

from __future__ import annotations

import h5py

from mitotools.parameters import MergeParameters
from mitotools.run.running import Running
from mitotools.stages.merge import merge_tiles
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.path import VolumePath


def save(path, array, **attributes):
    with h5py.File(path, "w") as file:
        file["main"] = array
        file["main"].attrs.update(attributes)
    return path


def merge(tiles, target, parameters=None, **running):
    tiles = [str(tile) for tile in (tiles if isinstance(tiles, list) else [tiles])]
    running = Running(**{"threads": 2, "command_line": "merge", **running})
    return merge_tiles(tiles, VolumePath(str(target)), parameters or MergeParameters(), running)


def read(path):
    with open_volume(VolumePath(str(path))) as volume:
        return volume.read(Box.whole(volume.spec.size)), volume.spec
