"""Reading two labelings once, by blocks, into all that their scores are computed from."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mitotools.run.budget import plan_blocks
from mitotools.segment.scores.comparison import NO_EDGES, Comparison, compare_block, merge_comparisons
from mitotools.stages.blocks.blockwise import map_blocks
from mitotools.stages.blocks.pieces import read_labels, read_pieces
from mitotools.stages.blocks.planning import demand_to_read, memory_of, needs_to_read
from mitotools.stages.blocks.steps import check_steps
from mitotools.stages.scoring.overlap_file import Origin
from mitotools.volume.files import open_volume
from mitotools.volume.same_size import require_same_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from mitotools.conventions import Size
    from mitotools.history import Input
    from mitotools.parameters import EvaluationProtocol
    from mitotools.run.running import Running
    from mitotools.segment.scores.comparison import Edges
    from mitotools.segment.scores.instances import Instances
    from mitotools.segment.scores.overlap import Overlap
    from mitotools.stages.blocks.steps import Step
    from mitotools.volume.base import Volume, VolumeSpec
    from mitotools.volume.blocks import Box
    from mitotools.volume.files import FileVolume, Kind
    from mitotools.volume.path import VolumePath


KINDS: dict[str, Kind] = {"prediction": "labels", "truth": "labels", "ignore": "image", "heatmap": "any"}
"""How the volumes of `Asked` are read."""


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


@dataclass(frozen=True, eq=False)
class Scored:
    """What is scored: instances, and what ranks the predictions: "size", "file" or "heatmap"."""

    overlap: Overlap
    instances: Instances
    protocol: EvaluationProtocol
    ranked_by: str = "size"
    ranks: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Asked:
    """What is compared.

    Parameters
    ----------
    prediction, truth : VolumePath
        (Z, Y, X) labels of the same shape.
    ignore : VolumePath, optional
        (Z, Y, X), of any type: voxels are left out where it is not 0.
    heatmap : VolumePath, optional
        (Z, Y, X) or (C, Z, Y, X), of any type, to be added up over the predictions.
    with_border : bool
        Whether to look for the instances that the volume's border cuts.
    is_reported : bool
        Whether a page will show them: a budget that is too little for it is refused before they are compared.
    """

    prediction: VolumePath
    truth: VolumePath
    ignore: VolumePath | None = None
    heatmap: VolumePath | None = None
    with_border: bool = False
    is_reported: bool = False


def compare_volumes(asked: Asked, running: Running) -> Compared:
    """Compare two labelings.

    Raises
    ------
    InputError
        Where a volume holds no labels, the shapes differ, or a heatmap holds what is no number.
    MachineError
        Where the budget is too small.
    """
    paths = _paths(asked)
    with _opened(paths) as volumes:
        later = _steps_to_report(volumes, running) if asked.is_reported else []
        comparison = _comparison(volumes, running, later, with_border=asked.with_border)
        inputs = {role: volume.source() for role, volume in volumes.items()}
        left_out = volumes["prediction"].spec.voxels - int(comparison.overlap.count.sum())
    names = {
        role: f"{replace(paths[role], file=source.path)}{paths[role].crop}" for role, source in inputs.items()
    }
    origin = Origin(**names, ignored_voxels=left_out)
    return Compared(comparison, origin, list(inputs.values()))


def needs_to_compare(asked: Asked, running: Running) -> dict[str, str]:
    """Return what --dry-run prints of comparing two labelings.

    Raises
    ------
    InputError, MachineError
    """
    with _opened(_paths(asked)) as volumes:
        demand = demand_to_read(*_reading(volumes))
        plan = plan_blocks(demand, memory_of(running), running.threads, running.workers)
        return needs_to_read(volumes["truth"].spec, plan)


def _paths(asked: Asked) -> dict[str, VolumePath]:
    return {role: getattr(asked, role) for role in KINDS if getattr(asked, role) is not None}


@contextmanager
def _opened(paths: Mapping[str, VolumePath]) -> Iterator[dict[str, FileVolume]]:
    """Yield the volumes of one size."""
    with ExitStack() as stack:
        volumes = {role: stack.enter_context(open_volume(path, KINDS[role])) for role, path in paths.items()}
        for volume in volumes.values():
            require_same_size(volumes["prediction"], volume)
        yield volumes


def _steps_to_report(volumes: Mapping[str, Volume], running: Running) -> list[Step]:
    from mitotools.stages.scoring.report import steps_to_report  # noqa: PLC0415 (matplotlib)

    return steps_to_report([volumes["prediction"], volumes["truth"]], running)


def _comparison(
    volumes: Mapping[str, Volume], running: Running, later: Sequence[Step], *, with_border: bool
) -> Comparison:
    size = volumes["prediction"].spec.size

    def compare(box: Box, threads: int) -> Comparison:
        prediction, truth = (read_labels(volumes[role], box, threads) for role in ("prediction", "truth"))
        valid = read_pieces(volumes["ignore"], box, threads) == 0 if "ignore" in volumes else None
        heatmap = read_pieces(volumes["heatmap"], box, threads) if "heatmap" in volumes else None
        edges = edges_of(box, size) if with_border else NO_EDGES
        return compare_block(prediction, truth, valid, edges, heatmap)

    sources, voxel_bytes = _reading(volumes)
    check_steps([(demand_to_read(sources, voxel_bytes), running.workers), *later], running)
    return merge_comparisons(map_blocks(sources, compare, "evaluate", running, voxel_bytes))


def _reading(volumes: Mapping[str, Volume]) -> tuple[list[Volume], float]:
    """Return the volumes, the one that decides on the blocks first, and what a voxel of all takes."""
    # Besides the voxels, the table of their runs: three numbers a run, as many as voxels at worst.
    voxel_bytes = sum(_voxel_bytes(role, volume.spec) for role, volume in volumes.items()) + 20
    # The truth decides: predictions are written in chunks of any kind.
    return [volumes["truth"], *(volume for role, volume in volumes.items() if role != "truth")], voxel_bytes


def _voxel_bytes(role: str, spec: VolumeSpec) -> int:
    """Return what a voxel takes: of `ignore`, its mask too; of a heatmap, a copy with its channels first."""
    size = spec.dtype.itemsize
    return {"ignore": size + 1, "heatmap": 2 * size * (spec.channels or 1)}.get(role, size)


def edges_of(box: Box, size: Size) -> Edges:
    """Return on which sides a block ends where the volume does."""
    z, y, x = ((a == 0, b == n) for a, b, n in zip(box.start, box.stop, size, strict=True))
    return z, y, x
