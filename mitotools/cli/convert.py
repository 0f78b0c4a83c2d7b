"""``mitotools convert``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from mitotools.cli import arguments, options
from mitotools.parameters import ConvertParameters

if TYPE_CHECKING:
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath


_DEFAULT = ConvertParameters()

_VOXEL_TYPES = [f"{kind}{bits}" for kind in ("uint", "int") for bits in (8, 16, 32, 64)]
_VOXEL_TYPES += ["float16", "float32", "float64"]


@click.command(short_help="Copy a volume to another format, type or voxel size.")
@click.argument("source", type=arguments.VOLUME)
@click.argument("target", type=arguments.VOLUME)
@click.option(
    "--voxel-size",
    type=arguments.NANOMETRES,
    help="Voxel size in nm, where the source's is wrong or missing.",
)
@click.option("--crop", metavar="[Z:Z,Y:Y,X:X]", help="Part of the source, as it may follow its name.")
@click.option(
    "--labels", is_flag=True, help="Voxels are ids: RGB colours become ids, the type the smallest that fits."
)
@click.option(
    "--scale",
    type=arguments.FACTORS,
    help="Resample: voxels of the new volume for each old one, 0.5,1,1 to halve z. Images are averaged or "
    "interpolated; of ids the most frequent wins.",
)
@click.option(
    "--clip",
    metavar="LOW,HIGH",
    callback=arguments.percentiles,
    help="Stretch grey values between two percentiles, 0.5,99.5 for instance, to uint8.",
)
@click.option(
    "--dtype",
    metavar="TYPE",
    type=click.Choice(_VOXEL_TYPES),
    help="Type of the voxels written.  [default: the source's]",
)
@click.option("--pad", type=arguments.MARGIN, default=(0, 0, 0), help="Add that many zeros on both sides.")
@options.chunks
@click.option("--shards", type=arguments.SIZE, help="Voxels that share a file of an OME-Zarr: whole chunks.")
@options.compression
@click.option(
    "--levels",
    type=click.IntRange(min=1),
    default=_DEFAULT.levels,
    show_default=True,
    help="Resolutions of an OME-Zarr image.",
)
@click.option(
    "--zarr-format",
    type=click.Choice(["2", "3"]),
    default=str(_DEFAULT.zarr_format),
    show_default=True,
    help="Write NGFF 0.4 on zarr 2, or NGFF 0.5 on zarr 3.",
)
@options.root
@options.running
@options.engines
def convert(
    source: VolumePath,
    target: VolumePath,
    crop: str | None,
    zarr_format: str,
    root: str | None,
    running: Running,
    **settings: Any,
) -> None:
    """Copy the volume SOURCE to TARGET, whose suffix says in which format.

    What is asked for happens in this order: crop, colours to ids, scale, clip, type, pad.

    \b
      $ mitotools convert slices/ raw.zarr --voxel-size 30,8,8
      $ mitotools convert 'raw.h5:volumes/raw[0:100,:,:]' crop.tif
    """
    from mitotools.stages.convert import convert_volume

    parameters = ConvertParameters(
        voxel_size_nm=settings["voxel_size"],
        labels=settings["labels"],
        scale=settings["scale"],
        clip_percentiles=settings["clip"],
        dtype=settings["dtype"],
        pad_voxels=settings["pad"],
        chunks=settings["chunks"],
        shards=settings["shards"],
        compression=settings["compression"],
        levels=settings["levels"],
        zarr_format=int(zarr_format),
    )
    source = replace(options.cropped(source, crop), root=root)
    with options.piped(source, target) as (volume, output):
        spec = convert_volume(volume, output, parameters, running)
    options.say(f"{target}: {options.words(spec)}")
