"""``mitotools decode``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mitotools.cli import arguments, options
from mitotools.parameters import DecodeParameters
from mitotools.segment.decoders import DECODERS

if TYPE_CHECKING:
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath

_DEFAULT = DecodeParameters()
_METHODS = ", ".join(f"{decoder.name}: {decoder.title}" for decoder in DECODERS)


@click.command(short_help="Split probability maps into instances.")
@click.argument("maps", type=arguments.VOLUME)
@click.argument("labels", type=arguments.VOLUME)
@click.option(
    "--method",
    type=click.Choice([decoder.name for decoder in DECODERS]),
    default=_DEFAULT.method,
    show_default=True,
    help=f"How ({_METHODS}).",
)
@click.option(
    "--seed-foreground",
    type=arguments.PROBABILITY,
    default=_DEFAULT.seed_foreground,
    show_default=True,
    help="Lowest mask of a seed (mw).",
)
@click.option(
    "--seed-contour",
    type=arguments.PROBABILITY,
    default=_DEFAULT.seed_contour,
    show_default=True,
    help="Highest contour of a seed.",
)
@click.option(
    "--foreground",
    type=arguments.PROBABILITY,
    default=_DEFAULT.foreground,
    show_default=True,
    help="Lowest mask of an instance.",
)
@options.min_size(_DEFAULT.min_size_voxels)
@click.option(
    "--min-seed",
    type=arguments.VOXELS,
    default=_DEFAULT.min_seed_voxels,
    show_default=True,
    help="Drop seeds with fewer voxels (mw).",
)
@options.running
@options.processes
def decode(
    maps: VolumePath,
    labels: VolumePath,
    method: str,
    seed_foreground: float,
    seed_contour: float,
    foreground: float,
    min_size: int,
    min_seed: int,
    running: Running,
) -> None:
    """Split the maps of probabilities MAPS (mask, or mask and contour) into the instances LABELS.

    mw floods the mask from seeds, where the mask is high and the contour low, and is the best decoder of the
    MitoEM benchmark; it works block by block, and blocks, threads and processes change no voxel. cc takes
    connected components, of maps that fit into memory. Instances are numbered 1..n in the order of seeds.

    \b
      $ mitotools decode maps.zarr labels.zarr
      $ mitotools predict raw.h5 - -m model.safetensors | mitotools decode - labels.h5 --min-size 2000
    """
    from mitotools.stages.decode import decode_volume

    parameters = DecodeParameters(method, seed_foreground, seed_contour, foreground, min_size, min_seed)
    with options.piped(maps, labels) as (source, target):
        count = decode_volume(source, target, parameters, running)
    options.say(f"{labels}: {count} instances")
