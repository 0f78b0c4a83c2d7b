"""``mitotools evaluate``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from mitotools.cli import arguments, options
from mitotools.parameters import PROTOCOLS, EvaluateParameters

if TYPE_CHECKING:
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath

_DEFAULT = EvaluateParameters()


@click.command(short_help="Score a prediction against the truth.")
@click.argument("prediction", type=arguments.VOLUME)
@click.argument("truth", type=arguments.VOLUME)
@click.option(
    "--iou",
    "ious",
    multiple=True,
    metavar="T|T:T:STEP",
    callback=arguments.thresholds,
    help="Threshold of the table, repeatable, or a range of them.  [default: 0.75]",
)
@click.option(
    "--protocol",
    type=click.Choice([protocol.name for protocol in PROTOCOLS]),
    default=_DEFAULT.protocol,
    show_default=True,
    help="paper: MICCAI 2020; challenge2021: truth under 2000 voxels left out.",
)
@click.option(
    "--sizes",
    metavar="SMALL,MEDIUM",
    callback=arguments.two_sizes,
    help="Largest small and medium truth, in voxels.  [default: the protocol's]",
)
@click.option(
    "--min-truth-size",
    type=arguments.VOXELS,
    help="Leave out truth with fewer voxels.  [default: the protocol's]",
)
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
    ious: tuple[float, ...],
    protocol: str,
    sizes: tuple[int, int] | None,
    min_truth_size: int | None,
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

    parameters = EvaluateParameters(protocol, ious or _DEFAULT.iou, sizes, min_truth_size)
    with options.source_volumes(prediction, truth) as (predicted, true):
        report = evaluate_volumes(predicted, true, parameters, running)
    form = form or ("table" if sys.stdout.isatty() else "tsv")
    if form == "json":
        click.echo(json.dumps(report, indent=1))
    else:
        print_table(report, form)
