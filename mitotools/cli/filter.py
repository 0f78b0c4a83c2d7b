"""``mitotools filter``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mitotools.cli import arguments, options
from mitotools.errors import UsageError
from mitotools.parameters import FilterParameters

if TYPE_CHECKING:
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath

_DEFAULT = FilterParameters()
_TEXT_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True)


@click.command("filter", short_help="Keep some of the instances.")
@click.argument("labels", type=arguments.VOLUME)
@click.argument("target", type=arguments.VOLUME)
@click.option("--edits", type=_TEXT_FILE, help="Merge, delete and split instances as a file says.")
@click.option(
    "--fill-holes",
    is_flag=True,
    help="Give background to the one instance that encloses it, face by face, off the faces of the volume.",
)
@click.option(
    "--erode",
    type=arguments.VOXELS,
    default=_DEFAULT.erode_voxels,
    show_default=True,
    help="Take the outermost voxels of all instances, so many times; the volume's own faces do not erode.",
)
@click.option(
    "--dilate",
    type=arguments.VOXELS,
    default=_DEFAULT.dilate_voxels,
    show_default=True,
    help="Give instances the background around them, so many times; a contested voxel goes to the lower id.",
)
@click.option(
    "--split",
    is_flag=True,
    help="Make every piece of an instance one of its own; the first voxel keeps the id, new ids are higher.",
)
@click.option(
    "--min-size",
    type=arguments.VOXELS,
    default=_DEFAULT.min_size_voxels,
    show_default=True,
    help="Drop instances with fewer voxels.",
)
@click.option(
    "--where",
    metavar="CONDITION",
    default=_DEFAULT.where,
    help="Drop instances that do not fulfil a condition on the columns of stats.",
)
@click.option("--keep-ids", type=_TEXT_FILE, help="Drop instances that a file does not list; - reads a pipe.")
@click.option("--drop-ids", type=_TEXT_FILE, help="Drop instances that a file lists; - reads a pipe.")
@click.option("--clear-border", is_flag=True, help="Drop instances that touch a face of the volume.")
@click.option("--relabel", is_flag=True, help="Number the instances that stay 1..n.")
@options.label_dtype
@options.running
@options.engines
def filter_labels(
    labels: VolumePath,
    target: VolumePath,
    edits: str | None,
    fill_holes: bool,
    erode: int,
    dilate: int,
    split: bool,
    min_size: int,
    where: str | None,
    keep_ids: str | None,
    drop_ids: str | None,
    clear_border: bool,
    relabel: bool,
    dtype: str | None,
    running: Running,
) -> None:
    """Copy those of the instances LABELS to TARGET that all options let stay. Ids stay unless --relabel.

    Options work in the order in which they are listed, wherever they stand. A voxel has six neighbours to
    --fill-holes, --erode and --dilate, and 26 to --split: there the piece that holds an instance's first
    voxel, by z, y and x, keeps the id, and the others get ids above the largest in the order of theirs.

    A CONDITION has the names of columns, numbers, + - * / %, comparisons, and, or, not and parentheses. A
    file of ids has one a line, or is a table with a header, such as stats prints, whose first column counts.

    A file of edits has one a line: "merge A B C" makes B and C parts of A, "delete A B" makes them
    background, "split A B" does what --split does to them alone, after all merges and deletions.

    \b
      $ mitotools filter labels.zarr large.zarr --min-size 2000
      $ mitotools filter labels.zarr whole.zarr --where 'voxels >= 2000 and not touches_border'
      $ mitotools decode maps.zarr - | mitotools filter - labels.h5 --min-size 2000 --relabel
    """
    from mitotools.stages.filter import filter_volume
    from mitotools.stages.filtering.edits import read_edits
    from mitotools.stages.filtering.id_lists import read_ids

    if [labels.is_pipe, *(file == "-" for file in (edits, keep_ids, drop_ids))].count(True) > 1:
        raise UsageError("-", "only one input can come through the pipe")
    parameters = FilterParameters(
        min_size_voxels=min_size,
        relabel=relabel,
        where=where,
        keep_ids=None if keep_ids is None else read_ids(keep_ids),
        drop_ids=() if drop_ids is None else read_ids(drop_ids),
        clear_border=clear_border,
        erode_voxels=erode,
        dilate_voxels=dilate,
        split=split,
        fill_holes=fill_holes,
        edits=() if edits is None else read_edits(edits),
        dtype=dtype,
    )
    with options.piped(labels, target) as (source, output):
        kept, found = filter_volume(source, output, parameters, running)
    options.say(f"{target}: {kept} of {found} instances")
