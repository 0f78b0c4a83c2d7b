"""One block of a marker-controlled watershed that is computed block by block, exactly.

Floods never leave a component of the foreground (6-connected), and a component flooded alone gives what the
whole volume gives. So a block floods the components that it holds whole, and hands on the others, voxel by
voxel, to be flooded when all their voxels are together. A block is read with the first plane of the next
ones: what it sees of a component or a marker and what its neighbours see of it meet in the voxels that they
share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mitotools.segment.block_kernels import (
    closed_part,
    drop,
    open_parts,
    open_runs,
    open_voxels,
    shared_voxels,
    sizes_and_firsts,
)
from mitotools.segment.components import connected_components, sizes_voxels
from mitotools.segment.flood import flood

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Labels, Mask, Size

    Flags = npt.NDArray[np.bool_]
    Integers = npt.NDArray[np.int64]
    Landscape = npt.NDArray[np.uint8]

BYTES_PER_VOXEL = 22
"""Of a block, beside the maps: seeds, foreground, components, markers, what floods and the flood's queue."""


@dataclass(frozen=True)
class Place:
    """Where a block lies.

    Parameters
    ----------
    origin, core : (z, y, x)
        The block's first voxel, and its shape without the planes that it shares with the next blocks.
    volume : (Z, Y, X)
        Shape of the whole volume.
    """

    origin: Size
    core: Size
    volume: Size

    @property
    def has_before(self) -> tuple[bool, bool, bool]:
        """Whether there is a block before this one, along each axis."""
        z, y, x = (start > 0 for start in self.origin)
        return z, y, x

    @property
    def has_next(self) -> tuple[bool, bool, bool]:
        """Whether there is a block behind this one, along each axis."""
        z, y, x = (a + n < end for a, n, end in zip(self.origin, self.core, self.volume, strict=True))
        return z, y, x


@dataclass(frozen=True, eq=False)
class BlockPart:
    """What a block knows of the whole; positions are indices into the whole volume in C order.

    Parameters
    ----------
    labels : core-shaped uint32
        The markers, by numbers of the block's own, that reach each voxel of its closed components.
    ids, firsts, voxels : (I,) arrays
        The closed markers that stay: their numbers, the positions of their first voxels, the voxels reached.
    is_pending : (I,) bool
        Whether the marker reaches into components that are not closed as well.
    open_ids, open_firsts, open_voxels : (O,) arrays
        The markers that other blocks may share: their first voxels and numbers of voxels, in this block.
    marker_at, marker_ids : (M,) arrays
        Shared voxels, and the open markers there.
    component_at, component_ids : (N,) arrays
        Shared voxels, and the open components there.
    run_starts, run_lengths, run_components : (R,) arrays
        Open components, run by run along x.
    values, markers : (V,) uint8, uint32
        The landscape and the markers of those runs' voxels.
    """

    labels: Labels
    ids: Integers
    firsts: Integers
    voxels: Integers
    is_pending: Flags
    open_ids: Integers
    open_firsts: Integers
    open_voxels: Integers
    marker_at: Integers
    marker_ids: Integers
    component_at: Integers
    component_ids: Integers
    run_starts: Integers
    run_lengths: Integers
    run_components: Integers
    values: Landscape
    markers: Labels

    def table(self) -> BlockPart:
        """Return the part without anything of the size of the block: each open component is one run."""
        components, of_run = np.unique(self.run_components, return_inverse=True)
        voxels = np.zeros(components.size, np.int64)
        np.add.at(voxels, of_run, self.run_lengths)
        return replace(
            self,
            labels=np.zeros((0, 0, 0), np.uint32),
            run_starts=np.zeros(components.size, np.int64),
            run_lengths=voxels,
            run_components=components,
            values=np.zeros(0, np.uint8),
            markers=np.zeros(0, np.uint32),
        )


def block_watershed(
    landscape: Landscape,
    seeds: Mask,
    threshold: int,
    min_seed_voxels: int,
    min_size_voxels: int,
    place: Place,
) -> BlockPart:
    """Flood the components that lie within a block, and describe what does not.

    Parameters
    ----------
    landscape : (Z, Y, X) uint8
        Of the block and of the first plane of the next block along each axis, where there is one.
    seeds : (Z, Y, X) bool
        The markers' voxels.
    threshold : int
        The foreground is above it.
    min_seed_voxels, min_size_voxels : int
        Least sizes of a marker and of an instance.
    place : Place
    """
    foreground = landscape > threshold
    components, component_count = connected_components(foreground, 6)
    markers, marker_count = connected_components(seeds, 26)
    open_markers, open_components, touches_open = open_parts(
        components, component_count, markers, marker_count, place.core, place.has_before, place.has_next
    )
    sizes, firsts = sizes_and_firsts(markers, marker_count, place.origin, place.core, place.volume)
    stays = ~open_markers & (sizes >= min_seed_voxels)
    stays[0] = False
    labels, closed = closed_part(landscape, components, markers, open_components, stays, place.core)
    flood(closed, labels, threshold)
    voxels = sizes_voxels(labels, marker_count)
    # What is complete and too small is dropped here, and never heard of again.
    kept = stays & ((voxels >= max(min_size_voxels, 1)) | touches_open)
    if not kept[stays].all():
        drop(labels.reshape(-1), kept)
    starts, lengths, of_run = open_runs(components, open_components, place.origin, place.core, place.volume)
    values, of_voxel = open_voxels(
        landscape, components, markers, open_components, open_markers | stays, place.core, int(lengths.sum())
    )
    open_ids, ids = np.flatnonzero(open_markers), np.flatnonzero(kept)
    return BlockPart(
        labels,
        ids, firsts[ids], voxels[ids], touches_open[ids],
        open_ids, firsts[open_ids], sizes[open_ids],
        *shared_voxels(markers, place.origin, place.core, place.volume, place.has_before, place.has_next),
        *shared_voxels(components, place.origin, place.core, place.volume, place.has_before, place.has_next),
        starts, lengths, of_run,
        values, of_voxel,
    )  # fmt: skip
