"""``mitotools train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mitotools.cli import arguments, options
from mitotools.parameters import TrainParameters
from mitotools.presets import PRESETS

if TYPE_CHECKING:
    from mitotools.conventions import Size
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath

_DEFAULT = TrainParameters()


@click.command(short_help="Train a network on a volume and its labels.")
@click.argument("raw", type=arguments.VOLUME)
@click.argument("labels", type=arguments.VOLUME)
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default=_DEFAULT.preset,
    show_default=True,
    help="What is learned: the mask (b), or mask and contour (bc).",
)
@click.option(
    "--iterations", type=click.IntRange(min=1), default=_DEFAULT.iterations, show_default=True, help="Steps."
)
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), help="Stop after this time, if that is sooner."
)
@click.option(
    "--patch",
    type=arguments.SIZE,
    help="Shape of a patch, in voxels.  [default: the preset's, cut to the volume]",
)
@click.option(
    "--batch", type=click.IntRange(min=1), default=_DEFAULT.batch, show_default=True, help="Patches a step."
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any other setting: filters=16,32,64, norm=group, ...",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=_DEFAULT.seed,
    show_default=True,
    help="Of everything random.",
)
@options.device
@options.precision
@options.running
def train(
    raw: VolumePath,
    labels: VolumePath,
    model: Path,
    preset: str,
    iterations: int,
    minutes: float | None,
    patch: Size | None,
    batch: int,
    settings: tuple[str, ...],
    seed: int,
    device: str,
    precision: str,
    running: Running,
) -> None:
    """Train a network on the volume RAW and its instance LABELS, and write MODEL.

    The network is the residual 3D U-Net of MitoEM's U3D-BC. Where voxels are about as long in z as in the
    plane, kernels and contours are three-dimensional. The file holds tensors and JSON (safetensors), no code.

    \b
      $ mitotools train raw.zarr labels.zarr model.safetensors --minutes 60
      $ mitotools train cell.h5:raw cell.h5:mito model.safetensors --patch 64,64,64 --set filters=16,32,64
    """
    from mitotools.presets import with_settings
    from mitotools.stages.train import train_model

    chosen = {
        "iterations": iterations, "minutes": minutes, "patch_voxels": patch, "batch": batch, "seed": seed,
        "device": device, "precision": precision,
    }  # fmt: skip
    parameters = with_settings(PRESETS[preset], settings, **chosen)
    with options.source_volumes(raw, labels) as (image, truth):
        result = train_model(image, truth, model, parameters, running)
    options.say(f"{model}: {result.iterations} iterations in {result.seconds:.0f} s, loss {result.loss:.3f}")
