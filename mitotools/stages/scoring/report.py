"""The report of `evaluate`: scores, curves and sizes on a page, and pictures of the worst instances."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools import history
from mitotools.segment.scores.average_precision import iou_thresholds, precision_curve, select_thresholds
from mitotools.segment.scores.verdicts import (
    FALSE_POSITIVE,
    HIT,
    KINDS,
    MERGED,
    MISSED,
    POOR_FIT,
    SPLIT,
    kinds,
)
from mitotools.stages.measuring.one_pass import demand_to_measure, known_columns, measure_volume
from mitotools.stages.measuring.thumbnails import bar_words, best_view, picture_of
from mitotools.stages.scoring.judging import LEGEND
from mitotools.view.plot_file import origin
from mitotools.view.score_page import Curves, score_page
from mitotools.view.slices import Palette
from mitotools.view.thumbnails import Thumbnail
from mitotools.volume.atomic import create_file
from mitotools.volume.files import open_volume

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mitotools.parameters import EvaluateParameters
    from mitotools.run.running import Running
    from mitotools.segment.scores.verdicts import Verdict
    from mitotools.stages.blocks.steps import Step
    from mitotools.stages.scoring.comparing import Scored
    from mitotools.volume.base import Volume
    from mitotools.volume.blocks import Box
    from mitotools.volume.path import VolumePath

CLASSES = ("small", "medium", "large", "all")
"""The order of the papers' tables."""

SHOWN_KINDS = (MISSED, FALSE_POSITIVE, MERGED, SPLIT, POOR_FIT, HIT)

SHOWN = 3
"""Of each kind, the largest ones are pictured; of hits, those that fit least."""

WELL = 0.95
"""Hits of this IoU are not among the worst."""


@dataclass(frozen=True)
class _Worst:
    """An instance to be pictured: of the predictions (side 0) or of the truths (side 1)."""

    kind: str
    row: Verdict
    side: int
    id: int
    voxels: int


def steps_to_report(labels: Sequence[Volume], running: Running) -> list[Step]:
    """Return the steps of `write_score_report` on two labelings, and load what they compute with."""
    for volume in labels:
        known_columns(volume, in_full=False)
    return [(demand_to_measure([volume], in_full=False), running.workers) for volume in labels]


def write_score_report(
    file: Path,
    report: dict[str, Any],
    scored: Scored,
    found: Sequence[Verdict],
    parameters: EvaluateParameters,
    running: Running,
    volumes: Sequence[VolumePath] = (),
) -> None:
    """Write the page.

    Parameters
    ----------
    file : Path
    report : dict
        Of `evaluate`.
    scored : Scored
    found : sequence of Verdict
        What became of every instance at the first of the thresholds.
    parameters : EvaluateParameters
    running : Running
    volumes : sequence of VolumePath, optional
        Prediction, truth and, if there is one, the image of both: without them nothing is pictured.

    Raises
    ------
    InputError, TargetError
    """
    ((name, iou), *_) = select_thresholds(scored.protocol.name, parameters.iou).items()
    worst: list[Thumbnail] = []
    voxel_size_nm = None
    with ExitStack() as stack:
        opened = [
            stack.enter_context(open_volume(path, "labels" if i < 2 else "image"))
            for i, path in enumerate(volumes)
        ]
        if opened:
            worst, voxel_size_nm = _thumbnails(found, opened, running), opened[0].spec.voxel_size_nm
    names = [Path(report[side]["path"]).name for side in ("prediction", "truth")]
    page = score_page(
        " compared with ".join(names),
        _facts(report, name),
        ("", *CLASSES),
        _rows(report),
        _curves(report, scored, found, name, iou),
        worst,
        LEGEND,
        list(_notes(report, name, parameters)),
        origin(running.command_line, voxel_size_nm),
    )
    with create_file(file, force=running.force) as path:
        path.write_text(page, "utf-8")
        history.write_sidecar(path, history.from_records(report["history"]))


def _facts(report: dict[str, Any], iou: str) -> list[tuple[str, str]]:
    sides = [
        (side, f"{report[side]['path']} ({report[side]['instances']} instances)")
        for side in ("prediction", "truth")
    ]
    errors = ", ".join(f"{kind} {count}" for kind, count in report["errors"].items())
    ranked = {"size": "their size", "file": "the scores given", "heatmap": "a heatmap"}[report["score"]]
    return [
        *sides,
        (
            "protocol",
            f"{report['protocol']}: small to {report['sizes'][0]} voxels, medium to {report['sizes'][1]}",
        ),
        ("predictions ranked by", ranked),
        ("instances that are", errors),
        ("hits", f"from an IoU of {iou} on"),
        ("foreground Jaccard index", _number(report["foreground"]["jaccard"])),
        ("VOI", ", ".join(f"{key} {_number(value)}" for key, value in report["voi"].items())),
        ("adapted Rand error", _number(report["adapted_rand_error"])),
    ]


def _notes(report: dict[str, Any], iou: str, parameters: EvaluateParameters) -> Iterator[str]:
    if "bootstrap" in report:
        sample = report["bootstrap"]
        yield (
            f"In brackets, and shaded: the {sample['level']:.0%} interval of AP, from {sample['samples']} "
            "samples of the instances."
        )
    yield (
        "tp, fp and fn count instances matched one to one. Missed truths, and false positives (spurious "
        f"predictions), have no partner of an IoU of {parameters.errors.found_iou:g}; a poor fit has one, "
        f"but not of {iou}."
    )


def _number(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _rows(report: dict[str, Any]) -> list[list[str]]:
    """Return the table of scores by size class, with the intervals there are."""
    intervals = report.get("bootstrap", {}).get("ap", {})
    rows = []
    for threshold in [*report["detection"], "0.50:0.95"]:
        cells = []
        for size in CLASSES:
            both = intervals.get(threshold, {}).get(size)
            span = f" ({both[0]:.3f} to {both[1]:.3f})" if both else ""
            cells.append(_number(report["ap"][threshold][size]) + span)
        rows.append([f"AP {threshold}", *cells])
    of_any = next(iter(report["detection"].values()))
    rows.append(["truths", *(str(of_any[size]["tp"] + of_any[size]["fn"]) for size in CLASSES)])
    for threshold, by_class in report["detection"].items():
        rows += [
            [f"{key} {threshold}", *(_number(by_class[size][key]) for size in CLASSES)]
            for key in ("precision", "recall", "f1", "accuracy", "pq", "tp", "fp", "fn")
        ]
    return rows


def _curves(
    report: dict[str, Any], scored: Scored, found: Sequence[Verdict], name: str, iou: float
) -> Curves:
    ten = list(iou_thresholds(scored.protocol.name).items())[:10]
    across = np.array([value for _, value in ten])
    ap = report["ap"]
    lines = {
        size: (across, np.array([ap[label][size] for label, _ in ten], float))
        for size in ("all", *CLASSES[:-1])
        if ap[name][size] is not None
    }
    intervals = report.get("bootstrap", {}).get("ap", {})
    ends = [intervals.get(label, {}).get("all") for label, _ in ten]
    band = None if not all(ends) else (across, *np.array(ends, float).T)
    curve = precision_curve(scored.instances, scored.protocol, iou, scored.ranks)
    precision = {} if curve is None else {f"IoU {name}": (np.linspace(0, 1, len(curve)), curve)}
    by_kind = _by_kind(found, *kinds(found))
    sizes = {kind: np.array([one.voxels for one in by_kind[kind]], float) for kind in KINDS}
    return Curves(lines, band, precision, sizes)


def _by_kind(
    found: Sequence[Verdict], of_predictions: dict[int, str], of_truths: dict[int, str]
) -> dict[str, list[_Worst]]:
    """Return the truths of each kind; false positives and what merges are predictions."""
    by_kind: dict[str, list[_Worst]] = {kind: [] for kind in SHOWN_KINDS}
    for row in found:
        if row.verdict != "fn" and row.prediction in of_predictions:
            kind = of_predictions[row.prediction]
            if kind in (FALSE_POSITIVE, MERGED):
                by_kind[kind].append(_Worst(kind, row, 0, row.prediction, row.prediction_voxels or 0))
        if row.verdict != "fp" and row.truth in of_truths:
            kind = of_truths[row.truth]
            if kind not in (FALSE_POSITIVE, MERGED):
                by_kind[kind].append(_Worst(kind, row, 1, row.truth, row.truth_voxels or 0))
    return by_kind


def _worst(by_kind: dict[str, list[_Worst]]) -> list[_Worst]:
    """Return the largest instances of each kind of error, then the hits that fit least."""
    ranked = {kind: sorted(ones, key=lambda one: -one.voxels) for kind, ones in by_kind.items()}
    ranked[HIT] = sorted((one for one in by_kind[HIT] if one.row.iou < WELL), key=lambda one: one.row.iou)
    return [one for ones in ranked.values() for one in ones[:SHOWN]]


def _thumbnails(found: Sequence[Verdict], volumes: Sequence[Volume], running: Running) -> list[Thumbnail]:
    both = kinds(found)
    palettes = [Palette.of(one, LEGEND) for one in both]
    extents = [measure_volume(volume, running, "report") for volume in volumes[:2]]
    pictured = []
    for one in _worst(_by_kind(found, *both)):
        measured, other = extents[one.side], volumes[1 - one.side]
        place = int(np.searchsorted(measured.ids, one.id))
        parted = other if one.kind in (MERGED, SPLIT) else None
        box = best_view(volumes[one.side], one.id, measured.starts[place], measured.stops[place], parted)
        meant = [one.id if side == one.side else None for side in (0, 1)]
        picture = picture_of(box, volumes[:2], palettes, meant, *volumes[2:])
        words = _words(one, box) + bar_words(box, volumes[0])
        pictured.append(Thumbnail(picture, one.kind, words, LEGEND[one.kind]))
    return pictured


def _words(one: _Worst, box: Box) -> str:
    row = one.row
    named = [
        f"{side} {number}"
        for side, number in (("truth", row.truth), ("prediction", row.prediction))
        if number
    ]
    return f"{', '.join(named)}: {one.voxels} voxels, IoU {row.iou:.2f}, z {box.start[0]}"
