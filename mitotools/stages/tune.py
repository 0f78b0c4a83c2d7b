"""Options of decode, tried on saved maps and scored against the truth."""

from __future__ import annotations

import itertools
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools import history
from mitotools.errors import UsageError
from mitotools.run.running import silent
from mitotools.segment.decoders import decoder
from mitotools.segment.scores.overlap import merge_overlaps, overlap_of_block
from mitotools.stages.blocks.blockwise import map_blocks
from mitotools.stages.blocks.pieces import read_labels
from mitotools.stages.blocks.planning import demand_to_read, needs_to_read
from mitotools.stages.decoding.any_size import decoded, needed, open_maps, parameters_used
from mitotools.stages.decoding.steps import check_decoding
from mitotools.stages.evaluate import scores
from mitotools.temporary import temporary_folder
from mitotools.volume.files import open_volume
from mitotools.volume.path import VolumePath
from mitotools.volume.same_size import require_same_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mitotools.history import History
    from mitotools.parameters import DecodeParameters, EvaluateParameters
    from mitotools.run.budget import Demand
    from mitotools.run.running import Running
    from mitotools.segment.scores.overlap import Overlap
    from mitotools.volume.base import Volume
    from mitotools.volume.blocks import Box

Report = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """A point of the grid.

    Parameters
    ----------
    parameters : DecodeParameters
    report : dict
        What evaluate says of it.
    ap : float or None
        What trials are ranked by: the AP of all instances, the mean over the thresholds asked for; None where
        there is neither prediction nor truth.
    """

    parameters: DecodeParameters
    report: Report
    ap: float | None

    @property
    def rank(self) -> tuple[float, float]:
        """What trials are sorted by, ascending: the AP, and among equals the AP over all thresholds."""
        return -(self.ap or 0), -(self.report["ap"]["0.50:0.95"]["all"] or 0)


def tune_decoding(
    maps: VolumePath,
    truth: VolumePath,
    base: DecodeParameters,
    grid: Mapping[str, Sequence[Any]],
    scoring: EvaluateParameters,
    running: Running,
    channels: Mapping[str, int] | None = None,
    config: Path | None = None,
) -> tuple[list[Trial], History]:
    """Decode maps with every combination of options, and score each against the truth.

    Points that differ in `min_size_voxels` alone are decoded once. Labels are not written: maps may be as
    large as those of decode.

    Parameters
    ----------
    maps, truth : VolumePath
        (C, Z, Y, X) maps and (Z, Y, X) labels of one size.
    base : DecodeParameters
        Those that do not vary.
    grid : mapping of str to sequence
        Values of fields of `DecodeParameters`.
    scoring : EvaluateParameters
    running : Running
    channels : mapping of str to int, optional
        Which channel of the maps is what.
    config : Path, optional
        The file that `base` is from, for the history.

    Returns
    -------
    trials : list of Trial
        The best first (see `Trial.rank`), among equals in the order of the grid; none where `running.dry_run`
        asks what they need.
    records : History

    Raises
    ------
    InputError
    UsageError
        Where the method does not read an option of the grid.
    """
    for field in grid:
        if field not in decoder(base.method).options:
            raise UsageError(f"--grid {field}", f"--method {base.method} does not read it")
    points = [
        replace(base, **dict(zip(grid, values, strict=True))) for values in itertools.product(*grid.values())
    ]
    alike: dict[DecodeParameters, list[int]] = {}
    for number, point in enumerate(points):
        alike.setdefault(replace(point, min_size_voxels=0), []).append(number)
    with open_maps(maps, base, channels) as volume, open_volume(truth, "labels") as true:
        require_same_size(volume, true)
        made_with = {**parameters_used(base), **asdict(scoring), "grid": dict(grid), "channels": channels}
        inputs = [volume.source(), true.source()]
        inputs += [history.input_of(config)] if config else []
        records = history.extended(inputs, running.command_line, made_with)
        trials: dict[int, Trial] = {}
        if running.dry_run:
            plan = needed(volume, maps, base, running)
            running.dry_run({"points": str(len(alike)), **needs_to_read(true.spec, plan)})
            return [], records
        check_decoding(volume, maps, base, running, [(_demand_to_score(true), running.workers)])
        with running.with_engine() as (running, _):
            for numbers in running.track(alike.values(), len(alike), "tune", "points"):
                same = [points[number] for number in numbers]
                found = _trials(volume, true, same, scoring, replace(running, track=silent))
                trials.update(zip(numbers, found, strict=True))
    order = sorted(trials, key=lambda number: (*trials[number].rank, number))
    return [trials[number] for number in order], records


def _trials(
    maps: Volume, truth: Volume, points: list[DecodeParameters], scoring: EvaluateParameters, running: Running
) -> Iterator[Trial]:
    """Score points that differ in the least size of an instance alone."""
    least = min(point.min_size_voxels for point in points)
    overlap = _overlap(maps, truth, replace(points[0], min_size_voxels=least), running)
    for point in points:
        report = scores(overlap.without_small_predictions(point.min_size_voxels), scoring)
        values = [report["ap"][name]["all"] for name in report["detection"]]
        known = [value for value in values if value is not None]
        yield Trial(point, report, float(np.mean(known)) if known else None)


def _overlap(maps: Volume, truth: Volume, parameters: DecodeParameters, running: Running) -> Overlap:
    with temporary_folder() as folder:
        place = VolumePath(str(folder / "labels.zarr"))
        with decoded(maps, place, (), parameters, running) as (instances, running_on):

            def overlap(box: Box, threads: int) -> Overlap:
                return overlap_of_block(instances.read(box, threads), read_labels(truth, box, threads))

            with closing(map_blocks([truth], overlap, "score", running_on, _bytes_to_score(truth))) as parts:
                return merge_overlaps(parts)


def _demand_to_score(truth: Volume) -> Demand:
    return demand_to_read([truth], _bytes_to_score(truth))


def _bytes_to_score(truth: Volume) -> float:
    """Return what a voxel takes: both ids, and the table of their runs."""
    return 8 + truth.spec.dtype.itemsize + 20
