"""``mitotools train``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mitotools.cli import arguments, options
from mitotools.presets import DEFAULT, PRESETS

if TYPE_CHECKING:
    from mitotools.conventions import Size
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath

_PAIR = (arguments.VOLUME, arguments.VOLUME)


@click.command(short_help="Train a network on volumes and their labels.")
@click.argument("raw", type=arguments.VOLUME)
@click.argument("labels", type=arguments.VOLUME)
@click.argument("model", type=arguments.OUTPUT)
@click.option(
    "--also",
    type=_PAIR,
    multiple=True,
    metavar="RAW LABELS",
    help="Learn from another volume as well, as often.",
)
@click.option(
    "--ignore",
    type=arguments.VOLUME,
    metavar="VOLUME",
    help="Leave out the voxels that are not 0 in this volume.",
)
@click.option(
    "--also-ignore",
    type=arguments.VOLUME,
    multiple=True,
    metavar="VOLUME",
    help="The same of each --also, in their order.",
)
@click.option(
    "--validate",
    type=_PAIR,
    multiple=True,
    metavar="RAW LABELS",
    help="Score the network on a volume; the best one is kept.",
)
@click.option(
    "--validate-crop",
    metavar="Z0:Z1,Y0:Y1,X0:X1",
    help="Hold out a crop of RAW, and score the network on it.",
)
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    help="Network, targets, optimisation: a paper's, or for CPUs: fast (cubic voxels), sections.  "
    f"[default: {DEFAULT}, or what the model of --init was trained with]",
)
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.toml",
    help="Options in a file; settings that differ from the preset's.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="One such setting: filters=16,32,64, norm=group, augment=copy-paste:0.5,flip:0, ...",
)
@click.option(
    "--recipe",
    metavar="NAME",
    help="Augmentations: 2020, 2021, mild, plain, sections, strong, none.  [default: the preset's]",
)
@click.option("--iterations", type=click.IntRange(min=1), help="Steps.  [default: the preset's]")
@click.option(
    "--minutes",
    type=arguments.Number(min=0, min_open=True),
    help="Stop after this time of training, if that is sooner; validation and saving come on top.",
)
@click.option(
    "--patch",
    type=arguments.SIZE,
    help="Shape of a patch, in voxels.  [default: the preset's, cut to the volume]",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    help="Patches a step.  [default: the preset's]",
)
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    metavar="MODEL",
    help="Fine-tune a model: begin with its weights, settings and options of decode.",
)
@options.as_program
@click.option(
    "--log",
    type=arguments.OUTPUT,
    metavar="DIR",
    help="Write every number there: TSV, and TensorBoard where installed.",
)
@click.option(
    "--plot",
    type=arguments.OUTPUT_FILE,
    metavar="FILE",
    help="Draw a plot; of the loss, the learning rate and the scores: .png or .html.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    help="Of everything random.  [default: 0]",
)
@options.device
@options.precision
@partial(options.running, default_memory="no limit")
@click.option("--resume", is_flag=True, help="Continue an unfinished output, if there is one.")
def train(
    raw: VolumePath,
    labels: VolumePath,
    model: Path,
    also: tuple[tuple[VolumePath, VolumePath], ...],
    ignore: VolumePath | None,
    also_ignore: tuple[VolumePath, ...],
    validate: tuple[tuple[VolumePath, VolumePath], ...],
    validate_crop: str | None,
    preset: str | None,
    config: Path | None,
    settings: tuple[str, ...],
    init: Path | None,
    as_program: str,
    log: Path | None,
    plot: Path | None,
    patch: Size | None,
    resume: bool,
    running: Running,
    **chosen: Any,
) -> None:
    """Train a network on the volume RAW and its instance LABELS, and write MODEL.

    Networks, targets and optimisation are those of the papers (--preset). Where voxels are about as long in z
    as in the plane, kernels and contours are three-dimensional. With --validate or --validate-crop the best
    network is kept, with the options of decode that suit it. Until MODEL is complete the training is saved
    every five minutes, for --resume. It holds tensors and JSON (safetensors), no code.

    \b
      $ mitotools train raw.zarr labels.zarr model.safetensors --minutes 60 --validate-crop 0:100,0:512,0:512
      $ mitotools train cell.h5:raw cell.h5:mito model.safetensors --patch 64,64,64 --set filters=16,32,64
      $ torchrun --nproc-per-node 4 -m -- mitotools train raw.zarr labels.zarr model.safetensors --batch 32
    """
    from mitotools.presets import with_config, with_settings
    from mitotools.stages.train import train_model
    from mitotools.stages.training.data import labelled
    from mitotools.stages.training.fine_tuning import settings_of_model
    from mitotools.stages.training.plan import TrainingFiles

    parameters = PRESETS[preset or DEFAULT] if init is None else settings_of_model(init, preset, as_program)
    if config is not None:
        parameters = with_config(parameters, config)
    given = {"patch_voxels": patch} if patch else {}
    given |= {name: value for name, value in chosen.items() if _is_given(name)}
    parameters = with_settings(parameters, settings, **given)
    data, held_out = labelled([(raw, labels), *also], [ignore, *also_ignore], validate_crop or "")
    files = TrainingFiles([*validate, *held_out], init, log, plot, as_program, config)
    result = train_model(data, model, parameters, replace(running, resume=resume), files)
    if result is not None:
        options.say(
            f"{model}: {result.iterations} iterations in {result.seconds:.0f} s, loss {result.loss:.3f}; "
            f"{result.waited:.0%} of the time went by waiting for patches"
        )


def _is_given(name: str) -> bool:
    """Whether an option was typed: its default comes after the preset's, and that of a file."""
    return click.get_current_context().get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
