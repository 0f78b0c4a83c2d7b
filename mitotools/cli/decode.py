"""``mitotools decode``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mitotools.cli import arguments, options
from mitotools.cli.decode_options import decoding

if TYPE_CHECKING:
    from mitotools.cli.decode_options import Given
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath


@click.command(short_help="Split probability maps into instances.")
@click.argument("maps", type=arguments.VOLUME)
@click.argument("labels", type=arguments.VOLUME)
@decoding
@options.channels
@click.option(
    "--scores",
    type=arguments.OUTPUT_FILE,
    metavar="FILE.tsv",
    help="Table of scores, one row an instance; written: how sure the maps are of mask, contour and neck.",
)
@options.label_dtype
@options.running
@options.engines
def decode(
    maps: VolumePath,
    labels: VolumePath,
    given: Given,
    channels: dict[str, int] | None,
    scores: Path | None,
    dtype: str | None,
    running: Running,
) -> None:
    """Split the maps of probabilities MAPS (mask; contour; signed distance; or affinities) into LABELS.

    mw floods the mask from seeds, where the mask is high and the contour low, and is the best decoder of the
    MitoEM benchmark. mw, cc, bcd and iou work block by block: no volume is too large, and blocks, threads,
    processes and a run that was killed change no voxel. waterz, zwatershed, mutex and multicut hold the whole
    maps in memory. Instances are numbered 1..n in the order of their first voxels (mw, bcd: of their seeds).

    Options given neither here nor in --config are those that training found best for the maps' model, where
    it was validated (train --validate) and --method is the same. The maps' history tells; they are printed.

    \b
      $ mitotools decode maps.zarr labels.zarr
      $ mitotools predict raw.h5 - -m model.safetensors | mitotools decode - labels.h5 --min-size 2000
    """
    from mitotools.cli.model_options import completed
    from mitotools.stages.decode import decode_volume

    with options.piped(maps, labels) as (source, target):
        parameters = completed(given, source, channels)
        count = decode_volume(source, target, parameters, running, channels, scores, given.config, dtype)
    if count is not None:
        options.say(f"{labels}: {count} instances")
