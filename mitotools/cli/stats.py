"""``mitotools stats``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mitotools.cli import arguments, options

if TYPE_CHECKING:
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath


@click.command(short_help="Measure every instance.")
@click.argument("labels", type=arguments.VOLUME)
@options.running
def stats(labels: VolumePath, running: Running) -> None:
    """Print one row for each of the instances LABELS: size, volume, bounding box and centroid, as TSV.

    Bounding boxes are half-open, in voxels. Centroids are mean voxel indices times the voxel size.

    \b
      $ mitotools stats labels.zarr > labels.tsv
      $ mitotools stats labels.zarr | sort -k2,2nr | head
    """
    from mitotools.stages.stats import measure_instances
    from mitotools.volume.table import tsv_lines

    with options.source_volumes(labels) as (source,):
        names, rows = measure_instances(source, running)
    for line in tsv_lines(names, rows):
        click.echo(line)
