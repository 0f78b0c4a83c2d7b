"""The options of scores, which evaluate and tune share."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mitotools.cli import arguments
from mitotools.parameters import PROTOCOLS, EvaluateParameters

if TYPE_CHECKING:
    from collections.abc import Callable

Function = TypeVar("Function", bound="Callable[..., Any]")

_DEFAULT = EvaluateParameters()


def scoring(command: Function) -> Function:
    """Add the options of scores, and pass them on as one `scoring: EvaluateParameters`."""

    @click.option(
        "--iou",
        "ious",
        multiple=True,
        metavar="T|T:T:STEP",
        callback=arguments.thresholds,
        help="Threshold of the table, repeatable, or a range of them.  [default: 0.75]",
    )
    @click.option(
        "--protocol",
        type=click.Choice([protocol.name for protocol in PROTOCOLS]),
        default=_DEFAULT.protocol,
        show_default=True,
        help="paper: MICCAI 2020 (sizes 5000,15000); challenge2021: the leaderboard (5000,30000, truth of "
        "2000 voxels at least).",
    )
    @click.option(
        "--sizes",
        metavar="SMALL,MEDIUM",
        callback=arguments.two_sizes,
        help="Largest small and medium truth, in voxels.  [default: the protocol's]",
    )
    @click.option(
        "--min-truth-size",
        type=arguments.VOXELS,
        help="Leave out truth with fewer voxels.  [default: the protocol's]",
    )
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        ious: tuple[float, ...],
        protocol: str,
        sizes: tuple[int, int] | None,
        min_truth_size: int | None,
        **kwargs: Any,
    ) -> Any:
        chosen = EvaluateParameters(protocol, ious or _DEFAULT.iou, sizes, min_truth_size)
        return command(*args, scoring=chosen, **kwargs)

    return wrapped  # type: ignore[return-value]
