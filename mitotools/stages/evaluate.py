"""How well a prediction agrees with the truth."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools import history
from mitotools.errors import UsageError
from mitotools.parameters import PROTOCOLS, EvaluationProtocol
from mitotools.segment.scores.average_precision import (
    average_precision,
    iou_thresholds,
    scores_by_id,
    select_thresholds,
)
from mitotools.segment.scores.bootstrap import LEVEL, ap_intervals
from mitotools.segment.scores.comparison import Comparison
from mitotools.segment.scores.foreground import foreground_scores
from mitotools.segment.scores.instances import instances_of
from mitotools.segment.scores.matching import detection, find_errors
from mitotools.segment.scores.rand_voi import adapted_rand_error, variation_of_information
from mitotools.segment.scores.verdicts import COLUMNS, verdicts
from mitotools.stages.blocks.pieces import warn_of_grey_values
from mitotools.stages.scoring.comparing import Asked, Compared, Scored, compare_volumes
from mitotools.stages.scoring.overlap_file import load_overlap, save_overlap
from mitotools.stages.scoring.score_file import compare_ids, read_scores
from mitotools.volume.atomic import check_file
from mitotools.volume.outputs import check_apart
from mitotools.volume.path import parse_volume_path
from mitotools.volume.table import write_tsv

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mitotools.parameters import EvaluateParameters
    from mitotools.run.running import Running
    from mitotools.segment.scores.instances import Side
    from mitotools.segment.scores.overlap import Overlap
    from mitotools.segment.scores.verdicts import Verdict
    from mitotools.stages.scoring.score_file import Listed
    from mitotools.volume.path import VolumePath

Report = dict[str, Any]
"""What `mitotools evaluate --format json` prints."""


@dataclass(frozen=True)
class EvaluateFiles:
    """What is read and written beside the two labelings.

    Parameters
    ----------
    ignore : VolumePath, optional
        (Z, Y, X) volume: voxels that are not 0 are left out of everything.
    scores : Path, optional
        Table of scores, by which predictions are ranked instead of by size.
    matches : Path, optional
        The table to write of what became of every instance.
    save_overlap : Path, optional
        The file to write from which `evaluate_overlap` scores again.
    heatmap : VolumePath, optional
        (Z, Y, X) or (C, Z, Y, X) volume: predictions are ranked by its mean over them instead of by size.
    report : Path, optional
        The page to write.
    raw : VolumePath, optional
        (Z, Y, X) image, behind the instances that the page shows.
    """

    ignore: VolumePath | None = None
    scores: Path | None = None
    matches: Path | None = None
    save_overlap: Path | None = None
    heatmap: VolumePath | None = None
    report: Path | None = None
    raw: VolumePath | None = None

    def check(self, running: Running, *compared: VolumePath | Path) -> None:
        """Raise TargetError where an output cannot be written, UsageError where options contradict.

        Parameters
        ----------
        running : Running
        compared : VolumePath or Path
            What is read besides.
        """
        if self.heatmap is not None and self.scores is not None:
            raise UsageError("--heatmap", "ranks the predictions, and so does --scores", "Give one")
        if self.raw is not None and self.report is None:
            raise UsageError("--raw", "is shown in a --report, and none is written")
        listed = None if self.scores is None else parse_volume_path(str(self.scores))
        outputs = (self.matches, self.save_overlap, self.report)
        check_apart(outputs, [*compared, self.ignore, self.heatmap, self.raw, listed])
        for file in filter(None, outputs):
            check_file(file, force=running.force)


def evaluate_volumes(
    prediction: VolumePath,
    truth: VolumePath,
    parameters: EvaluateParameters,
    running: Running,
    files: EvaluateFiles = EvaluateFiles(),
) -> Report:
    """Score predicted instances against true ones.

    The volumes are read once, by blocks, into a table of overlaps from which every score is computed.

    Parameters
    ----------
    prediction, truth : VolumePath
        (Z, Y, X) labels of the same shape.
    parameters : EvaluateParameters
    running : Running
    files : EvaluateFiles, optional

    Returns
    -------
    dict
        protocol, iou, sizes, min_truth_size, score, error_thresholds, prediction, truth, ap, detection,
        foreground, voi, adapted_rand_error, errors, history; and where they were asked for bootstrap,
        heatmap, ignore, ignore_border. A value that is not defined is None.

    Raises
    ------
    InputError
        Where a volume holds no labels, the shapes differ, or the table of scores is none.
    TargetError
        Where an output cannot be written.
    UsageError
        Where options exclude each other.
    """
    files.check(running, prediction, truth)
    listed = read_scores(files.scores, running) if files.scores else None
    warn_of_grey_values(prediction, truth)
    wanted = parameters.ignore_border or files.save_overlap is not None
    is_reported = files.report is not None
    asked = Asked(prediction, truth, files.ignore, files.heatmap, wanted, is_reported)
    compared = compare_volumes(asked, running)
    shown = [prediction, truth, *([files.raw] if files.raw else [])]
    return _finished(compared, listed, parameters, running, files, shown)


def evaluate_overlap(
    file: Path, parameters: EvaluateParameters, running: Running, files: EvaluateFiles = EvaluateFiles()
) -> Report:
    """Score a comparison that was saved, as `evaluate_volumes` scores volumes.

    Raises
    ------
    InputError
    TargetError
    UsageError
        Where something needs the volumes.
    """
    of_volumes = ("ignore", "heatmap", "save_overlap", "raw")
    for name in [name for name in of_volumes if getattr(files, name) is not None]:
        raise UsageError(f"--{name.replace('_', '-')}", "needs the volumes", f"{file} is all that is given")
    files.check(running, file)
    listed = read_scores(files.scores, running) if files.scores else None
    comparison, origin, records = load_overlap(file, running)
    source = history.Input(str(file.resolve()), history=records)
    return _finished(Compared(comparison, origin, [source]), listed, parameters, running, files)


def scores(overlap: Overlap, parameters: EvaluateParameters) -> Report:
    """Compute every score from the overlaps of two whole volumes."""
    return _report(_scored(Comparison.of(overlap), parameters), parameters)


def _finished(
    compared: Compared,
    listed: Listed | None,
    parameters: EvaluateParameters,
    running: Running,
    files: EvaluateFiles,
    shown: Sequence[VolumePath] = (),
) -> Report:
    """Score a comparison, and write what is to be written."""
    inputs = list(compared.inputs)
    if files.scores:
        inputs.append(history.input_of(files.scores))
    records = history.extended(inputs, running.command_line, asdict(parameters))
    origin = compared.origin
    ranked_by = "file" if listed is not None else "heatmap" if origin.heatmap else "size"
    scored = _scored(compared.comparison, parameters, ranked_by, listed)
    report = _report(scored, parameters)
    report["prediction"]["path"], report["truth"]["path"] = origin.prediction, origin.truth
    if origin.ignore:
        report["ignore"] = {"path": origin.ignore, "voxels": origin.ignored_voxels}
    if ranked_by == "heatmap":
        report["heatmap"] = {"path": origin.heatmap}
    report["history"] = list(records)
    if files.save_overlap:
        save_overlap(files.save_overlap, compared.comparison, origin, records, force=running.force)
    found = _verdicts(scored, parameters) if files.matches or files.report else []
    if files.matches:
        rows = ([getattr(verdict, name) for name in COLUMNS] for verdict in found)
        write_tsv(files.matches, COLUMNS, rows, records, force=running.force)
    if files.report:
        from mitotools.stages.scoring.report import write_score_report  # noqa: PLC0415 (matplotlib)

        write_score_report(files.report, report, scored, found, parameters, running, shown)
    return report


def _scored(
    comparison: Comparison,
    parameters: EvaluateParameters,
    ranked_by: str = "size",
    listed: Listed | None = None,
) -> Scored:
    protocol = chosen_protocol(parameters)
    overlap = comparison.overlap.without_small_truths(protocol.min_truth_size_voxels)
    cut = (comparison.cut_predictions, comparison.cut_truths) if parameters.ignore_border else ()
    instances = instances_of(overlap, *cut)
    if ranked_by == "size":
        return Scored(overlap, instances, protocol)
    if listed is not None:
        compare_ids(instances.predictions.ids, listed[0])
    ids, scores_of_ids = listed or comparison.heat.scores()
    ranks = scores_by_id(instances.predictions.ids, ids, scores_of_ids)
    return Scored(overlap, instances, protocol, ranked_by, ranks)


def _report(scored: Scored, parameters: EvaluateParameters) -> Report:
    protocol, instances, overlap = scored.protocol, scored.instances, scored.overlap
    thresholds = select_thresholds(protocol.name, parameters.iou)
    split, merge = variation_of_information(overlap)
    report = {
        "protocol": protocol.name,
        "iou": list(parameters.iou),
        "sizes": list(protocol.size_limits_voxels),
        "min_truth_size": protocol.min_truth_size_voxels,
        "score": scored.ranked_by,
        "error_thresholds": {
            "found_iou": parameters.errors.found_iou,
            "piece_share": parameters.errors.share,
            "piece_size": parameters.errors.size_voxels,
        },
        "prediction": _side(instances.predictions),
        "truth": _side(instances.truths),
        "ap": average_precision(instances, protocol, scored.ranks, thresholds.values()),
        "detection": detection(instances, protocol, thresholds),
        "foreground": foreground_scores(overlap),
        "voi": {"split": split, "merge": merge},
        "adapted_rand_error": adapted_rand_error(overlap),
        "errors": find_errors(instances, parameters.errors).counts(),
    }
    if parameters.ignore_border:
        report["ignore_border"] = {
            name: int(side.ignored.sum())
            for name, side in (("prediction", instances.predictions), ("truth", instances.truths))
        }
    if parameters.bootstrap:
        named = iou_thresholds(protocol.name, thresholds.values())
        intervals = ap_intervals(instances, protocol, named, parameters.bootstrap, scored.ranks)
        report["bootstrap"] = {"samples": parameters.bootstrap, "level": LEVEL, "ap": intervals}
    return report


def chosen_protocol(parameters: EvaluateParameters) -> EvaluationProtocol:
    """Return the protocol of a name, with the sizes that were asked for instead of its own."""
    known = {protocol.name: protocol for protocol in PROTOCOLS}
    if parameters.protocol not in known:
        raise UsageError(parameters.protocol, f"no such protocol; there are {', '.join(known)}")
    protocol = known[parameters.protocol]
    if parameters.sizes_voxels is not None:
        protocol = replace(protocol, size_limits_voxels=parameters.sizes_voxels)
    if parameters.min_truth_size_voxels is not None:
        protocol = replace(protocol, min_truth_size_voxels=parameters.min_truth_size_voxels)
    return protocol


def _verdicts(scored: Scored, parameters: EvaluateParameters) -> list[Verdict]:
    """Return what became of every instance at the first of the thresholds."""
    (iou, *_) = select_thresholds(scored.protocol.name, parameters.iou).values()
    return list(verdicts(scored.instances, scored.protocol, iou, parameters.errors))


def _side(side: Side) -> Report:
    return {"path": "", "instances": len(side.ids), "voxels": int(np.sum(side.sizes))}
