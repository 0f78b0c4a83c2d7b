"""Means of the scores of several volumes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mitotools import history
from mitotools.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mitotools.run.running import Running

Report = dict[str, Any]

SAME = ("protocol", "iou", "sizes", "min_truth_size", "score")
"""What reports must agree in."""

SCORES = ("ap", "detection", "foreground", "voi", "adapted_rand_error", "errors")

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
    combined.update({side: _side([report[side] for report in reports]) for side in ("prediction", "truth")})
    combined.update({key: _united(key, [report[key] for report in reports]) for key in SCORES})
    combined["volumes"] = [{key: report[key] for key in ("prediction", "truth", "ap")} for report in reports]
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
    missing = [
        key
        for key in (*SAME, "prediction", "truth", *SCORES, "history")
        if not isinstance(report, dict) or key not in report
    ]
    if missing:
        raise InputError(str(file), f"is no report: it has no {missing[0]}", _WHAT_NEXT)
    return dict(report)


_WHAT_NEXT = "Reports are made by 'mitotools evaluate --format json'"


def _side(sides: Sequence[Report]) -> Report:
    try:
        counts = {key: sum(side[key] for side in sides) for key in ("instances", "voxels")}
        return {"path": ", ".join(side["path"] for side in sides), **counts}
    except (LookupError, TypeError) as error:
        raise InputError("--combine", "a report does not name its volumes", _WHAT_NEXT) from error


def _united(name: str, values: Sequence[Any]) -> Any:
    """Return the mean or sum of numbers; of dictionaries that have the same keys, one of means and sums."""
    if all(isinstance(value, dict) for value in values):
        keys = list(values[0])
        if any(list(value) != keys for value in values):
            raise InputError("--combine", f"reports differ in what {name} holds", "Score both in one way")
        return {key: _united(key, [value[key] for value in values]) for key in keys}
    known = [value for value in values if value is not None]
    if not all(isinstance(value, int | float) for value in known):
        raise InputError("--combine", f"{name} is no number in one of the reports", _WHAT_NEXT)
    if name in COUNTS:
        return sum(known)
    return sum(known) / len(known) if known else None


def _words(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
