"""Tiny networks and the phantom, as files."""

from __future__ import annotations

import h5py
import torch
from phantom import phantom

from mitotools.learn.checkpoint import save_model
from mitotools.learn.metadata import ModelMetadata
from mitotools.learn.models import build
from mitotools.volume.path import VolumePath, parse_volume_path

SIZE = (24, 40, 44)
VOXEL_SIZE = (5.0, 5.0, 5.0)


def write_volume(path, array, voxel_size_nm=VOXEL_SIZE) -> VolumePath:
    with h5py.File(path, "w") as file:
        file.create_dataset("main", data=array, chunks=tuple(min(16, n) for n in array.shape))
        if voxel_size_nm is not None:
            file["main"].attrs["voxel_size_nm"] = voxel_size_nm
    return parse_volume_path(str(path))


def write_phantom(folder, size=SIZE, seed=0, voxel_size_nm=VOXEL_SIZE) -> tuple[VolumePath, VolumePath]:
    """Write raw.h5 and labels.h5."""
    raw, labels = phantom(size, seed)
    return (
        write_volume(folder / "raw.h5", raw, voxel_size_nm),
        write_volume(folder / "labels.h5", labels, voxel_size_nm),
    )


def write_model(path, seed=0, patch=(8, 16, 16), voxel_size_nm=VOXEL_SIZE, **change):
    """Write a network with random weights, whose maps take all values."""
    settings = {"in_channels": 1, "out_channels": 2, "filters": [4, 8], "isotropic": True, **change}
    torch.manual_seed(seed)
    network = build("residual-unet", settings)
    for tensor in network.parameters():
        torch.nn.init.normal_(tensor, std=0.4)
    record = {"command_line": "mitotools train", "parameters": {"seed": seed}, "inputs": []}
    metadata = ModelMetadata(
        "residual-unet", settings, ("mask", "contour"), patch, voxel_size_nm, history=(record,)
    )
    save_model(path, network, metadata)
    return path
