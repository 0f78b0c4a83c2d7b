"""``mitotools merge``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mitotools.cli import arguments, options
from mitotools.parameters import MergeParameters

if TYPE_CHECKING:
    from mitotools.conventions import Size
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath

_DEFAULT = MergeParameters()


@click.command(short_help="Assemble tiles into one volume.")
@click.argument("tiles", nargs=-1, required=True)
@click.argument("target", metavar="MAPS", type=arguments.VOLUME)
@options.blend
@click.option("--fill", type=float, help="Value of voxels that no tile covers; without it they are an error.")
@options.chunks
@options.compression
@options.running
@options.engines
def merge(
    tiles: tuple[str, ...],
    target: VolumePath,
    blend: str,
    fill: float | None,
    chunks: Size | None,
    compression: str,
    running: Running,
) -> None:
    """Assemble TILES (tile files, a folder, a quoted glob, or the plan beside them) into the volume MAPS.

    Tiles that predict or tile made give their core, and their halos are dropped. Other tiles, named
    NAME_z0-z1-y0-y1-x0-x1.h5 as PyTorch Connectomics writes them, are blended where they overlap.

    \b
      $ mitotools merge tiles/ maps.zarr
      $ mitotools merge 'chunks/rat_*_xy.h5' maps.h5 --fill 0
    """
    from mitotools.stages.merge import merge_tiles

    parameters = MergeParameters(blend, fill, chunks, compression)
    with options.sent(target) as output:
        spec = merge_tiles(tiles, output, parameters, running)
    options.say(f"{target}: {options.words(spec)}")
