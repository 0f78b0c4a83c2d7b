"""Means of the scores of several volumes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools import history
from mitotools.errors import InputError, UsageError
from mitotools.parameters import EvaluateParameters
from mitotools.segment.scores.overlap import Overlap
from mitotools.stages.evaluate import scores

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mitotools.run.running import Running

Report = dict[str, Any]

SAME = ("protocol", "iou", "sizes", "min_truth_size", "score", "error_thresholds")
"""What reports must agree in."""

SCORES = ("ap", "detection", "foreground", "voi", "adapted_rand_error", "errors")

SIDES = ("prediction", "truth")

READ = (*SAME, *SIDES, *SCORES, "history")
"""What is taken from a report."""

WHERE_ASKED = {
    "heatmap": {"path": ""},
    "ignore": {"path": "", "voxels": 0},
    "ignore_border": {"prediction": 0, "truth": 0},
}
"""What is taken from a report that has it, and its form."""

COUNTS = ("tp", "fp", "fn", "split", "merged", "missed", "spurious")
"""Names of what is counted in `detection` and `errors`: added up. Other scores are averaged."""


def combine_reports(files: Sequence[Path], running: Running) -> Report:
    """Combine the scores of several volumes into one report.

    Parameters
    ----------
    files : sequence of Path
        Two or more reports of `evaluate_volumes`, as JSON.
    running : Running

    Returns
    -------
    dict
        Of the same form. Every score is the mean over the volumes in which it is defined (so do the papers
        compute their "Overall"); counts are sums. `volumes` holds both sides and the AP of each volume.

    Raises
    ------
    InputError
        Where a file is no report, or reports differ in how they were scored.
    UsageError
        Where there is but one.
    """
    if len(files) < 2:
        raise UsageError("--combine", "takes two reports or more")
    reports = [_report(file) for file in files]
    for file, report in zip(files, reports, strict=True):
        _check_same(file, report, files[0], reports[0])
    inputs = [
        history.Input(str(file.resolve()), history=history.from_records(report["history"]))
        for file, report in zip(files, reports, strict=True)
    ]
    combined: Report = {key: reports[0][key] for key in SAME}
    combined.update({side: _added([report[side] for report in reports]) for side in SIDES})
    combined.update({key: _united(key, [report[key] for report in reports]) for key in SCORES})
    for key in WHERE_ASKED:
        if told := [report[key] for report in reports if key in report]:
            combined[key] = _added(told)
    combined["volumes"] = [{key: report[key] for key in (*SIDES, "ap")} for report in reports]
    combined["history"] = list(history.extended(inputs, running.command_line, {"combine": True}))
    return combined


def _check_same(file: Path, report: Report, first_file: Path, first: Report) -> None:
    """Raise InputError where two reports differ in how they were scored."""
    for key in SAME:
        if report[key] != first[key]:
            why = f"has {key} {_words(report[key])}, {first_file} has {_words(first[key])}"
            raise InputError(str(file), why, "Score both in one way")
    if ("ignore_border" in report) != ("ignore_border" in first):
        why = f"of it and {first_file}, one was scored with --ignore-border"
        raise InputError(str(file), why, "Score both in one way")


def _report(file: Path) -> Report:
    try:
        report = json.loads(file.read_bytes())
    except OSError as error:
        raise InputError(str(file), error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise InputError(str(file), f"is no JSON ({error})", _WHAT_NEXT) from error
    missing = [key for key in READ if not isinstance(report, dict) or key not in report]
    if missing:
        raise InputError(str(file), f"is no report: it has no {missing[0]}", _WHAT_NEXT)
    form = _form(report["iou"])
    present = [*READ, *(key for key in WHERE_ASKED if key in report or key == report["score"])]
    strange = [key for key in present if not _has_form(report.get(key), form[key])] if form else ["iou"]
    if strange:
        raise InputError(
            str(file), f"is no report: its {strange[0]} is not as evaluate writes it", _WHAT_NEXT
        )
    return dict(report)


MOST = 2**63
"""Of anything that is counted or scored; what is no number is not below it either."""

_WHAT_NEXT = "Reports are made by 'mitotools evaluate --format json'"


def _form(iou: object) -> Report | None:
    """Return a report of empty volumes, whose keys and types are those of any report."""
    if not isinstance(iou, list) or not iou or not all(_is_number(value) and 0 < value <= 1 for value in iou):
        return None
    nothing = Overlap(np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.int64))
    report = scores(nothing, EvaluateParameters(iou=tuple(iou)))
    for side in SIDES:
        report[side]["path"] = ""
    return {**report, **WHERE_ASKED, "history": []}


def _has_form(value: object, form: object) -> bool:
    """Whether a value has the keys and types of another; a score may be None, a count may not."""
    if isinstance(form, dict):
        return (
            isinstance(value, dict)
            and value.keys() == form.keys()
            and all(_has_form(value[key], form[key]) for key in form)
        )
    if isinstance(form, list):
        return isinstance(value, list) and (
            not form or (len(value) == len(form) and all(map(_is_number, value)))
        )
    if isinstance(form, str):
        return isinstance(value, str)
    return _is_number(value) or (value is None and not isinstance(form, int))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MOST


def _added(parts: Sequence[Report]) -> Report:
    """Return the sums of what is counted, and the paths in one line."""
    return {key: _sum([part[key] for part in parts]) for key in parts[0]}


def _sum(values: Sequence[Any]) -> Any:
    return ", ".join(values) if isinstance(values[0], str) else sum(values)


def _united(name: str, values: Sequence[Any]) -> Any:
    """Return the mean or sum of numbers; of dictionaries that have the same keys, one of means and sums."""
    if all(isinstance(value, dict) for value in values):
        keys = list(values[0])
        return {key: _united(key, [value[key] for value in values]) for key in keys}
    known = [value for value in values if value is not None]
    if name in COUNTS:
        return sum(known)
    return sum(known) / len(known) if known else None


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
