"""What takes an instance as a whole: its skeleton, and its surface as a mesh."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from mitotools import history
from mitotools.errors import InputError
from mitotools.segment.measures import mesh, skeleton, skeleton_grid
from mitotools.stages.measuring.masks import map_masks
from mitotools.volume.atomic import create_file
from mitotools.volume.mesh_file import write_mesh

if TYPE_CHECKING:
    from mitotools.conventions import Size, VoxelSize
    from mitotools.history import History
    from mitotools.run.running import Running
    from mitotools.segment.measures.measure import Measurements
    from mitotools.segment.measures.skeleton import Skeleton
    from mitotools.stages.measuring.masks import Masked
    from mitotools.stages.measuring.one_pass import Columns
    from mitotools.volume.base import Volume

UNITS = "vertices x y z in nm, the middle of the volume's first voxel is 0"


def skeleton_columns(labels: Volume, measurements: Measurements, running: Running) -> Columns:
    """Measure instances along their skeletons.

    Parameters
    ----------
    labels : Volume
        (Z, Y, X) labels.
    measurements : Measurements
        Of the whole volume.
    running : Running

    Returns
    -------
    dict of str to (N,) array or None
        See `segment.measures.skeleton.skeleton_columns`, in the order of the measurements.
    """
    found = dict(map_masks(labels, measurements, _skeleton_of, "skeletons", running, _skeleton_bytes))
    in_order = [found[number] for number in measurements.ids.tolist()]
    return skeleton.skeleton_columns(in_order, is_size_known=labels.spec.voxel_size_nm is not None)


def _skeleton_of(masked: Masked) -> tuple[int, Skeleton]:
    return masked.id, skeleton.measure_skeleton(masked.mask, masked.voxel_size_nm)


def _skeleton_bytes(shape: Size, voxel_size_nm: VoxelSize | None) -> float:
    return skeleton_grid.BYTES_PER_WORKING_VOXEL * skeleton_grid.working_voxels(shape, voxel_size_nm)


def write_meshes(
    labels: Volume,
    measurements: Measurements,
    folder: Path,
    suffix: str,
    records: History,
    running: Running,
) -> None:
    """Write the surface of every instance to a folder that appears when all are there.

    Parameters
    ----------
    labels : Volume
        (Z, Y, X) labels.
    measurements : Measurements
        Of the whole volume.
    folder : Path
        Of files ``ID.ply`` or ``ID.obj``.
    suffix : str
        ``.ply`` or ``.obj``.
    records : History
        Written beside the folder.
    running : Running

    Raises
    ------
    InputError
        Where the voxel size is unknown.
    TargetError
    """
    voxel_size_nm = required_voxel_size(labels)
    with create_file(folder, force=running.force) as path:
        path.mkdir()
        write = _Writing(path.absolute(), suffix, voxel_size_nm)
        for _ in map_masks(labels, measurements, write, "meshes", running, _mesh_bytes):
            pass
        history.write_sidecar(path, records)
    logging.getLogger(__name__).info("%s: %d meshes", folder, len(measurements))


def required_voxel_size(labels: Volume) -> VoxelSize:
    """Return the voxel size of a volume, or raise InputError where it is unknown."""
    if labels.spec.voxel_size_nm is None:
        why = "has no voxel size, which plots, reports and meshes need"
        raise InputError(labels.name, why, "Give it with 'mitotools convert --voxel-size'")
    return labels.spec.voxel_size_nm


@dataclass(frozen=True)
class _Writing:
    """Writes the mesh of an instance, wherever it is sent."""

    folder: Path
    suffix: str
    voxel_size_nm: VoxelSize

    def __call__(self, masked: Masked) -> None:
        own_size = masked.voxel_size_nm or self.voxel_size_nm
        z, y, x = (first * side for first, side in zip(masked.first, self.voxel_size_nm, strict=True))
        surface = mesh.mesh_of(masked.mask, own_size, (z, y, x))
        file = self.folder / f"{masked.id}{self.suffix}"
        write_mesh(file, surface.vertices, surface.faces, [f"id {masked.id}", UNITS], force=True)


def _mesh_bytes(shape: Size, voxel_size_nm: VoxelSize | None) -> float:  # noqa: ARG001
    return mesh.BYTES_PER_VOXEL * prod(n + 2 for n in shape)
