"""``mitotools predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mitotools.cli import arguments, options
from mitotools.conventions import DEFAULT_MODEL, MAP_TYPES, RESCALES
from mitotools.errors import UsageError
from mitotools.parameters import PredictParameters

if TYPE_CHECKING:
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath

_DEFAULT = PredictParameters()


@click.command(short_help="Apply a model to a volume, or to the tiles of a plan.")
@click.argument("raw", metavar="RAW|PLAN", type=arguments.VOLUME)
@click.argument("maps", type=arguments.VOLUME)
@click.option(
    "-m",
    "--model",
    type=click.Path(path_type=Path),
    default=DEFAULT_MODEL,
    show_default=True,
    help="Model; a file that train wrote, or the name of an installed one.",
)
@click.option(
    "--tta",
    type=click.Choice(["1", "4", "8", "16", "48"]),
    default=str(_DEFAULT.tta),
    show_default=True,
    help="Mirror images that are averaged; 48 are all those of a cube.",
)
@click.option(
    "--overlap",
    type=arguments.Number(0, 0.9),
    default=_DEFAULT.overlap,
    show_default=True,
    help="Part of a window shared with the next.",
)
@options.blend
@click.option(
    "--dtype",
    type=click.Choice(MAP_TYPES),
    default=_DEFAULT.dtype,
    show_default=True,
    help="Type of the voxels written; uint8 is floor(255 p).",
)
@options.as_program
@click.option(
    "--rescale",
    type=click.Choice(RESCALES),
    default=_DEFAULT.rescale,
    show_default=True,
    help="Resample a volume whose voxels are unlike those that the model was trained on.",
)
@click.option(
    "--backend",
    type=click.Choice(["auto", "torch", "openvino"]),
    default=_DEFAULT.backend,
    show_default=True,
    help="What applies the network; auto is OpenVINO on a CPU, if it is installed.",
)
@options.device
@options.precision
@click.option(
    "--part",
    metavar="K/N",
    help="Compute part K of N, counted from 1; of the tiles, or of MAPS.zarr, which other runs complete.",
)
@options.running
@options.engines
def predict(
    raw: VolumePath,
    maps: VolumePath,
    model: Path,
    part: str | None,
    running: Running,
    tta: str,
    **chosen: Any,
) -> None:
    """Apply MODEL to the volume RAW and write its maps of probabilities, MAPS.

    Given a PLAN (from 'mitotools tile'), MAPS is a folder of map tiles, which 'mitotools merge' assembles:
    the result is that of a direct prediction. The window is the patch that the model was trained on. A volume
    whose voxels are unlike those of the training is resampled; MAPS have the voxels of RAW.

    \b
      $ mitotools predict raw.zarr maps.zarr
      $ mitotools predict raw.zarr maps.zarr -m model.safetensors
      $ mitotools predict raw.zarr maps.zarr -m model.safetensors --part 3/16 --resume
      $ mitotools predict plan.json tiles/ -m model.safetensors --part 3/16
    """
    from mitotools.stages.blocks.parts_of_volume import WHOLE, Part
    from mitotools.stages.predict import predict_plan, predict_volume
    from mitotools.volume.plan import is_plan

    parameters = PredictParameters(tta=int(tta), **chosen)
    own = None if part is None else Part(*arguments.part(part))
    if is_plan(Path(raw.file)):
        done = predict_plan(_plan(raw), _folder(maps), model, parameters, running, own or WHOLE)
        options.say(f"{maps}: {f'part {part}, ' if part else ''}{len(done)} tiles")
        return
    if part and maps.is_pipe:
        what_next = "Write a .zarr, or give a PLAN of 'mitotools tile'"
        raise UsageError("--part", "a part is no volume to go through a pipe", what_next)
    with options.piped(raw, maps) as (volume, output):
        spec = predict_volume(volume, output, model, parameters, running, own)
    options.say(f"{maps}: {f'part {part}, ' if part else ''}{options.words(spec)}")


def _plan(raw: VolumePath) -> Path:
    if raw.crop:
        why = "a plan names its volume, crop included"
        raise UsageError(f"{raw}{raw.crop}", why, f"Plan the crop: mitotools tile 'RAW{raw.crop}' PLAN")
    return Path(raw.file)


def _folder(maps: VolumePath) -> Path:
    """Return the folder that tiles are written to, unless its name is that of a volume."""
    from mitotools.volume.formats import format_by_suffix, is_glob

    if maps.is_pipe or maps.dataset or maps.crop or format_by_suffix(maps.file) or is_glob(maps.file):
        why = "given a plan, MAPS is a folder of tiles, and this is no name of one"
        raise UsageError(f"{maps}{maps.crop}", why, "Give a name without a suffix, and merge the tiles in it")
    return Path(maps.file)
