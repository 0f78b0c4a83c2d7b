"""The options of `evaluate` alone: what is left out, and the files beside both volumes."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mitotools.cli import arguments, options
from mitotools.parameters import ErrorParameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitotools.parameters import EvaluateParameters
    from mitotools.volume.path import VolumePath

Function = TypeVar("Function", bound="Callable[..., Any]")

_ERRORS = ErrorParameters()

_MOST_SAMPLES = 10_000
"""The ends of an interval of 95 % do not move any more."""


def leaving_out(command: Function) -> Function:
    """Add what is left out, and when an instance is wrong, to the `scoring` of `score_options.scoring`."""

    @click.option(
        "--ignore-border", is_flag=True, help="Leave out instances that the border of the volume cuts."
    )
    @click.option(
        "--bootstrap",
        type=click.IntRange(0, _MOST_SAMPLES),
        metavar="N",
        default=0,
        help="Give the 95 % interval of AP over N samples of the instances, 1000 say; the same in every run.",
    )
    @click.option(
        "--piece-share",
        type=arguments.PROBABILITY,
        default=_ERRORS.share,
        show_default=True,
        help="Part of a truth that a prediction must hold to split it, or to merge it with another.",
    )
    @click.option(
        "--piece-size",
        type=arguments.VOXELS,
        default=_ERRORS.size_voxels,
        show_default=True,
        help="Least voxels of such a part.",
    )
    @click.option(
        "--found-iou",
        type=arguments.SHARE,
        default=_ERRORS.found_iou,
        show_default=True,
        help="Without a partner of this IoU, a truth is missed and a prediction spurious.",
    )
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        scoring: EvaluateParameters,
        ignore_border: bool,
        bootstrap: int,
        piece_share: float,
        piece_size: int,
        found_iou: float,
        **kwargs: Any,
    ) -> Any:
        errors = ErrorParameters(piece_share, piece_size, found_iou)
        chosen = replace(scoring, errors=errors, ignore_border=ignore_border, bootstrap=bootstrap)
        return command(*args, scoring=chosen, **kwargs)

    return wrapped  # type: ignore[return-value]


def files(command: Function) -> Function:
    """Add what is read and written beside the volumes, and pass it on as one `files: EvaluateFiles`."""

    @click.option(
        "--ignore",
        type=arguments.VOLUME,
        metavar="VOLUME",
        help="Leave out the voxels that are not 0 in this volume.",
    )
    @click.option(
        "--scores",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE[:DATASET]",
        help="Table of scores, one row an instance; its columns id and score rank the predictions. Text, or "
        "(N, 2) numbers in .npy or HDF5. An id that is not listed has score 0. Without it, and without "
        "--heatmap, the largest come first.",
    )
    @click.option(
        "--heatmap",
        type=arguments.VOLUME,
        metavar="MAPS",
        help="Rank the predictions by the mean of this volume over them, and over its channels; "
        "maps.zarr[0] is one channel.",
    )
    @click.option(
        "--matches",
        type=arguments.OUTPUT_FILE,
        metavar="FILE.tsv",
        help="Write what became of every instance at the first --iou: partner, IoU, verdict.",
    )
    @click.option(
        "--save-overlap",
        type=arguments.OUTPUT_FILE,
        metavar="FILE.overlap",
        help="Write the table of overlaps, from which evaluate FILE.overlap scores again at once.",
    )
    @options.report("scores, curves, sizes, and pictures of the worst instances")
    @options.raw("behind the instances that the --report shows")
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        ignore: VolumePath | None,
        scores: Path | None,
        heatmap: VolumePath | None,
        matches: Path | None,
        save_overlap: Path | None,
        report: Path | None,
        raw: VolumePath | None,
        **kwargs: Any,
    ) -> Any:
        from mitotools.stages.evaluate import EvaluateFiles

        chosen = EvaluateFiles(ignore, scores, matches, save_overlap, heatmap, report, raw)
        return command(*args, files=chosen, **kwargs)

    return wrapped  # type: ignore[return-value]
