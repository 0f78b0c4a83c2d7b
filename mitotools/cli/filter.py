"""``mitotools filter``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mitotools.cli import arguments, options
from mitotools.parameters import FilterParameters

if TYPE_CHECKING:
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath

_DEFAULT = FilterParameters()


@click.command("filter", short_help="Keep some of the instances.")
@click.argument("labels", type=arguments.VOLUME)
@click.argument("target", type=arguments.VOLUME)
@options.min_size(_DEFAULT.min_size_voxels)
@click.option("--relabel", is_flag=True, help="Number the instances that stay 1..n.")
@options.running
@options.engines
def filter_labels(
    labels: VolumePath, target: VolumePath, min_size: int, relabel: bool, running: Running
) -> None:
    """Copy the instances LABELS to TARGET without those that are too small. Ids stay unless --relabel.

    \b
      $ mitotools filter labels.zarr large.zarr --min-size 2000
      $ mitotools decode maps.zarr - | mitotools filter - labels.h5 --min-size 2000 --relabel
    """
    from mitotools.stages.filter import filter_volume

    with options.piped(labels, target) as (source, output):
        kept, found = filter_volume(source, output, FilterParameters(min_size, relabel), running)
    options.say(f"{target}: {kept} of {found} instances")
