"""``mitotools stats``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mitotools.cli import arguments, options
from mitotools.parameters import StatsParameters

if TYPE_CHECKING:
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath

_DEFAULT = StatsParameters()


@click.command(short_help="Measure every instance.")
@click.argument("labels", type=arguments.VOLUME, nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=arguments.OUTPUT_TABLE,
    metavar="FILE",
    help="The file to write; .tsv, .csv, .json or .parquet.  [default: TSV on standard output]",
)
@options.raw("adds the intensity of each instance")
@click.option(
    "--within",
    type=arguments.VOLUME,
    metavar="LABELS",
    help="Cells or neurites: adds the one that each instance lies in.",
)
@click.option(
    "--skeleton",
    is_flag=True,
    help="Add length, branches, thickness, necks, beads and nanotunnels; this takes longest of all.",
)
@click.option(
    "--mesh",
    type=arguments.OUTPUT_FOLDER,
    metavar="DIR",
    help="Write the surface of each instance, in nm, to a new folder.",
)
@click.option(
    "--mesh-format",
    type=click.Choice(["ply", "obj"]),
    default=_DEFAULT.mesh_format,
    show_default=True,
    help="Of the files in that folder.",
)
@click.option(
    "--plot",
    type=arguments.OUTPUT_FILE,
    metavar="FILE",
    help="Draw a plot; of volumes with an exponential fit and, with --skeleton, over length: .png or .html.",
)
@options.report("sizes, shapes, and pictures of instances that stand out")
@click.option(
    "--summary",
    is_flag=True,
    help="Count, density, volume fraction and quantiles instead; with --within, a row for each host.",
)
@options.running
@options.processes
def stats(
    labels: tuple[VolumePath, ...],
    output: Path | None,
    raw: VolumePath | None,
    within: VolumePath | None,
    skeleton: bool,
    mesh: Path | None,
    mesh_format: str,
    plot: Path | None,
    report: Path | None,
    summary: bool,
    running: Running,
) -> None:
    """Print one row for each of the instances LABELS, as TSV: size, place, shape, surface and contacts.

    Bounding boxes are half-open, in voxels. Centroids are mean voxel indices times the voxel size. The axes
    are those of the ellipsoid with the same second moments. Surfaces are Crofton's (thirteen directions),
    with the faces that the volume's border cuts; contacts are the faces of voxels shared with neighbours.
    Several LABELS make one table, with the source in front; tables that stats wrote are taken as they are.

    \b
      $ mitotools stats labels.zarr | sort -k2,2nr | head
      $ mitotools stats labels.zarr -o mitochondria.csv --raw raw.zarr --within neurons.zarr --skeleton
      $ mitotools stats rat.tsv human.tsv --plot sizes.png > both.tsv
      $ mitotools stats labels.zarr --summary --mesh meshes
      $ mitotools stats labels.zarr --raw raw.zarr --report sizes.html -o mitochondria.tsv
    """
    from mitotools.stages.stats import is_table, tabulate, united
    from mitotools.volume.outputs import check_apart
    from mitotools.volume.table import check_table, tsv_lines, write_table

    check_apart([output, plot, report, mesh], [*labels, raw, within])
    if output is not None:
        check_table(output, force=running.force)
    if plot is not None:
        from mitotools.stages.measuring.size_plot import plot_sizes
        from mitotools.stages.plots import check_plot

        check_plot(plot, force=running.force)
    if report is not None:
        from mitotools.stages.measuring.report import write_size_report
        from mitotools.volume.atomic import check_file

        check_file(report, force=running.force)
    parameters = StatsParameters(skeleton=skeleton, mesh_format=mesh_format, summary=summary)
    named = {"raw": raw, "within": within}
    beside = {name: path for name, path in named.items() if path is not None}
    with options.source_volumes(*labels, *beside.values()) as paths:
        sources, others = paths[: len(labels)], dict(zip(beside, paths[len(labels) :], strict=True))
        is_drawn = plot is not None or report is not None
        tables = tabulate(sources, parameters, running, is_drawn=is_drawn, **others, mesh=mesh)
        columns = {name: one.columns for name, one in tables.items()}
        table = united(tables)
        if output is not None:  # first: what is measured is not lost where a picture fails
            write_table(output, table.names, table.rows, table.history, force=running.force)
        if report is not None:
            pictured = sources[0] if len(sources) == 1 and not is_table(sources[0]) else None
            write_size_report(
                report, columns, table.history, parameters, running, pictured, others.get("raw")
            )
    if plot is not None:
        plot_sizes(plot, columns, table.history, force=running.force)
    if output is None:
        for line in tsv_lines(table.names, table.rows):
            click.echo(line)
        return
    options.say(f"{output}: {len(table.rows)} rows")
