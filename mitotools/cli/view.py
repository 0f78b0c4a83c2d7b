"""``mitotools view``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import click

from mitotools.cli import arguments, options
from mitotools.errors import UsageError
from mitotools.parameters import ViewParameters

if TYPE_CHECKING:
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath

_DEFAULT = ViewParameters()
_NAMED = 12


@click.command(short_help="Draw slices with outlined instances.")
@click.argument("raw", type=arguments.VOLUME)
@click.argument("labels", nargs=-1, type=arguments.VOLUME)
@click.option(
    "-o",
    "--output",
    type=arguments.OUTPUT,
    help="The file to write; .png, or .html.",
)
@click.option(
    "--neuroglancer",
    "in_neuroglancer",
    is_flag=True,
    help="Show the volumes in Neuroglancer instead, in a browser of this machine, until Ctrl-C.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port that --neuroglancer listens on.  [default: any]",
)
@click.option(
    "--slices",
    metavar="N,N,...",
    callback=arguments.integers,
    help="Slices to draw.  [default: six, evenly spaced; on a page up to 500]",
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
@click.option("--ids", metavar="N,N,...", callback=arguments.ids, help="Outline these instances alone.")
@click.option(
    "--truth",
    type=arguments.VOLUME,
    help="Colour by what became of each instance, compared with these labels; they are drawn dotted.",
)
@click.option(
    "--hit-iou",
    type=arguments.Number(0, 1, min_open=True),
    default=_DEFAULT.hit_iou,
    show_default=True,
    help="Least IoU of a hit, with --truth.",
)
@click.option(
    "--longest",
    type=click.IntRange(min=16),
    default=_DEFAULT.longest,
    show_default=True,
    help="Pixels of slices; of the longer side, at most.",
)
@options.running
def view(
    raw: VolumePath,
    labels: tuple[VolumePath, ...],
    output: Path | None,
    in_neuroglancer: bool,
    port: int,
    slices: tuple[int, ...] | None,
    axis: str,
    columns: int,
    ids: tuple[int, ...] | None,
    truth: VolumePath | None,
    hit_iou: float,
    longest: int,
    running: Running,
) -> None:
    """Draw slices of the volume RAW, the instances of LABELS outlined, each in its own colour.

    Several LABELS are drawn one under the other. With --truth, colours tell hits, missed instances, false
    positives, poor fits, splits and merges. A page (.html) is one file that needs no network: slices to
    scroll through, layers to switch, and instances to click on for what stats measures of them and for their
    match. --neuroglancer prints the address that a browser of this machine opens.

    \b
      $ mitotools view raw.zarr labels.zarr -o overlay.png
      $ mitotools view raw.h5 labels.h5 --truth truth.h5 -o errors.png --slices 10,50,90
      $ mitotools view raw.zarr labels.zarr --truth truth.zarr -o errors.html
      $ mitotools view raw.zarr labels.zarr --neuroglancer
    """
    if (output is None) != in_neuroglancer:
        raise UsageError("-o", "names the file to write", "Give it, or --neuroglancer")
    if output is None:
        others = [*labels, *([truth] if truth is not None else [])]
        _serve([raw, *others], port, running)
        return
    from mitotools.stages.view import view_volume

    parameters = ViewParameters(slices, axis, columns, ids, hit_iou, longest)
    true = [truth] if truth is not None else []
    with options.source_volumes(raw, *labels, *true) as (image, *others):
        instances = others[: len(labels)]
        shown = view_volume(image, instances, output, parameters, running, *others[len(labels) :])
    megabytes = f"{max(output.stat().st_size / 1e6, 0.1):.1f} MB"
    options.say(f"{output}: slices {_in_words(shown.positions)} along {axis}, {megabytes}")
    for volume, counts in zip(labels, shown.counts, strict=False):
        options.say(f"{volume}: {', '.join(f'{kind} {count}' for kind, count in counts.items())}")


def _serve(volumes: list[VolumePath], port: int, running: Running) -> None:
    from mitotools.stages.viewing.neuroglancer import serving

    with options.source_volumes(*volumes) as (image, *labels), serving(image, labels, running, port) as url:
        click.echo(url)
        options.say("Ctrl-C ends it")
        with suppress(KeyboardInterrupt):
            Event().wait()


def _in_words(positions: list[int]) -> str:
    """Return slices, the many of a page as how many there are, and from where to where."""
    if len(positions) <= _NAMED:
        return ", ".join(map(str, positions))
    return f"{positions[0]} to {positions[-1]} ({len(positions)})"
