"""``mitotools view``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mitotools.cli import arguments, options
from mitotools.parameters import ViewParameters

if TYPE_CHECKING:
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath

_DEFAULT = ViewParameters()


@click.command(short_help="Draw slices with outlined instances.")
@click.argument("raw", type=arguments.VOLUME)
@click.argument("labels", nargs=-1, type=arguments.VOLUME)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The file to write.")
@click.option(
    "--slices",
    metavar="N,N,...",
    callback=arguments.integers,
    help="Slices to draw.  [default: six, evenly spaced]",
)
@click.option(
    "--axis",
    type=click.Choice(["z", "y", "x"]),
    default=_DEFAULT.axis,
    show_default=True,
    help="Axis across the slices.",
)
@click.option(
    "--columns",
    type=click.IntRange(min=1),
    default=_DEFAULT.columns,
    show_default=True,
    help="Slices side by side.",
)
@click.option("--ids", metavar="N,N,...", callback=arguments.integers, help="Outline these instances alone.")
@click.option(
    "--truth",
    type=arguments.VOLUME,
    help="Colour by what became of each instance, compared with these labels; they are drawn dotted.",
)
@click.option(
    "--hit-iou",
    type=click.FloatRange(0, 1, min_open=True),
    default=_DEFAULT.hit_iou,
    show_default=True,
    help="Least IoU of a hit, with --truth.",
)
@options.running
def view(
    raw: VolumePath,
    labels: tuple[VolumePath, ...],
    output: Path,
    slices: tuple[int, ...] | None,
    axis: str,
    columns: int,
    ids: tuple[int, ...] | None,
    truth: VolumePath | None,
    hit_iou: float,
    running: Running,
) -> None:
    """Draw slices of the volume RAW, the instances of LABELS outlined, each in its own colour.

    Several LABELS are drawn one under the other. With --truth, colours tell hits, missed instances, false
    positives, splits and merges.

    \b
      $ mitotools view raw.zarr labels.zarr -o overlay.png
      $ mitotools view raw.h5 labels.h5 --truth truth.h5 -o errors.png --slices 10,50,90
    """
    from mitotools.stages.view import view_volume

    parameters = ViewParameters(slices, axis, columns, ids, hit_iou)
    true = [truth] if truth is not None else []
    with options.source_volumes(raw, *labels, *true) as (image, *others):
        instances = others[: len(labels)]
        shown = view_volume(image, instances, output, parameters, running, *others[len(labels) :])
    options.say(f"{output}: slices {', '.join(map(str, shown.positions))} along {axis}")
    for volume, counts in zip(labels, shown.counts, strict=False):
        options.say(f"{volume}: {', '.join(f'{kind} {count}' for kind, count in counts.items())}")
