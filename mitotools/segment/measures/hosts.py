"""Which of other labels, the cells or neurites around them, instances lie in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mitotools.conventions import BACKGROUND
from mitotools.segment.measures.measure import CUBIC_NM_PER_CUBIC_UM

if TYPE_CHECKING:
    from mitotools.conventions import Array, VoxelSize
    from mitotools.segment.runs import Ids, Integers
    from mitotools.segment.scores.overlap import Overlap


def hosts_of(overlap: Overlap) -> tuple[Ids, Ids, Integers]:
    """Find the host of each instance.

    Parameters
    ----------
    overlap : Overlap
        Of the instances (as prediction) with the hosts (as truth).

    Returns
    -------
    ids : (N,) uint64
        Of the instances, ascending.
    hosts : (N,) uint64
        The id that most voxels of the instance have, of equals the lowest; 0 where most are in no host.
    shared : (N,) int64
        Voxels that have it.
    """
    inside = overlap.prediction != BACKGROUND
    ids, hosts, counts = overlap.prediction[inside], overlap.truth[inside], overlap.count[inside]
    order = np.lexsort((hosts, -counts, ids))
    found, firsts = np.unique(ids[order], return_index=True)
    best = order[firsts]
    return found, hosts[best], counts[best]


def host_columns(overlap: Overlap) -> dict[str, Array]:
    """Return ``host`` and ``host_share``, the part of the instance's voxels in it: (N,) arrays."""
    _, hosts, shared = hosts_of(overlap)
    _, sizes = overlap.prediction_sizes()
    return {"host": hosts, "host_share": shared / sizes}


def per_host_columns(overlap: Overlap, voxel_size_nm: VoxelSize | None) -> dict[str, Array | None]:
    """Return a table of the hosts and of the instances that are theirs.

    Parameters
    ----------
    overlap : Overlap
        Of the instances (as prediction) with the hosts (as truth).
    voxel_size_nm : (z, y, x) or None
        None if unknown.

    Returns
    -------
    dict of str to (H,) array or None
        ``host`` (ascending, those without an instance too; 0, what lies in no host, where it has any),
        ``host_voxels``, ``host_volume_um3``, ``count`` and ``voxels`` of its instances (whole, also what of
        them lies elsewhere), ``volume_um3``, ``density_per_um3`` (instances) and ``volume_fraction`` (voxels
        of any instance inside the host, over the host's). None where they need the voxel size.
    """
    _, hosts, _ = hosts_of(overlap)
    _, sizes = overlap.prediction_sizes()
    known, host_voxels, filled = _host_sizes(overlap, with_none=bool((hosts == BACKGROUND).any()))
    rows = np.searchsorted(known, hosts)
    count, voxels = np.bincount(rows, minlength=len(known)), np.zeros(len(known), np.int64)
    np.add.at(voxels, rows, sizes)
    columns: dict[str, Array | None] = {
        "host": known,
        "host_voxels": host_voxels,
        "host_volume_um3": None,
        "count": count,
        "voxels": voxels,
        "volume_um3": None,
        "density_per_um3": None,
        "volume_fraction": filled / host_voxels,
    }
    if voxel_size_nm is not None:
        voxel_um3 = float(np.prod(voxel_size_nm)) / CUBIC_NM_PER_CUBIC_UM
        columns["host_volume_um3"] = host_voxels * voxel_um3
        columns["volume_um3"] = voxels * voxel_um3
        columns["density_per_um3"] = count / (host_voxels * voxel_um3)
    return columns


def _host_sizes(overlap: Overlap, *, with_none: bool) -> tuple[Ids, Integers, Integers]:
    """Return the hosts, their voxels, and those of them that have an instance."""
    hosts, rows = np.unique(overlap.truth, return_inverse=True)
    voxels, filled = np.zeros(len(hosts), np.int64), np.zeros(len(hosts), np.int64)
    np.add.at(voxels, rows, overlap.count)
    np.add.at(filled, rows, np.where(overlap.prediction == BACKGROUND, 0, overlap.count))
    kept = (hosts != BACKGROUND) | with_none
    return hosts[kept], voxels[kept], filled[kept]
