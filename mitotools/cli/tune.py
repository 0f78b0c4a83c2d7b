"""``mitotools tune``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mitotools.cli import arguments, options
from mitotools.cli.decode_options import decoding
from mitotools.cli.score_options import scoring as scoring_options

if TYPE_CHECKING:
    from mitotools.cli.decode_options import Given
    from mitotools.parameters import EvaluateParameters
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath


@click.command(short_help="Find the options of decode that score best.")
@click.argument("maps", type=arguments.VOLUME)
@click.argument("truth", type=arguments.VOLUME)
@click.option(
    "--grid",
    multiple=True,
    metavar="OPTION=V,V,...",
    help="Values to try of an option, repeatable.  [default: with mw and bcd, 21 of both seed thresholds]",
)
@click.option(
    "-o",
    "--output",
    type=arguments.OUTPUT_FILE,
    metavar="FILE.toml",
    help="The file to write.",
)
@decoding
@options.channels
@scoring_options
@options.running
@options.processes
@options.dry_run
def tune(
    maps: VolumePath,
    truth: VolumePath,
    grid: tuple[str, ...],
    output: Path | None,
    given: Given,
    channels: dict[str, int] | None,
    scoring: EvaluateParameters,
    running: Running,
) -> None:
    """Decode MAPS with every combination of options, and score each against the instances TRUTH.

    Prints a table, the best first, and behind it the options to paste into decode. Trials are ranked by the
    AP of all instances, AP-75 by default, the mean where --iou names several thresholds. Options that are not
    in the grid stay as given, or as decode takes them from the maps' model. With -o the best options become a
    file for decode --config. Maps may be as large as those of decode.

    \b
      $ mitotools tune maps.zarr truth.zarr -o best.toml; mitotools decode maps.zarr seg.h5 --config best.toml
      $ mitotools tune maps.zarr truth.zarr --grid seed-foreground=.8,.85,.9 --grid min-size=128,1024
    """
    from mitotools.cli.model_options import completed
    from mitotools.cli.tune_table import parsed_grid, print_trials, write_best
    from mitotools.stages.tune import tune_decoding
    from mitotools.volume.atomic import check_file
    from mitotools.volume.outputs import check_apart

    check_apart([output], [maps, truth, given.config])
    if output is not None:
        check_file(output, force=running.force)
    with options.source_volumes(maps, truth) as (source, true):
        parameters = completed(given, source, channels)
        values = parsed_grid(grid, parameters.method)
        trials, records = tune_decoding(
            source, true, parameters, values, scoring, running, channels, given.config
        )
    if not trials:
        return
    if output is not None:  # first: a pipe may be closed by who has read enough
        write_best(output, trials[0], records, force=running.force)
    print_trials(trials, list(values), on_terminal=sys.stdout.isatty())
