"""``mitotools stats``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mitotools.cli import arguments, options

if TYPE_CHECKING:
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath


@click.command(short_help="Measure every instance.")
@click.argument("labels", type=arguments.VOLUME)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The file to write; .tsv, .csv or .json.  [default: TSV on standard output]",
)
@click.option("--raw", type=arguments.VOLUME, help="Images: adds the intensity of each instance.")
@click.option(
    "--within",
    type=arguments.VOLUME,
    metavar="LABELS",
    help="Cells or neurites: adds the one that each instance lies in.",
)
@click.option(
    "--summary",
    is_flag=True,
    help="Count, density, volume fraction and quantiles instead; with --within, a row for each host.",
)
@options.running
@options.processes
def stats(
    labels: VolumePath,
    output: Path | None,
    raw: VolumePath | None,
    within: VolumePath | None,
    summary: bool,
    running: Running,
) -> None:
    """Print one row for each of the instances LABELS, as TSV: size, place, shape, surface and contacts.

    Bounding boxes are half-open, in voxels. Centroids are mean voxel indices times the voxel size. The axes
    are those of the ellipsoid with the same second moments. Surfaces are Crofton's (thirteen directions),
    with the faces that the volume's border cuts; contacts are the faces of voxels shared with neighbours.

    \b
      $ mitotools stats labels.zarr | sort -k2,2nr | head
      $ mitotools stats labels.zarr -o mitochondria.csv --raw raw.zarr --within neurons.zarr
      $ mitotools stats labels.zarr --summary
    """
    from mitotools.parameters import StatsParameters
    from mitotools.stages.stats import measure_instances
    from mitotools.volume.table import check_table, tsv_lines, write_table

    if output is not None:
        check_table(output, force=running.force)
    named = {"source": labels, "raw": raw, "within": within}
    given = {name: path for name, path in named.items() if path is not None}
    with options.source_volumes(*given.values()) as sources:
        paths = dict(zip(given, sources, strict=True))
        table = measure_instances(parameters=StatsParameters(summary=summary), running=running, **paths)
    if output is None:
        for line in tsv_lines(table.names, table.rows):
            click.echo(line)
        return
    write_table(output, table.names, table.rows, table.history, force=running.force)
    options.say(f"{output}: {len(table.rows)} rows")
