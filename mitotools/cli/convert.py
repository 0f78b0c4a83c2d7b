"""``mitotools convert``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mitotools.cli import options

if TYPE_CHECKING:
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath


@click.command(short_help="Copy a volume to another format, type or voxel size.")
@click.argument("source", type=options.VOLUME)
@click.argument("target", type=options.VOLUME)
@click.option(
    "--voxel-size", type=options.NANOMETRES, help="Voxel size in nm, where the source's is wrong or missing."
)
@click.option(
    "--crop", metavar="[Z:Z,Y:Y,X:X]", default="", help="Part of the source, as it may follow its name."
)
@click.option("--dtype", metavar="TYPE", help="Type of the voxels written.  [default: the source's]")
@options.chunks
@options.compression
@options.running
@options.engines
def convert(
    source: VolumePath,
    target: VolumePath,
    voxel_size: tuple[float, float, float] | None,
    crop: str,
    dtype: str | None,
    chunks: tuple[int, int, int] | None,
    compression: str,
    running: Running,
) -> None:
    """Copy the volume SOURCE to TARGET, whose suffix says in which format.

    \b
      $ mitotools convert slices/ raw.zarr --voxel-size 30,8,8
      $ mitotools convert 'raw.h5:volumes/raw[0:100,:,:]' crop.tif
    """
    from mitotools.parameters import ConvertParameters
    from mitotools.stages.convert import convert_volume

    parameters = ConvertParameters(voxel_size, options.dtype_name(dtype), chunks, compression)
    with options.piped(options.cropped(source, crop), target) as (volume, output):
        spec = convert_volume(volume, output, parameters, running)
    options.say(f"{target}: {options.words(spec)}")
