"""``mitotools evaluate``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from mitotools.cli import arguments, options
from mitotools.cli.score_options import scoring as scoring_options

if TYPE_CHECKING:
    from mitotools.parameters import EvaluateParameters
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath


@click.command(short_help="Score a prediction against the truth.")
@click.argument("prediction", type=arguments.VOLUME)
@click.argument("truth", type=arguments.VOLUME)
@scoring_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "tsv", "json", "markdown"]),
    help="[default: table on a terminal, else tsv]",
)
@options.running
def evaluate(
    prediction: VolumePath,
    truth: VolumePath,
    scoring: EvaluateParameters,
    form: str | None,
    running: Running,
) -> None:
    """Score the instances PREDICTION against the instances TRUTH.

    Average precision is computed by size class exactly as the MitoEM benchmark does. The JSON holds all ten
    thresholds, detection counts, foreground overlap, variation of information and adapted Rand error.

    \b
      $ mitotools evaluate labels.zarr truth.zarr
      $ mitotools evaluate labels.zarr truth.zarr --iou 0.5 --iou 0.75 --format json > scores.json
    """
    from mitotools.cli.score_table import print_table
    from mitotools.stages.evaluate import evaluate_volumes

    with options.source_volumes(prediction, truth) as (predicted, true):
        report = evaluate_volumes(predicted, true, scoring, running)
    form = form or ("table" if sys.stdout.isatty() else "tsv")
    if form == "json":
        click.echo(json.dumps(report, indent=1))
    else:
        print_table(report, form)
