"""``mitotools tile``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mitotools.cli import arguments, options
from mitotools.errors import UsageError
from mitotools.parameters import TileParameters
from mitotools.volume.path import PIPE

if TYPE_CHECKING:
    from mitotools.conventions import Size
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath

_DEFAULT = TileParameters()


@click.command(short_help="Plan a grid over a volume, or cut it into tiles.")
@click.argument("source", type=arguments.VOLUME)
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--size",
    type=arguments.SIZE,
    default=_DEFAULT.size_voxels,
    help="Voxels of a tile, without its halo.  [default: 128,512,512]",
)
@click.option(
    "--halo",
    type=arguments.MARGIN,
    default=_DEFAULT.halo_voxels,
    help="Margin around every tile, in voxels.  [default: 0,0,0]",
)
@options.root
@options.running
@options.engines
def tile(
    source: VolumePath, target: Path, size: Size, halo: Size, root: str | None, running: Running
) -> None:
    """Plan a grid of tiles over SOURCE, or cut it.

    A TARGET that ends in .json is a plan, which names the volume and the tiles: predict, merge and job arrays
    read it. Any other TARGET is a folder of tile files with their plan.

    \b
      $ mitotools tile raw.zarr plan.json --size 128,512,512
      $ mitotools tile raw.zarr tiles/ --size 64x256x256 --halo 8,32,32
    """
    from mitotools.stages.tile import tile_volume

    if target.suffix == ".json" and source.is_pipe:
        why = "a plan names its volume, and what comes through a pipe is gone afterwards"
        raise UsageError("-", why, "Write the volume to a file first")
    if str(target) == PIPE:
        raise UsageError("-", "neither a plan nor tiles go through a pipe", "Name TARGET")
    with options.source_volumes(replace(source, root=root)) as (volume,):
        plan = tile_volume(volume, target, TileParameters(size, halo), running)
    of_tile, whole = (" x ".join(map(str, lengths)) for lengths in (plan.size, plan.shape))
    options.say(f"{target}: {plan.count} tiles of {of_tile} voxels, of {whole}")
