"""``mitotools evaluate``."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mitotools.cli import arguments, evaluate_options, options
from mitotools.cli.score_options import scoring as scoring_options
from mitotools.errors import UsageError
from mitotools.parameters import EvaluateParameters

if TYPE_CHECKING:
    from mitotools.run.running import Running
    from mitotools.stages.evaluate import EvaluateFiles
    from mitotools.volume.path import VolumePath


@click.command(short_help="Score a prediction against the truth.")
@click.argument("volumes", type=arguments.VOLUME, nargs=-1, required=True, metavar="PREDICTION TRUTH")
@scoring_options
@evaluate_options.leaving_out
@evaluate_options.files
@click.option("--combine", is_flag=True, help="Average the scores of several volumes, given their reports.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "tsv", "json", "markdown"]),
    help="[default: table on a terminal, else tsv]",
)
@options.running
@options.processes
@options.dry_run
def evaluate(
    volumes: tuple[VolumePath, ...],
    scoring: EvaluateParameters,
    files: EvaluateFiles,
    combine: bool,
    form: str | None,
    running: Running,
) -> None:
    """Score the instances PREDICTION against the instances TRUTH.

    Average precision is computed by size class exactly as the MitoEM benchmark does. The JSON holds all ten
    thresholds, detection counts, foreground overlap, variation of information (bits) and adapted Rand error.

    Two people's labels of one volume are compared in the same way, either of them in the place of the truth:
    the rows of --matches whose verdict is not tp name the instances on which they disagree, those of fn what
    only TRUTH has, those of fp what only PREDICTION has.

    A file that --save-overlap has written stands for both volumes. With --combine, reports in JSON take the
    place of the volumes; scores are their means, the papers' Overall, and counts are sums.

    \b
      $ mitotools evaluate labels.zarr truth.zarr
      $ mitotools evaluate labels.zarr truth.zarr --iou 0.5 --iou 0.75 --format json > scores.json
      $ mitotools evaluate labels.zarr truth.zarr --bootstrap 1000 --report scores.html --raw raw.zarr
      $ mitotools evaluate --combine rat.json human.json
      $ mitotools evaluate labels.zarr truth.zarr --heatmap maps.zarr[0] --save-overlap both.overlap
      $ mitotools evaluate ann.zarr bob.zarr --iou 0.5 --matches m.tsv && grep -vw tp m.tsv
    """
    from mitotools.cli.score_table import print_table

    if running.dry_run and (combine or len(volumes) == 1):
        raise UsageError("--dry-run", "plans blocks of volumes, and none is read", "Leave it out")
    report = (_combined if combine else _scored)(volumes, scoring, files, running)
    if report is None:
        return
    form = form or ("table" if sys.stdout.isatty() else "tsv")
    if form == "json":
        click.echo(json.dumps(report, indent=1))
    else:
        print_table(report, form)


def _scored(
    volumes: tuple[VolumePath, ...], scoring: EvaluateParameters, files: EvaluateFiles, running: Running
) -> dict[str, Any] | None:
    from mitotools.stages.evaluate import evaluate_overlap, evaluate_volumes
    from mitotools.stages.scoring.comparing import Asked, needs_to_compare

    if len(volumes) == 1:
        if volumes[0].is_pipe:
            raise UsageError("TRUTH", "is missing")
        return evaluate_overlap(Path(str(volumes[0]) + volumes[0].crop), scoring, running, files)
    if len(volumes) != 2:
        raise UsageError(str(volumes[2]), "is one volume too many", "Give PREDICTION and TRUTH")
    beside = {name: getattr(files, name) for name in ("ignore", "heatmap", "raw") if getattr(files, name)}
    with options.source_volumes(*volumes, *beside.values()) as (predicted, true, *others):
        received: dict[str, Any] = dict(zip(beside, others, strict=True))
        files = replace(files, **received)
        if running.dry_run:
            asked = Asked(predicted, true, files.ignore, files.heatmap)
            running.dry_run(needs_to_compare(asked, running))
            return None
        return evaluate_volumes(predicted, true, scoring, running, files)


def _combined(
    volumes: tuple[VolumePath, ...], scoring: EvaluateParameters, files: EvaluateFiles, running: Running
) -> dict[str, Any]:
    from mitotools.stages.combine import combine_reports
    from mitotools.stages.evaluate import EvaluateFiles

    if scoring != EvaluateParameters() or files != EvaluateFiles():
        raise UsageError("--combine", "reads scores, and computes none", "Leave options of scoring out")
    return combine_reports([Path(str(volume) + volume.crop) for volume in volumes], running)
