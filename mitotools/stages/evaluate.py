"""How well a prediction agrees with the truth."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools import history
from mitotools.errors import InputError, UsageError
from mitotools.parameters import PROTOCOLS, ErrorParameters, EvaluationProtocol
from mitotools.segment.average_precision import average_precision, select_thresholds
from mitotools.segment.foreground import foreground_scores
from mitotools.segment.instances import instances_of
from mitotools.segment.matching import detection, find_errors
from mitotools.segment.overlap import Overlap, merge_overlaps, overlap_of_block
from mitotools.segment.rand_voi import adapted_rand_error, variation_of_information
from mitotools.stages.blockwise import map_blocks
from mitotools.stages.pieces import read_pieces
from mitotools.volume.files import open_volume, source_of

if TYPE_CHECKING:
    from mitotools.parameters import EvaluateParameters
    from mitotools.run.running import Running
    from mitotools.segment.instances import Side
    from mitotools.volume.base import Volume
    from mitotools.volume.blocks import Box
    from mitotools.volume.path import VolumePath

Report = dict[str, Any]
"""What `mitotools evaluate --format json` prints."""


def evaluate_volumes(
    prediction: VolumePath, truth: VolumePath, parameters: EvaluateParameters, running: Running
) -> Report:
    """Score predicted instances against true ones.

    Both volumes are read once, by blocks, into a table of overlaps from which every score is computed.

    Parameters
    ----------
    prediction, truth : VolumePath
        (Z, Y, X) labels of the same shape.
    parameters : EvaluateParameters
    running : Running

    Returns
    -------
    dict
        protocol, iou, sizes, min_truth_size, score, prediction, truth, ap, detection, foreground, voi,
        adapted_rand_error, errors, history. A value that is not defined is None.

    Raises
    ------
    InputError
        Where a volume holds no labels, or the shapes differ.
    """
    with open_volume(prediction, "labels") as predicted, open_volume(truth, "labels") as true:
        require_same_size(predicted, true)
        overlap = _overlap(predicted, true, running)
        inputs = [source_of(prediction, predicted), source_of(truth, true)]
    records = history.extended(inputs, running.command_line, asdict(parameters))
    report = scores(overlap, parameters)
    report["prediction"]["path"], report["truth"]["path"] = inputs[0].path, inputs[1].path
    report["history"] = list(records)
    return report


def scores(overlap: Overlap, parameters: EvaluateParameters) -> Report:
    """Compute every score from the overlaps of two whole volumes."""
    protocol = chosen_protocol(parameters)
    thresholds = select_thresholds(protocol.name, parameters.iou)
    overlap = overlap.without_small_truths(protocol.min_truth_size_voxels)
    instances = instances_of(overlap)
    split, merge = variation_of_information(overlap)
    return {
        "protocol": protocol.name,
        "iou": list(parameters.iou),
        "sizes": list(protocol.size_limits_voxels),
        "min_truth_size": protocol.min_truth_size_voxels,
        "score": "size",
        "prediction": _side(instances.predictions),
        "truth": _side(instances.truths),
        "ap": average_precision(instances, protocol, more_iou=thresholds.values()),
        "detection": detection(instances, protocol, thresholds),
        "foreground": foreground_scores(overlap),
        "voi": {"split": split, "merge": merge},
        "adapted_rand_error": adapted_rand_error(overlap),
        "errors": find_errors(instances, ErrorParameters()).counts(),
    }


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


def _overlap(prediction: Volume, truth: Volume, running: Running) -> Overlap:

    def overlap(box: Box, threads: int) -> Overlap:
        return overlap_of_block(read_pieces(prediction, box, threads), read_pieces(truth, box, threads))

    # Besides the labels, the table of their runs: three numbers a run, as many as voxels at worst.
    voxel_bytes = prediction.spec.dtype.itemsize + truth.spec.dtype.itemsize + 20
    return merge_overlaps(map_blocks([truth, prediction], overlap, "evaluate", running, voxel_bytes))


def _side(side: Side) -> Report:
    return {"path": "", "instances": len(side.ids), "voxels": int(np.sum(side.sizes))}
