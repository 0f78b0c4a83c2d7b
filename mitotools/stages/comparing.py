"""Reading two labelings once, by blocks, into all that their scores are computed from."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mitotools.errors import InputError
from mitotools.segment.comparison import NO_EDGES, Comparison, compare_block, merge_comparisons
from mitotools.stages.blockwise import map_blocks
from mitotools.stages.overlap_file import Origin
from mitotools.stages.pieces import read_pieces
from mitotools.volume.files import open_volume, source_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.conventions import Size
    from mitotools.history import Input
    from mitotools.run.running import Running
    from mitotools.segment.comparison import Edges
    from mitotools.volume.base import Volume
    from mitotools.volume.blocks import Box
    from mitotools.volume.path import VolumePath


@dataclass(frozen=True, eq=False)
class Compared:
    """A comparison, and what it is of.

    Parameters
    ----------
    comparison : Comparison
    origin : Origin
    inputs : sequence of Input
        What was read, for the history.
    """

    comparison: Comparison
    origin: Origin
    inputs: Sequence[Input]


def compare_volumes(
    prediction: VolumePath,
    truth: VolumePath,
    ignore: VolumePath | None,
    running: Running,
    *,
    with_border: bool,
) -> Compared:
    """Compare two labelings, of which the voxels are left out where `ignore` is not 0.

    Parameters
    ----------
    prediction, truth : VolumePath
        (Z, Y, X) labels of the same shape.
    ignore : VolumePath, optional
        (Z, Y, X), of any type.
    running : Running
    with_border : bool
        Whether to look for the instances that the volume's border cuts.

    Raises
    ------
    InputError
        Where a volume holds no labels, or the shapes differ.
    """
    with ExitStack() as stack:
        volumes = [stack.enter_context(open_volume(path, "labels")) for path in (prediction, truth)]
        paths = [prediction, truth]
        if ignore is not None:
            volumes.append(stack.enter_context(open_volume(ignore, "image")))
            paths.append(ignore)
        for volume in volumes[1:]:
            require_same_size(volumes[0], volume)
        comparison = _comparison(volumes, running, with_border=with_border)
        inputs = [source_of(path, volume) for path, volume in zip(paths, volumes, strict=True)]
        left_out = volumes[0].spec.voxels - int(comparison.overlap.count.sum())
    origin = Origin(inputs[0].path, inputs[1].path, inputs[2].path if ignore is not None else "", left_out)
    return Compared(comparison, origin, inputs)


def require_same_size(prediction: Volume, truth: Volume) -> None:
    """Raise InputError where two volumes differ in size, with the crop that would help."""
    a, b = prediction.spec.size, truth.spec.size
    if a == b:
        return
    advice = ""
    if a[1:] == b[1:]:
        longer = prediction if a[0] > b[0] else truth
        advice = f"They differ in z alone: crop {longer.name}[0:{min(a[0], b[0])},:,:] would fit"
    raise InputError(f"{prediction.name} and {truth.name}", f"have different shapes, {a} and {b}", advice)


def _comparison(volumes: Sequence[Volume], running: Running, *, with_border: bool) -> Comparison:
    size = volumes[0].spec.size

    def compare(box: Box, threads: int) -> Comparison:
        valid = read_pieces(volumes[2], box, threads) == 0 if len(volumes) > 2 else None
        prediction, truth = (read_pieces(volume, box, threads) for volume in volumes[:2])
        return compare_block(prediction, truth, valid, edges_of(box, size) if with_border else NO_EDGES)

    # Besides the labels, the table of their runs: three numbers a run, as many as voxels at worst.
    voxel_bytes = sum(volume.spec.dtype.itemsize + (index == 2) for index, volume in enumerate(volumes)) + 20
    # The truth decides on the blocks: predictions are written in chunks of any kind.
    sources = [volumes[1], volumes[0], *volumes[2:]]
    return merge_comparisons(map_blocks(sources, compare, "evaluate", running, voxel_bytes))


def edges_of(box: Box, size: Size) -> Edges:
    """Return on which sides a block ends where the volume does."""
    z, y, x = ((a == 0, b == n) for a, b, n in zip(box.start, box.stop, size, strict=True))
    return z, y, x
