"""``mitotools predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mitotools.cli import arguments, options
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
    "-m", "--model", type=click.Path(path_type=Path), required=True, help="Model file that train wrote."
)
@click.option(
    "--tta",
    type=click.Choice(["1", "4", "8", "16"]),
    default=str(_DEFAULT.tta),
    show_default=True,
    help="Mirror images that are averaged.",
)
@click.option(
    "--overlap",
    type=click.FloatRange(0, 0.9),
    default=_DEFAULT.overlap,
    show_default=True,
    help="Part of a window shared with the next.",
)
@options.blend
@click.option(
    "--dtype",
    type=click.Choice(["uint8", "float16", "float32"]),
    default=_DEFAULT.dtype,
    show_default=True,
    help="Type of the voxels written; uint8 is floor(255 p).",
)
@options.device
@options.precision
@click.option("--part", metavar="K/N", help="Of a PLAN, compute part K of N, counted from 1.")
@click.option("--resume", is_flag=True, help="Continue an unfinished output, if there is one; needs a PLAN.")
@options.running
def predict(
    raw: VolumePath,
    maps: VolumePath,
    model: Path,
    tta: str,
    overlap: float,
    blend: str,
    dtype: str,
    device: str,
    precision: str,
    part: str | None,
    resume: bool,
    running: Running,
) -> None:
    """Apply MODEL to the volume RAW and write its maps of probabilities, MAPS.

    Given a PLAN (from 'mitotools tile'), MAPS is a folder of map tiles, which 'mitotools merge' assembles:
    the result is that of a direct prediction. The window is the patch that the model was trained on.

    \b
      $ mitotools predict raw.zarr maps.zarr -m model.safetensors
      $ mitotools predict plan.json tiles/ -m model.safetensors --part 3/16
    """
    from mitotools.stages.predict import Part, predict_plan, predict_volume
    from mitotools.volume.plan import is_plan

    parameters = PredictParameters(overlap, blend, int(tta), device, precision, dtype)
    if is_plan(Path(raw.file)):
        chosen = Part(*arguments.part(part)) if part else Part(1, 1)
        done = predict_plan(
            Path(raw.file), Path(maps.file), model, parameters, running, chosen, resume=resume
        )
        options.say(f"{maps}: {len(done)} tiles")
        return
    if part or resume:
        raise UsageError("--part" if part else "--resume", "needs a PLAN", "Make one with 'mitotools tile'")
    with options.piped(raw, maps) as (volume, output):
        spec = predict_volume(volume, output, model, parameters, running)
    options.say(f"{maps}: {options.words(spec)}")
